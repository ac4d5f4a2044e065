// SPDX-License-Identifier: Apache-2.0
//! Build contexts of a given size, the same in every run.

use std::fs;
use std::path::{Path, PathBuf};

use integration::{Random, TestEnv};

/// Bytes of one file of a tree: 50,000 of them are 162 MB.
const FILE_BYTES: usize = 3_240;
/// Files of one directory.
const DIRECTORY_FILES: usize = 100;

/// Makes a context with `files` small files that compress to about a half.
pub(crate) fn many_files(env: &TestEnv, files: usize) -> PathBuf {
    let mut random = Random::seeded(50_000);
    let context = env.context("files", "FROM scratch\nCOPY tree /tree\n", &[]);
    for number in 0..files {
        let directory = context.join(format!("tree/{:04}", number / DIRECTORY_FILES));
        if number % DIRECTORY_FILES == 0 {
            fs::create_dir_all(&directory).expect("the context is ours");
        }
        let mut bytes = random.bytes(FILE_BYTES / 2);
        bytes.resize(FILE_BYTES, b'=');
        fs::write(directory.join(format!("{number}.txt")), bytes).expect("the context is ours");
    }
    context
}

/// Gives one file of such a tree content that it never had.
pub(crate) fn change_one(context: &Path, time: usize) {
    let file = context.join("tree/0000/7.txt");
    fs::write(file, format!("changed {time} times")).expect("the context is ours");
}

/// Makes a context with one file of `mebibytes` that compresses to about a half.
pub(crate) fn one_file(env: &TestEnv, mebibytes: usize) -> PathBuf {
    use std::io::Write;
    let context = env.context("big", "FROM scratch\nCOPY big /big\n", &[]);
    let mut file = fs::File::create(context.join("big")).expect("the context is ours");
    let mut random = Random::seeded(1_024);
    for _ in 0..mebibytes {
        let mut block = random.bytes(512 << 10);
        block.resize(1 << 20, b'=');
        file.write_all(&block).expect("the context is ours");
    }
    context
}

/// Makes a context of `steps` times `RUN true` on busybox.
pub(crate) fn many_steps(env: &TestEnv, name: &str, steps: usize) -> PathBuf {
    let text = format!("FROM busybox\n{}", "RUN true\n".repeat(steps));
    env.context(name, &text, &[])
}

/// Makes a context of 53 steps, with FROM and WORKDIR: commands and files in turn.
pub(crate) fn mixed_steps(env: &TestEnv) -> PathBuf {
    let mut text = String::from("FROM busybox\nWORKDIR /app\nCOPY file .\n");
    for number in 0..25 {
        let run = format!("RUN echo {number} > /app/{number}");
        let copy = format!("COPY file /copies/{number}");
        text.extend([run.as_str(), "\n", copy.as_str(), "\n"]);
    }
    env.context("mixed", &text, &[("file", "content\n")])
}
