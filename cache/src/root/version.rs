// SPDX-License-Identifier: Apache-2.0
//! The format version of the state directory, with feature flags.
//!
//! The file `version` is text, four lines: `kiln-state 1`, then `compatible`, `read-only` and
//! `incompatible`, each followed by the names of the features in use. A version of kiln that does not know a
//! compatible feature may ignore it; a read-only one forbids writing; an incompatible one forbids
//! everything.
//!
//! Ours, after the feature flags of ext4; `docs/cache-format.md`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::file::{Attempt, FileError};

/// The format that this code writes.
const FORMAT: u32 = 1;

/// The features that this code knows, in all three classes. None yet.
const KNOWN: [&str; 0] = [];

const FRESH: &str = "kiln-state 1\ncompatible\nread-only\nincompatible\n";

/// Why the state directory is not ours to use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VersionError {
    /// The file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is not a version file.
    #[error("{} is not the version file of a kiln state directory", .0.display())]
    Malformed(PathBuf),
    /// A later format.
    #[error("the state directory {} has format {found}; this kiln knows format {FORMAT}", path.display())]
    Format {
        /// The state directory.
        path: PathBuf,
        /// The number in the file.
        found: u32,
    },
    /// A feature that forbids this kiln to use or to change the directory.
    #[error("the state directory {} uses the feature {feature:?}, which this kiln does not know", path.display())]
    Feature {
        /// The state directory.
        path: PathBuf,
        /// Its name.
        feature: String,
    },
}

/// Checks the version file, or writes it into a fresh directory.
pub(super) fn check_or_write(root: &Path) -> Result<(), VersionError> {
    let path = root.join("version");
    match fs::read_to_string(&path) {
        Ok(text) => check(root, &text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Two processes may do this at once; both write the same bytes.
            let temporary = root.join(format!("version.{:016x}", super::random_id()));
            fs::write(&temporary, FRESH).attempt("write", &temporary)?;
            Ok(fs::rename(&temporary, &path).attempt("rename", &path)?)
        }
        Err(error) => Err(FileError::new("read", path, error).into()),
    }
}

fn check(root: &Path, text: &str) -> Result<(), VersionError> {
    let malformed = || VersionError::Malformed(root.join("version"));
    let mut lines = text.lines();
    let found = lines
        .next()
        .and_then(|line| line.strip_prefix("kiln-state "))
        .and_then(|number| number.parse::<u32>().ok())
        .ok_or_else(malformed)?;
    if found != FORMAT {
        return Err(VersionError::Format {
            path: root.to_owned(),
            found,
        });
    }
    for class in ["compatible", "read-only", "incompatible"] {
        let line = lines.next().ok_or_else(malformed)?;
        let names = line.strip_prefix(class).ok_or_else(malformed)?;
        for feature in names.split_whitespace() {
            // Every use of the store writes, so read-only is as final as incompatible.
            if class != "compatible" && !KNOWN.contains(&feature) {
                return Err(VersionError::Feature {
                    path: root.to_owned(),
                    feature: feature.to_owned(),
                });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_file_decides_who_may_use_the_directory() {
        let root = Path::new("/r");
        for (rule, text, ok) in [
            ("what we write we read", FRESH, true),
            (
                "an unknown compatible feature is ignored",
                "kiln-state 1\ncompatible x\nread-only\nincompatible\n",
                true,
            ),
            (
                "an unknown read-only feature forbids writing",
                "kiln-state 1\ncompatible\nread-only x\nincompatible\n",
                false,
            ),
            (
                "an unknown incompatible feature forbids everything",
                "kiln-state 1\ncompatible\nread-only\nincompatible x\n",
                false,
            ),
            ("a later format", "kiln-state 2\n", false),
            ("something else", "hello\n", false),
            ("cut off", "kiln-state 1\ncompatible\n", false),
        ] {
            assert_eq!(check(root, text).is_ok(), ok, "{rule}");
        }
    }
}
