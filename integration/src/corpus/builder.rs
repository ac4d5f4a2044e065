// SPDX-License-Identifier: Apache-2.0
//! The two builders of a case: kiln, and a running buildkitd behind `buildctl`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Surroundings;
use super::answer::Answer;
use super::base::BaseImages;
use super::case::Case;
use super::{context, lint};
use crate::{Finished, Program, TestEnv, setting};

/// Something that builds cases.
pub trait Builder: Sync {
    /// Builds `case` and returns what came out, with what it wrote to its error output.
    fn build(&self, case: &Case) -> (Answer, Finished);
}

/// Where cases are written to disk and their outputs read from.
#[derive(Debug)]
struct Bench<'a> {
    directory: PathBuf,
    around: &'a Surroundings,
    used: AtomicUsize,
}

impl<'a> Bench<'a> {
    fn new(directory: PathBuf, around: &'a Surroundings) -> Self {
        let used = AtomicUsize::new(0);
        Self {
            directory,
            around,
            used,
        }
    }

    /// Writes a case into a directory of its own, and returns its context.
    fn lay_out(&self, case: &Case) -> PathBuf {
        let number = self.used.fetch_add(1, Ordering::Relaxed);
        let directory = self.directory.join(format!("{number}"));
        fs::create_dir_all(&directory).expect("the directory is new");
        context::write(case, &directory, &|text| self.around.web.real(text))
    }

    /// Reads the archive beside `context`, or the refusal.
    fn answer(&self, finished: &Finished, output: &Path) -> Answer {
        let mut answer = if finished.status.success() {
            let archive = fs::read(output).unwrap_or_else(|error| panic!("{finished}: {error}"));
            Answer::of_archive(&archive, &self.around.bases)
        } else {
            Answer::refusal(&lasting(last_error(&finished.stderr)))
        };
        answer.replace(|line| self.around.web.shown(line));
        answer
    }
}

/// Returns the last line that says what went wrong.
fn last_error(stderr: &str) -> &str {
    let mut lines = stderr.lines().rev();
    let found = lines.find_map(|line| line.strip_prefix("error: "));
    found.or_else(|| stderr.lines().last()).unwrap_or_default()
}

/// Returns a message without what is of this run alone: ids of snapshots and where they lie.
fn lasting(message: &str) -> String {
    let words = message.split(' ').map(|word| {
        if word.contains("::") {
            return "ID:";
        }
        match word.split_once("/cachemounts/buildkit") {
            Some((_, rest)) => rest.trim_start_matches(|c: char| c.is_ascii_digit()),
            None => word,
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// kiln, with one store for all cases.
#[derive(Debug)]
pub struct Kiln<'a> {
    env: &'a TestEnv,
    bench: Bench<'a>,
}

impl<'a> Kiln<'a> {
    /// Returns the builder with the base images in the store of `env`.
    pub fn new(env: &'a TestEnv, around: &'a Surroundings) -> Self {
        drop(env.kiln(["load"]).stdin(around.bases.archive()).ok());
        let bench = Bench::new(env.path("kiln"), around);
        Self { env, bench }
    }
}

impl Kiln<'_> {
    /// Returns kiln's answers to requests about the Dockerfile: its warnings, and what else the
    /// case asks for.
    pub fn calls(&self, case: &Case) -> Answer {
        let context = self.bench.lay_out(case);
        let ask = |call: &str| {
            let command = self.env.kiln(&case.command).current_dir(&context);
            command.args(["--call", call]).run().stdout
        };
        let mut answer = Answer::default();
        answer.calls(case, &lint::of_text(&ask("check")), ask);
        answer
    }
}

impl Builder for Kiln<'_> {
    fn build(&self, case: &Case) -> (Answer, Finished) {
        let context = self.bench.lay_out(case);
        let output = context.with_file_name("kiln.tar");
        let to = format!(
            "type=oci,compression=uncompressed,dest={}",
            output.display()
        );
        let command = case
            .command
            .iter()
            .map(|word| self.bench.around.web.real(word));
        let build = self.env.kiln(command).current_dir(&context);
        let finished = build.args(["--progress", "plain", "-o", &to]).run();
        (self.bench.answer(&finished, &output), finished)
    }
}

/// A running buildkitd.
#[derive(Debug)]
pub struct BuildKit<'a> {
    address: String,
    bench: Bench<'a>,
    turn: Mutex<()>,
}

impl<'a> BuildKit<'a> {
    /// Returns the buildkitd that `KILN_BUILDKIT` names, if it does.
    pub fn running(env: &TestEnv, around: &'a Surroundings) -> Option<Self> {
        let address = setting::buildkit_address()?;
        let bench = Bench::new(env.path("buildkit"), around);
        let turn = Mutex::new(());
        Some(Self {
            address,
            bench,
            turn,
        })
    }

    /// Returns its version and commit.
    pub fn version(&self) -> String {
        let shown = self.buildctl().args(["debug", "info"]).ok();
        let line = shown
            .stdout
            .lines()
            .find(|line| line.starts_with("BuildKit:"));
        let words: Vec<&str> = line
            .unwrap_or_default()
            .split(' ')
            .filter(|w| !w.is_empty())
            .collect();
        words.get(2..).unwrap_or_default().join(" ")
    }

