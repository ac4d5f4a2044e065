// SPDX-License-Identifier: Apache-2.0
//! `--ssh`: which agent or keys a step may sign with.
//!
//! Docs: buildx `--ssh default|ID[=SOCKET|KEY[,KEY]]`.

use std::path::PathBuf;
use std::str::FromStr;

/// One `--ssh`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SshArg {
    /// Its name in the Dockerfile.
    pub(crate) id: String,
    /// A socket, or key files; none for the agent of the environment.
    pub(crate) paths: Vec<PathBuf>,
}

/// Why a `--ssh` is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SshArgError {
    /// Nothing before `=`.
    #[error("the id is missing: write default, or ID=PATH")]
    NoId,
    /// An empty path among several.
    #[error("a path is empty")]
    EmptyPath,
}

impl FromStr for SshArg {
    type Err = SshArgError;

    fn from_str(text: &str) -> Result<Self, SshArgError> {
        let (id, paths) = text.split_once('=').unwrap_or((text, ""));
        if id.is_empty() {
            return Err(SshArgError::NoId);
        }
        // `id=` is `id`.
        let paths: Vec<PathBuf> = match paths {
            "" => Vec::new(),
            paths => paths.split(',').map(PathBuf::from).collect(),
        };
        if paths.iter().any(|path| path.as_os_str().is_empty()) {
            return Err(SshArgError::EmptyPath);
        }
        Ok(Self {
            id: id.to_owned(),
            paths,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_are_named_as_for_buildx() {
        let arg = |id: &str, paths: &[&str]| {
            Ok(SshArg {
                id: id.into(),
                paths: paths.iter().map(PathBuf::from).collect(),
            })
        };
        for (text, expected) in [
            ("default", arg("default", &[])),
            ("default=", arg("default", &[])),
            ("default=/run/agent", arg("default", &["/run/agent"])),
            ("work=a,b=c", arg("work", &["a", "b=c"])),
            ("=x", Err(SshArgError::NoId)),
            ("a=x,", Err(SshArgError::EmptyPath)),
        ] {
            assert_eq!(text.parse(), expected, "{text}");
        }
    }
}
