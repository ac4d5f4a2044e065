// SPDX-License-Identifier: Apache-2.0
//! What a test needs of the machine, and what happens where it is missing.

use std::path::{Path, PathBuf};

use crate::setting;

/// Something that not every machine has.
#[derive(Clone, Copy, Debug)]
pub enum Requirement {
    /// The test runs as root.
    Root,
    /// A program of the Debian package of the second name.
    Program(&'static str, &'static str),
    /// Overlay mounts as an ordinary user, and subordinate ids to give to one.
    UserNamespaces,
}

impl Requirement {
    fn is_met(self) -> bool {
        match self {
            Self::Root => rustix::process::geteuid().is_root(),
            Self::Program(name, _) => find_program(name).is_some(),
            Self::UserNamespaces => {
                let limit = std::fs::read_to_string("/proc/sys/user/max_user_namespaces");
                limit.is_ok_and(|text| text.trim() != "0") && find_program("newuidmap").is_some()
            }
        }
    }
}

impl std::fmt::Display for Requirement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Root => f.write_str("root"),
            Self::Program(name, package) => write!(f, "{name} (Debian package {package})"),
            Self::UserNamespaces => f.write_str("user namespaces and newuidmap (package uidmap)"),
        }
    }
}

/// Says whether a test cannot run here, after one line that says why.
///
/// Under `KILN_TESTS_STRICT` the test fails instead, so that CI cannot lose tests silently.
#[expect(clippy::print_stderr, reason = "a test that did not run must be seen")]
pub fn lacks(test: &str, requirements: &[Requirement]) -> bool {
    let missing: Vec<String> = requirements
        .iter()
        .filter(|requirement| !requirement.is_met())
        .map(ToString::to_string)
        .collect();
    if missing.is_empty() {
        return false;
    }
    let line = format!("not run: {test} needs {}", missing.join(", "));
    assert!(!setting::is_strict(), "{line}");
    eprintln!("{line}");
    true
}

/// Returns the program of Debian with this name.
///
/// The system's directories come first: another build of `docker` in `/usr/local` may lack what
/// Debian's has.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    ["/usr/bin", "/usr/sbin", "/bin", "/sbin", "/usr/local/bin"]
        .iter()
        .map(|directory| Path::new(directory).join(name))
        .find(|path| path.is_file())
}
