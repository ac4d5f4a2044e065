// SPDX-License-Identifier: Apache-2.0
//! What tests read of the world around them: the only reader of the environment here.
//!
//! | Variable | Meaning |
//! |---|---|
//! | `KILN_BIN` | the program under test; else the one built beside the tests |
//! | `KILN_TESTS_STRICT` | a test that cannot run here fails (set by `integration/test.sh`) |
//! | `KILN_TESTS_ROUNDS` | moments at which the fault tests kill; else as many as a minute allows |
//! | `KILN_TESTS_MINUTES` | how long the registry's clients play; else a few seconds |
//! | `KILN_BENCH_ROWS` | rows of the peers' bench to run, by key, separated by commas |
//! | `KILN_BUILDKIT` | address of a buildkitd that the corpus is built by too |
//! | `KILN_BLESS` | its answers are recorded in the corpus |
//! | `KILN_CORPUS` | part of the names of the cases to run |
//! | `KILN_TESTS_CACHE` | where base root file systems are kept between runs |

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

#[expect(
    clippy::disallowed_methods,
    reason = "tests are a program of their own; this is its one place that reads the environment"
)]
fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// Returns the root of the workspace: the directory that holds `Cargo.lock`.
pub fn workspace_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("integration is a directory of the workspace")
}

/// Returns the program under test.
pub fn kiln_binary() -> PathBuf {
    if let Some(path) = variable("KILN_BIN") {
        return PathBuf::from(path)
            .canonicalize()
            .expect("KILN_BIN names a program");
    }
    // target/<triple>/<profile>/deps/main-0123 → target/<triple>/<profile>/kiln
    let test = env::current_exe().expect("a process knows its program");
    let profile = test.parent().and_then(Path::parent);
    let kiln = profile.expect("tests lie in deps/").join("kiln");
    assert!(
        kiln.is_file(),
        "{} is missing: build it with `cargo build -p cli` and the profile of the tests, or set KILN_BIN",
        kiln.display()
    );
    kiln
}

/// Says whether a test that cannot run here is a failure.
pub(crate) fn is_strict() -> bool {
    variable("KILN_TESTS_STRICT").is_some()
}

/// Returns how long the registry's clients play, if that was asked for.
pub fn minutes() -> Option<u64> {
    let text = variable("KILN_TESTS_MINUTES")?;
    let minutes = text.to_str().and_then(|text| text.parse().ok());
    Some(minutes.expect("KILN_TESTS_MINUTES is a number"))
}

/// Returns how often the fault tests kill, if that was asked for.
pub fn rounds() -> Option<usize> {
    let text = variable("KILN_TESTS_ROUNDS")?;
    text.to_str().and_then(|text| text.parse().ok())
}

/// Returns the directory where what is costly to make stays between runs.
pub(crate) fn cache_dir() -> PathBuf {
    variable("KILN_TESTS_CACHE").map_or_else(
        || workspace_root().join("target/integration"),
        PathBuf::from,
    )
}

/// Returns variables of this process that programs behind a corporate network need: proxies.
pub(crate) fn network_vars() -> Vec<(&'static str, OsString)> {
    const NAMES: [&str; 6] = [
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
    ];
    NAMES
        .iter()
        .filter_map(|name| Some((*name, variable(name)?)))
        .collect()
}

/// Returns the value of `PATH`, for programs that search other programs.
pub(crate) fn search_path() -> OsString {
    variable("PATH").unwrap_or_else(|| OsString::from("/usr/sbin:/usr/bin:/sbin:/bin"))
}

/// Returns rows of the peers' bench to run, if not all (`KILN_BENCH_ROWS`, separated by commas).
pub fn bench_only() -> Option<Vec<String>> {
    let text = variable("KILN_BENCH_ROWS")?;
    Some(text.to_str()?.split(',').map(str::to_owned).collect())
}

/// Returns the address of a buildkitd that the corpus is built by too (`KILN_BUILDKIT`).
pub(crate) fn buildkit_address() -> Option<String> {
    variable("KILN_BUILDKIT")?.into_string().ok()
}

/// Says whether `BuildKit`'s answers are to be recorded (`KILN_BLESS`).
pub fn is_blessing() -> bool {
    variable("KILN_BLESS").is_some()
}

/// Returns part of the names of the cases to run (`KILN_CORPUS`); empty for all.
pub fn corpus_filter() -> String {
    let text = variable("KILN_CORPUS").unwrap_or_default();
    text.into_string().unwrap_or_default()
}
