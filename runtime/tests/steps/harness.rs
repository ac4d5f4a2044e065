// SPDX-License-Identifier: Apache-2.0
//! The loop over cases, as root and as an ordinary user; processes that cases start of this very
//! program.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use runtime::{EnterOptions, Rung, enter};

use crate::bed::Bed;
use crate::life_cases;

/// A name and what to do.
pub(crate) type Case = (&'static str, fn(&Bed));

const USER: &str = "kiln-test";

pub(crate) fn main(cases: &[&[Case]]) -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--as-user", dir, filter] => {
            let rung = Rung::SubordinateIds;
            if run_cases(cases, Path::new(dir), filter, rung) {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        ["--victim", dir] => life_cases::be_victim(Path::new(dir)),
        ["--terminal", dir] => life_cases::be_terminal(Path::new(dir)),
        ["--list", ..] => ExitCode::SUCCESS,
        words => {
            let filter = words.iter().find(|word| !word.starts_with('-'));
            as_root(cases, filter.copied().unwrap_or_default())
        }
    }
}

fn as_root(cases: &[&[Case]], filter: &str) -> ExitCode {
    if !rustix::process::geteuid().is_root() || !Path::new("/bin/busybox").exists() {
        println!("skipped: needs root and /bin/busybox (package busybox-static)");
        return ExitCode::SUCCESS;
    }
    let dir = tempfile::tempdir().unwrap();
    // Before `enter`: afterwards a spawned process would be the same, but this one has threads.
    let user_passed = as_user(dir.path(), filter);
    let root_dir = dir.path().join("root");
    std::fs::create_dir(&root_dir).unwrap();
    let passed = run_cases(cases, &root_dir, filter, Rung::Root);
    if passed && user_passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs this program as an ordinary user, made for this purpose if need be.
fn as_user(dir: &Path, filter: &str) -> bool {
    let run = |program: &str, args: &[&str]| {
        let status = Command::new(program)
            .args(args)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status();
        status.is_ok_and(|status| status.success())
    };
    let is_new = !run("getent", &["passwd", USER]);
    if is_new && !run("useradd", &["--no-create-home", USER])
        || !run("newuidmap", &[]) && !has_newuidmap()
    {
        println!("skipped as an ordinary user: needs useradd and newuidmap (package uidmap)");
        return true;
    }
    let own = dir.join("user");
    std::fs::create_dir(&own).unwrap();
    let program = own.join("steps");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let name = |path: &Path| path.display().to_string();
    run("chown", &["-R", USER, &name(&own)]);
    run("chmod", &["0755", &name(dir)]);
    let (program, own) = (name(&program), name(&own));
    let identity = ["--reuid", USER, "--regid", USER, "--clear-groups"];
    let status = Command::new("setpriv")
        .args(identity)
        .args([&program, "--as-user", &own, filter])
        .status();
    if is_new {
        run("userdel", &[USER]);
    }
    status.is_ok_and(|status| status.success())
}

fn has_newuidmap() -> bool {
    ["/usr/bin/newuidmap", "/bin/newuidmap"]
        .iter()
        .any(|path| Path::new(path).exists())
}

fn run_cases(cases: &[&[Case]], dir: &Path, filter: &str, rung: Rung) -> bool {
    let scratch: PathBuf = dir.join("scratch");
    let runtime = match enter(EnterOptions { scratch }) {
        Ok(runtime) => runtime,
        Err(error) => {
            println!("cannot enter as {rung:?}: {error:?} ({:?})", error.hint());
            return false;
        }
    };
    assert_eq!(runtime.rung(), rung);
    let bed = Bed::new(runtime, dir);
    let (mut passed, mut failed) = (0, 0);
    for (name, case) in cases.iter().copied().flatten() {
        if !name.contains(filter) {
            continue;
        }
        let result = catch_unwind(AssertUnwindSafe(|| case(&bed)));
        println!(
            "test {rung:?}: {name} ... {}",
            if result.is_ok() { "ok" } else { "FAILED" }
        );
        if result.is_ok() {
            passed += 1;
        } else {
            failed += 1;
        }
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {word}. {passed} passed; {failed} failed ({rung:?})\n");
    failed == 0
}
