// SPDX-License-Identifier: Apache-2.0
//! CONTEXT and `--build-context`: where files of a build come from.
//!
//! Docs: `docker buildx build`.

use std::path::PathBuf;
use std::str::FromStr;

use frontend_dockerfile::{NamedContext, context_name};
use oci::Digest;

/// The tag of an image in a layout if none is given.
const DEFAULT_TAG: &str = "latest";

/// The main context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ContextArg {
    /// A directory, or the address of something: only the disk tells which.
    Place(String),
    /// Standard input: a Dockerfile, or a tar file with one.
    Stdin,
}

/// A context besides the main one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NamedContextArg {
    /// What the value itself says.
    Said(NamedContext),
    /// A directory.
    Directory(PathBuf),
    /// An image in a layout.
    Layout {
        /// The directory of the layout.
        path: PathBuf,
        /// Its name there.
        tag: String,
        /// Its digest, which goes before the name.
        digest: Option<Digest>,
    },
}

/// Why a context is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ContextError {
    /// Not `name=value`.
    #[error("`{0}` is not of the form name=value")]
    NotAPair(String),
    /// No image or stage could have this name.
    #[error("`{name}` cannot be the name of a context: {source}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        source: oci::ParseReferenceError,
    },
    /// The image is no reference.
    #[error("`{text}` is not an image: {source}")]
    Image {
        /// The text.
        text: String,
        /// What is wrong with it.
        source: oci::ParseReferenceError,
    },
    /// The digest behind a layout is none.
    #[error("`{text}` is not an image in a layout: {source}")]
    Digest {
        /// The text.
        text: String,
        /// What is wrong with it.
        source: oci::ParseDigestError,
    },
    /// The git address cannot be used.
    #[error("`{text}` cannot be fetched: {message}")]
    Git {
        /// The text.
        text: String,
        /// What is wrong with it.
        message: String,
    },
    /// What only a program that drives a daemon can give.
    #[error("contexts of the form {0} are not for the command line")]
    NotForPeople(&'static str),
}

impl FromStr for ContextArg {
    type Err = ContextError;

    fn from_str(text: &str) -> Result<Self, ContextError> {
        if text == "-" {
            return Ok(Self::Stdin);
        }
        Ok(Self::Place(text.to_owned()))
    }
}

/// Parses `--build-context NAME=VALUE`. The name becomes that of an image without defaults.
pub(crate) fn parse_named(text: &str) -> Result<(String, NamedContextArg), ContextError> {
    let pair = text.split_once('=').filter(|(name, _)| !name.is_empty());
    let (name, value) = pair.ok_or_else(|| ContextError::NotAPair(text.into()))?;
    let name = context_name(name).map_err(|source| ContextError::Name {
        name: name.into(),
        source,
    })?;
    Ok((name, parse_value(value)?))
}

fn parse_value(value: &str) -> Result<NamedContextArg, ContextError> {
    if value.starts_with("input:") {
        return Err(ContextError::NotForPeople("input:NAME"));
    }
    if let Some(layout) = value.strip_prefix("oci-layout://") {
        return parse_layout(layout);
    }
    let Some(context) = NamedContext::remote(value) else {
        return Ok(NamedContextArg::Directory(value.into()));
    };
    match &context {
        NamedContext::Image(image) if image != "scratch" => {
            image
                .parse::<oci::Reference>()
                .map_err(|source| ContextError::Image {
                    text: image.clone(),
                    source,
                })?;
        }
        NamedContext::Git(address) => {
            context.check().map_err(|message| ContextError::Git {
                text: address.clone(),
                message,
            })?;
        }
        _ => {}
    }
    Ok(NamedContextArg::Said(context))
}

/// Parses `PATH[:TAG][@DIGEST]`.
fn parse_layout(text: &str) -> Result<NamedContextArg, ContextError> {
    let (place, digest) = match text.split_once('@') {
        Some((place, digest)) => (place, Some(digest)),
        None => (text, None),
    };
    let digest = digest.map(str::parse).transpose();
    let digest = digest.map_err(|source| ContextError::Digest {
        text: text.into(),
        source,
    })?;
    let (path, tag) = match place.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, tag),
        _ => (place, DEFAULT_TAG),
    };
    Ok(NamedContextArg::Layout {
        path: path.into(),
        tag: tag.into(),
        digest,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_contexts_are_told_apart() {
        let image = |text: &str| NamedContextArg::Said(NamedContext::Image(text.into()));
        let layout = |path: &str, tag: &str, digest: Option<&str>| NamedContextArg::Layout {
            path: path.into(),
            tag: tag.into(),
            digest: digest.map(|text| text.parse().unwrap()),
        };
        let sum = format!("sha256:{}", "0".repeat(64));
        for (text, name, context) in [
            ("base=docker-image://alpine", "base", image("alpine")),
            (
                "docker.io/library/alpine:latest=docker-image://a",
                "alpine",
                image("a"),
            ),
            (
                "a::linux/arm64=docker-image://a",
                "a::linux/arm64",
                image("a"),
            ),
            ("x=dir", "x", NamedContextArg::Directory("dir".into())),
            ("x=a=b", "x", NamedContextArg::Directory("a=b".into())),
            (
                "x=https://h/a.git",
                "x",
                NamedContextArg::Said(NamedContext::Git("https://h/a.git".into())),
            ),
            (
                "x=https://h/a.tgz",
                "x",
                NamedContextArg::Said(NamedContext::Http("https://h/a.tgz".into())),
            ),
            (
                "x=target:y",
                "x",
                NamedContextArg::Said(NamedContext::Target("y".into())),
            ),
            ("x=oci-layout://d", "x", layout("d", "latest", None)),
            (
                "x=oci-layout:///d:8/e:v1",
                "x",
                layout("/d:8/e", "v1", None),
            ),
            (
                &format!("x=oci-layout://d:v1@{sum}"),
                "x",
                layout("d", "v1", Some(&sum)),
            ),
        ] {
            assert_eq!(parse_named(text), Ok((name.to_owned(), context)), "{text}");
        }
        for text in [
            "x",
            "=y",
            "Base=dir",
            "x=docker-image://Not An Image",
            "x=oci-layout://d@sha256:0",
            "x=https://h/a.git?nope=1",
            "x=input:y",
        ] {
            assert!(parse_named(text).is_err(), "{text}");
        }
    }
}