    fn buildctl(&self) -> Program {
        let program = Program::new("buildctl").env("PATH", setting::search_path());
        program.args(["--addr", &self.address])
    }

    fn request(&self, case: &Case, context: &Path) -> Program {
        let local = |name: &str| format!("{name}={}", context.display());
        let build = self
            .buildctl()
            .current_dir(context)
            .args(["build", "--progress", "plain"])
            .args(["--frontend", "dockerfile.v0", "--local"])
            .arg(local("context"))
            .arg("--local")
            .arg(local("dockerfile"));
        let bases = &self.bench.around.bases;
        let build = build
            .arg("--oci-layout")
            .arg(format!("bases={}", bases.directory().display()));
        let build = bases.digests().iter().fold(build, |build, (name, digest)| {
            build.args([
                "--opt",
                &format!("context:{name}=oci-layout://bases@{digest}"),
            ])
        });
        let command: Vec<String> = case
            .command
            .iter()
            .map(|word| self.bench.around.web.real(word))
            .collect();
        build.args(options(&command, context, bases))
    }

    /// Makes buildkitd forget the files of the last context.
    ///
    /// A context is sent as changes to the last one of the same client, and directories that both
    /// have lose their times on the way.
    fn forget_context(&self) {
        let context = self.bench.directory.join("nothing");
        fs::create_dir_all(&context).expect("the directory is ours");
        let text = "FROM scratch\nCOPY nothing* /\n";
        fs::write(context.join("Dockerfile"), text).expect("the directory is ours");
        let local = |name: &str| format!("{name}={}", context.display());
        let build = self
            .buildctl()
            .args(["build", "--no-cache", "--frontend", "dockerfile.v0"]);
        let build = build.args([
            "--local",
            &local("context"),
            "--local",
            &local("dockerfile"),
        ]);
        drop(build.ok());
    }

    /// Returns the text of a request about the Dockerfile.
    fn ask(&self, case: &Case, context: &Path, request: &str) -> String {
        let request = format!("requestid=frontend.{request}");
        self.request(case, context)
            .args(["--opt", &request])
            .run()
            .stdout
    }
}

impl Builder for BuildKit<'_> {
    fn build(&self, case: &Case) -> (Answer, Finished) {
        let context = self.bench.lay_out(case);
        let output = context.with_file_name("buildkit.tar");
        let _turn = self.turn.lock().expect("no build panics with it");
        self.forget_context();
        let to = format!(
            "type=oci,compression=uncompressed,dest={}",
            output.display()
        );
        let finished = self.request(case, &context).args(["--output", &to]).run();
        let mut answer = self.bench.answer(&finished, &output);
        let warnings = lint::of_text(&self.ask(case, &context, "lint"));
        answer.calls(case, &warnings, |call| self.ask(case, &context, call));
        (answer, finished)
    }
}

/// Returns a name of a local source that no other build has.
fn source_name(context: &Path, name: &str) -> String {
    let digest = oci::sha256(context.as_os_str().as_encoded_bytes());
    format!("{name}-{}", digest.hex().get(..16).unwrap_or_default())
}

/// Returns what `buildctl` calls the options of a `kiln build` line.
fn options(command: &[String], context: &Path, bases: &BaseImages) -> Vec<String> {
    let mut options = Vec::new();
    let mut words = command.iter().skip(1);
    while let Some(word) = words.next() {
        if word == "." {
            continue;
        }
        let (flag, value) = match word.split_once('=') {
            Some((flag, value)) if word.starts_with("--") => (flag, value.to_owned()),
            _ => (word.as_str(), words.next().cloned().unwrap_or_default()),
        };
        let opt = match flag {
            "--target" | "--platform" => format!("{}={value}", &flag[2..]),
            "--build-arg" | "--label" => format!("{}:{value}", &flag[2..]),
            "-f" | "--file" => format!("filename={value}"),
            "--network" => format!("force-network-mode={value}"),
            "--add-host" => format!("add-hosts={}", value.replacen(':', "=", 1)),
            "--ulimit" => format!("ulimit={value}"),
            "--shm-size" => format!("shm-size={value}"),
            "--no-cache-filter" => format!("no-cache={value}"),
            "--build-context" => {
                let (name, source) = value.split_once('=').expect("NAME=SOURCE");
                let source = if let Some(image) = source.strip_prefix("docker-image://") {
                    format!("oci-layout://bases@{}", bases.digests()[image])
                } else {
                    let key = source_name(context, name);
                    options.extend(["--local".to_owned(), format!("{key}={source}")]);
                    format!("local:{key}")
                };
                format!("context:{name}={source}")
            }
            "--secret" | "--ssh" | "--allow" => {
                options.extend([flag.to_owned(), value]);
                continue;
            }
            other => panic!("no translation of {other} for buildctl"),
        };
        options.extend(["--opt".to_owned(), opt]);
    }
    options
}
