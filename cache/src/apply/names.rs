// SPDX-License-Identifier: Apache-2.0
//! Names of entries: cleaned, never outside, and what a whiteout's name means.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::ApplyError;

/// Spec: image-spec `layer.md` §Whiteouts.
const WHITEOUT_PREFIX: &[u8] = b".wh.";
const OPAQUE_NAME: &[u8] = b".wh..wh..opq";
/// Observed: aufs kept its own files under such names; containerd passes them over.
const AUFS_PREFIX: &[u8] = b".wh..wh.";

/// Returns the path without slashes in front, empty components and dots. `..` takes away the
/// component before it, and must have one.
pub(super) fn clean(path: &[u8]) -> Result<PathBuf, ApplyError> {
    let outside = || ApplyError::Outside(PathBuf::from(OsStr::from_bytes(path)));
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                parts.pop().ok_or_else(outside)?;
            }
            part => parts.push(part),
        }
    }
    Ok(parts.into_iter().map(OsStr::from_bytes).collect())
}

/// What a name in a layer means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A file of that name.
    Entry,
    /// The directory hides what lies below it.
    Opaque,
    /// Nothing under this name any more.
    Whiteout(OsString),
    /// A note of aufs to itself.
    Ignored,
}

pub(super) fn meaning(path: &Path, name: &OsStr) -> Result<Meaning, ApplyError> {
    let bytes = name.as_bytes();
    if bytes == OPAQUE_NAME {
        return Ok(Meaning::Opaque);
    }
    if bytes.starts_with(AUFS_PREFIX) {
        return Ok(Meaning::Ignored);
    }
    let Some(hidden) = bytes.strip_prefix(WHITEOUT_PREFIX) else {
        return Ok(Meaning::Entry);
    };
    if matches!(hidden, b"" | b"." | b"..") {
        return Err(ApplyError::BadWhiteout(path.to_owned()));
    }
    Ok(Meaning::Whiteout(OsStr::from_bytes(hidden).to_owned()))
}

/// Tells whether a user's file of this name could not be told from a whiteout.
pub(crate) fn looks_like_whiteout(name: &OsStr) -> bool {
    name.as_bytes().starts_with(WHITEOUT_PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cleaned_and_stay_inside() {
        for (rule, path, expected) in [
            ("plain", "a/b", Some("a/b")),
            (
                "a leading slash is dropped",
                "/etc/passwd",
                Some("etc/passwd"),
            ),
            ("dots and double slashes", "./a//b/./c/", Some("a/b/c")),
            ("`..` inside", "a/../b", Some("b")),
            ("the root", "./", Some("")),
            ("`..` at the start", "../b", None),
            ("`..` hidden", "a/../../b", None),
        ] {
            let cleaned = clean(path.as_bytes()).ok();
            assert_eq!(cleaned, expected.map(PathBuf::from), "{rule}");
        }
    }

    #[test]
    fn whiteout_names() {
        // Spec: image-spec layer.md §Whiteouts.
        for (name, expected) in [
            ("a", Some(Meaning::Entry)),
            (".wh.a", Some(Meaning::Whiteout("a".into()))),
            (".wh...", None),
            (".wh..", None),
            (".wh.", None),
            (".wh..wh..opq", Some(Meaning::Opaque)),
            (".wh..wh.plnk", Some(Meaning::Ignored)),
            (".wh.a.b", Some(Meaning::Whiteout("a.b".into()))),
        ] {
            let found = meaning(Path::new(name), OsStr::new(name)).ok();
            assert_eq!(found, expected, "{name}");
        }
    }
}
