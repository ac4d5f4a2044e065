// SPDX-License-Identifier: Apache-2.0
//! `--output`: where a result goes.
//!
//! Docs: buildx `--output type=…,key=value,…`, a bare path for `type=local`, `-` for a tar file on
//! standard output.

use std::path::PathBuf;
use std::str::FromStr;

use builder::{Compression, Destination, Output};
use oci::{ParseReferenceError, Reference};

use super::csv::{self, CsvError};

/// One `--output`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutputArg {
    /// What the builder does.
    pub(crate) output: Output,
    /// Names given with `name=`, besides those of `--tag`.
    pub(crate) names: Vec<Reference>,
    /// Compression of layers, if one was given.
    pub(crate) compression: Option<Compression>,
}

/// Why an `--output` is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OutputError {
    /// It is no list of `key=value`.
    #[error(transparent)]
    Csv(#[from] CsvError),
    /// `type=` is missing.
    #[error("type is missing (image, registry, oci, docker, local, tar, cacheonly)")]
    NoType,
    /// A type that does not exist.
    #[error("unknown type `{0}` (known: image, registry, oci, docker, local, tar, cacheonly)")]
    UnknownType(String),
    /// The type needs a destination.
    #[error("type={0} needs dest=PATH")]
    NoDestination(&'static str),
    /// A key that the type does not have.
    #[error("type={kind} has no option `{key}`")]
    UnknownKey {
        /// The type.
        kind: String,
        /// The key.
        key: String,
    },
    /// A known option that kiln cannot do.
    #[error("option {key}={value} is not supported yet")]
    Unsupported {
        /// The key.
        key: String,
        /// Its value.
        value: String,
    },
    /// A value that the key does not take.
    #[error("`{value}` is not a value of {key} ({expected})")]
    BadValue {
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// What it takes.
        expected: &'static str,
    },
    /// `name=` is no reference.
    #[error("name `{name}` is not valid: {source}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong with it.
        source: ParseReferenceError,
    },
}

const TYPES: &[&str] = &[
    "image",
    "registry",
    "oci",
    "docker",
    "local",
    "tar",
    "cacheonly",
];

/// What the keys of an `--output` say.
#[derive(Default)]
struct Options {
    kind: String,
    dest: Option<String>,
    push: bool,
    tar: Option<bool>,
    names: Vec<Reference>,
    compression: Option<Compression>,
}

/// Options whose one harmless value is accepted: it is what kiln does.
const FIXED: &[(&str, bool)] = &[
    ("oci-mediatypes", true),
    ("store", true),
    ("unpack", false),
    ("force-compression", false),
    ("rewrite-timestamp", false),
    ("push-by-digest", false),
    ("name-canonical", false),
    ("oci-artifact", true),
    ("registry.insecure", false),
    ("prefer-nondist-layers", false),
    ("platform-split", false),
];

/// Options of buildx that have no harmless value.
const UNSUPPORTED: &[&str] = &[
    "compression-level",
    "dangling-name-prefix",
    "source-date-epoch",
    "attestation-prefix",
    "attestation-inline",
];

impl FromStr for OutputArg {
    type Err = OutputError;

    fn from_str(text: &str) -> Result<Self, OutputError> {
        let fields = csv::fields(text)?;
        if fields.len() == 1 && fields[0] == text && !text.starts_with("type=") {
            return Ok(Self::bare(text));
        }
        let mut options = Options::default();
        for (key, value) in csv::pairs(text)? {
            options.take(&key, value)?;
        }
        options.finish()
    }
}

impl OutputArg {
    /// Returns the meaning of a text without keys.
    fn bare(text: &str) -> Self {
        let output = match destination(text) {
            destination @ Destination::Stdout => Output::Tar { destination },
            Destination::Path(directory) => Output::Local { directory },
        };
        Self {
            output,
            names: Vec::new(),
            compression: None,
        }
    }
}

fn destination(text: &str) -> Destination {
    match text {
        "-" => Destination::Stdout,
        path => Destination::Path(PathBuf::from(path)),
    }
}

fn boolean(key: &str, value: &str) -> Result<bool, OutputError> {
    match value.to_lowercase().as_str() {
        "true" | "1" | "t" => Ok(true),
        "false" | "0" | "f" => Ok(false),
        _ => Err(OutputError::BadValue {
            key: key.into(),
            value: value.into(),
            expected: "true or false",
        }),
    }
}

impl Options {
    fn take(&mut self, key: &str, value: String) -> Result<(), OutputError> {
        match key {
            "type" => self.kind = value,
            "dest" => self.dest = Some(value),
            "push" => self.push = boolean(key, &value)?,
            "tar" => self.tar = Some(boolean(key, &value)?),
            "name" => {
                for name in value.split(',') {
                    let name = name.trim();
                    let parsed = name.parse().map_err(|source| OutputError::Name {
                        name: name.into(),
                        source,
                    })?;
                    self.names.push(parsed);
                }
            }
            "compression" => self.compression = Some(compression(&value)?),
            "mode" if value == "copy" => {}
            _ => return fixed(key, value, &self.kind),
        }
        Ok(())
    }

    fn finish(self) -> Result<OutputArg, OutputError> {
        let kind = self.kind.as_str();
        if kind.is_empty() {
            return Err(OutputError::NoType);
        }
        if !TYPES.contains(&kind) {
            return Err(OutputError::UnknownType(kind.into()));
        }
        let only = |key: &str, given: bool, kinds: &[&str]| {
            if given && !kinds.contains(&kind) {
                return Err(OutputError::UnknownKey {
                    kind: kind.into(),
                    key: key.into(),
                });
            }
            Ok(())
        };
        only("push", self.push, &["image", "registry"])?;
        only("tar", self.tar.is_some(), &["oci", "docker"])?;
        only(
            "dest",
            self.dest.is_some(),
            &["oci", "docker", "local", "tar"],
        )?;
        let images = ["image", "registry", "oci", "docker"];
        only("name", !self.names.is_empty(), &images)?;
        only("compression", self.compression.is_some(), &images)?;
        Ok(OutputArg {
            output: self.output()?,
            names: self.names,
            compression: self.compression,
        })
    }

