// SPDX-License-Identifier: Apache-2.0
//! CONTEXT and `--build-context`: where files of a build come from.

use std::path::PathBuf;
use std::str::FromStr;

use oci::Reference;

/// The main context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ContextArg {
    /// A directory.
    Directory(PathBuf),
    /// Standard input: a Dockerfile, or a tar file with one.
    Stdin,
}

/// A context besides the main one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NamedContext {
    /// A directory.
    Directory(PathBuf),
    /// An image, which also replaces the image or stage of that name.
    Image(Reference),
}

/// Why a context is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ContextError {
    /// Not `name=value`.
    #[error("`{0}` is not of the form name=value")]
    NotAPair(String),
    /// A URL of a kind that comes later.
    #[error("contexts from {kind} are not supported yet: {text}")]
    Unsupported {
        /// The kind.
        kind: &'static str,
        /// The text.
        text: String,
    },
    /// The image is no reference.
    #[error("`{text}` is not an image: {source}")]
    Image {
        /// The text.
        text: String,
        /// What is wrong with it.
        source: oci::ParseReferenceError,
    },
}

/// Returns what kind of URL `text` is, if it is one. Docs: docker's `urlutil`: also
/// `github.com/…` and `git@…` mean git.
fn remote_kind(text: &str) -> Option<&'static str> {
    let is = |prefixes: &[&str]| prefixes.iter().any(|prefix| text.starts_with(prefix));
    let path = text.split(['#', '?']).next().unwrap_or(text);
    if is(&["git://", "git@", "ssh://", "github.com/"])
        || (is(&["http://", "https://"]) && path.strip_suffix(".git").is_some())
    {
        return Some("a git repository");
    }
    if is(&["http://", "https://"]) {
        return Some("an http URL");
    }
    if is(&["oci-layout://"]) {
        return Some("an OCI layout");
    }
    is(&["target:", "input:"]).then_some("another target")
}

fn refuse_remote(text: &str) -> Result<(), ContextError> {
    match remote_kind(text) {
        None => Ok(()),
        Some(kind) => Err(ContextError::Unsupported {
            kind,
            text: text.into(),
        }),
    }
}

impl FromStr for ContextArg {
    type Err = ContextError;

    fn from_str(text: &str) -> Result<Self, ContextError> {
        if text == "-" {
            return Ok(Self::Stdin);
        }
        refuse_remote(text)?;
        Ok(Self::Directory(text.into()))
    }
}

/// Parses `--build-context NAME=VALUE`. The name is compared without case.
pub(crate) fn parse_named(text: &str) -> Result<(String, NamedContext), ContextError> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = pair.ok_or_else(|| ContextError::NotAPair(text.into()))?;
    let name = name.to_lowercase();
    if let Some(image) = value.strip_prefix("docker-image://") {
        let reference = image.parse().map_err(|source| ContextError::Image {
            text: image.into(),
            source,
        })?;
        return Ok((name, NamedContext::Image(reference)));
    }
    refuse_remote(value)?;
    Ok((name, NamedContext::Directory(value.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contexts_are_told_apart() {
        assert_eq!("-".parse(), Ok(ContextArg::Stdin));
        assert_eq!(".".parse(), Ok(ContextArg::Directory(".".into())));
        for text in [
            "https://example.com/x.git#main:sub",
            "git@example.com:x",
            "github.com/a/b",
            "https://example.com/x.tar.gz",
        ] {
            assert!(text.parse::<ContextArg>().is_err(), "{text}");
        }
        let image = parse_named("Base=docker-image://alpine").unwrap();
        assert_eq!(image.0, "base");
        assert!(matches!(image.1, NamedContext::Image(_)));
        assert!(matches!(
            parse_named("x=dir"),
            Ok((_, NamedContext::Directory(_)))
        ));
        assert!(parse_named("x").is_err());
        assert!(parse_named("x=oci-layout://d").is_err());
    }
}
