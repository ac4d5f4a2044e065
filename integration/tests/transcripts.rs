// SPDX-License-Identifier: Apache-2.0
//! Transcripts: what a person types and sees, as documentation that is run.
//!
//! Each `transcripts/NAME.md` runs in a world of its own that has the image `busybox`, in a copy of
//! `transcripts/NAME.in/` if there is one. Only durations are left out; digests are literal.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use integration::peers::BUSYBOX;
use integration::{Program, Requirement, TestEnv, kiln_binary, lacks, workspace_root};

#[test]
fn transcripts_are_true() {
    if lacks("transcripts_are_true", &[BUSYBOX, Requirement::Root]) {
        return;
    }
    let directory = workspace_root().join("integration/transcripts");
    let mut transcripts: Vec<PathBuf> = fs::read_dir(&directory)
        .expect("there are transcripts")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect();
    transcripts.sort();
    assert!(
        !transcripts.is_empty(),
        "no transcripts in {}",
        directory.display()
    );
    for transcript in transcripts {
        run(&transcript);
    }
}

fn run(transcript: &Path) {
    let env = TestEnv::with_busybox();
    let work = env.path("transcript");
    fs::create_dir(&work).expect("the directory is new");
    let copy = work.join(transcript.file_name().expect("a transcript has a name"));
    fs::copy(transcript, &copy).expect("the transcript is readable");
    let input = transcript.with_extension("in");
    if input.is_dir() {
        drop(
            Program::new("/bin/cp")
                .arg("-r")
                .arg(&input)
                .arg(copy.with_extension("in"))
                .ok(),
        );
    }
    let cases = trycmd::TestCases::new();
    cases.register_bin("kiln", kiln_binary());
    for (name, value) in env.vars() {
        let text = |value: &OsString| value.to_str().expect("the variables are text").to_owned();
        cases.env(text(name), text(value));
    }
    cases.case(&copy).run();
}