    fn output(&self) -> Result<Output, OutputError> {
        let dest = self.dest.as_deref();
        let needed = |kind| dest.ok_or(OutputError::NoDestination(kind));
        Ok(match self.kind.as_str() {
            "image" => Output::Image { push: self.push },
            "registry" => Output::Image { push: true },
            "oci" => Output::Oci {
                // buildx writes to standard output then; main refuses if that is a terminal.
                destination: destination(dest.unwrap_or("-")),
                tar: self.tar.unwrap_or(true),
            },
            "docker" if self.tar == Some(false) => {
                return Err(OutputError::Unsupported {
                    key: "tar".into(),
                    value: "false".into(),
                });
            }
            // Without a destination it is the same as `--load`: into the local store.
            "docker" => match dest {
                None => Output::Image { push: false },
                Some(dest) => Output::Docker {
                    destination: destination(dest),
                },
            },
            "local" => Output::Local {
                directory: PathBuf::from(needed("local")?),
            },
            "tar" => Output::Tar {
                destination: destination(dest.unwrap_or("-")),
            },
            "cacheonly" => Output::CacheOnly,
            other => return Err(OutputError::UnknownType(other.into())),
        })
    }
}

fn compression(value: &str) -> Result<Compression, OutputError> {
    match value {
        "gzip" => Ok(Compression::Gzip),
        "zstd" => Ok(Compression::Zstd),
        "uncompressed" => Ok(Compression::Uncompressed),
        "estargz" => Err(OutputError::Unsupported {
            key: "compression".into(),
            value: value.into(),
        }),
        _ => Err(OutputError::BadValue {
            key: "compression".into(),
            value: value.into(),
            expected: "gzip, zstd or uncompressed",
        }),
    }
}

fn fixed(key: &str, value: String, kind: &str) -> Result<(), OutputError> {
    if let Some((_, accepted)) = FIXED.iter().find(|(known, _)| *known == key)
        && boolean(key, &value)? == *accepted
    {
        return Ok(());
    }
    let known = FIXED.iter().any(|(known, _)| *known == key)
        || UNSUPPORTED.contains(&key)
        || key == "mode"
        || key.starts_with("annotation");
    if known {
        let key = key.into();
        return Err(OutputError::Unsupported { key, value });
    }
    Err(OutputError::UnknownKey {
        kind: kind.into(),
        key: key.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_mean_what_they_mean_to_buildx() {
        let path = |text: &str| Destination::Path(text.into());
        for (text, expected) in [
            (
                "out",
                Output::Local {
                    directory: "out".into(),
                },
            ),
            (
                "a=b",
                Output::Local {
                    directory: "a=b".into(),
                },
            ),
            (
                "-",
                Output::Tar {
                    destination: Destination::Stdout,
                },
            ),
            (
                "type=local,dest=o",
                Output::Local {
                    directory: "o".into(),
                },
            ),
            (
                "type=tar,dest=o.tar",
                Output::Tar {
                    destination: path("o.tar"),
                },
            ),
            (
                "type=tar",
                Output::Tar {
                    destination: Destination::Stdout,
                },
            ),
            ("type=image", Output::Image { push: false }),
            ("type=image,push=true", Output::Image { push: true }),
            ("type=registry", Output::Image { push: true }),
            ("type=docker", Output::Image { push: false }),
            (
                "type=docker,dest=-",
                Output::Docker {
                    destination: Destination::Stdout,
                },
            ),
            (
                "type=oci,dest=x,tar=false",
                Output::Oci {
                    destination: path("x"),
                    tar: false,
                },
            ),
            (
                "type=image,oci-mediatypes=true",
                Output::Image { push: false },
            ),
            ("type=cacheonly", Output::CacheOnly),
        ] {
            let found = text.parse::<OutputArg>().map(|arg| arg.output);
            assert_eq!(found, Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        for (text, message) in [
            (
                "dest=x,tar=true",
                "type is missing (image, registry, oci, docker, local, tar, cacheonly)",
            ),
            ("type=local", "type=local needs dest=PATH"),
            (
                "type=tarball,dest=x",
                "unknown type `tarball` (known: image, registry, oci, docker, local, tar, cacheonly)",
            ),
            (
                "type=local,dest=x,push=true",
                "type=local has no option `push`",
            ),
            (
                "type=local,dest=x,wrong=1",
                "type=local has no option `wrong`",
            ),
            (
                "type=oci,compression=estargz",
                "option compression=estargz is not supported yet",
            ),
            (
                "type=image,oci-mediatypes=false",
                "option oci-mediatypes=false is not supported yet",
            ),
            (
                "type=image,annotation.a=b",
                "option annotation.a=b is not supported yet",
            ),
            (
                "type=image,push=maybe",
                "`maybe` is not a value of push (true or false)",
            ),
        ] {
            let found = text.parse::<OutputArg>().unwrap_err().to_string();
            assert_eq!(found, message, "{text}");
        }
    }

    #[test]
    fn names_and_compression_are_kept() {
        let arg: OutputArg = r#"type=image,"name=a,b:1",compression=zstd"#.parse().unwrap();
        assert_eq!(arg.names.len(), 2);
        assert_eq!(arg.compression, Some(Compression::Zstd));
    }
}
