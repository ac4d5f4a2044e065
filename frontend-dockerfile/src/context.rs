// SPDX-License-Identifier: Apache-2.0
//! Contexts: where the files of a build come from, besides images that a Dockerfile names itself.
//!
//! Owns the names of named contexts and the source of a remote main context. Does not know where on
//! this machine a directory or a layout lies: the caller keeps those by name.
//!
//! `Observed:` BuildKit 73ed6825 `frontend/dockerui/{context,namedcontext}.go`.

use std::collections::BTreeMap;

use graph::SourceOp;
use oci::{Digest, ParseReferenceError, Platform, Reference};

use crate::git_url::{GitTimes, GitUrl};
use crate::options::BuildOptions;
use crate::span::SourceText;

/// The file that a download is, as a context.
pub(crate) const DOWNLOAD: &str = "context";
/// Names that never stand for a named context: the empty image, and the main context.
const RESERVED: [&str; 2] = ["scratch", "context"];
/// The build argument that keeps `.git` in a main context.
const KEEP_GIT_DIR_ARG: &str = "BUILDKIT_CONTEXT_KEEP_GIT_DIR";
/// The build argument that fixes all times; a checkout then has the time of its commit.
const EPOCH_ARG: &str = "SOURCE_DATE_EPOCH";

/// The main context.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum MainContext {
    /// A directory of the caller: `local://context`.
    #[default]
    Local,
    /// A git repository.
    Git(String),
    /// Something behind `http://` or `https://`.
    Http {
        /// Where.
        address: String,
        /// Whether it is an archive with the files, rather than a Dockerfile alone.
        is_archive: bool,
    },
}

impl MainContext {
    /// Returns the remote context that `text` names; none if it can only be a directory.
    pub fn remote(text: &str) -> Option<Self> {
        if git(text).is_some() {
            return Some(Self::Git(text.to_owned()));
        }
        is_http(text).then(|| Self::Http {
            address: text.to_owned(),
            is_archive: false,
        })
    }

    /// Returns what is to be fetched, if anything is, and the title of that step.
    ///
    /// # Errors
    ///
    /// What is wrong with a git address.
    pub fn source(&self, options: &BuildOptions) -> Result<Option<(SourceOp, String)>, String> {
        match self {
            Self::Local => Ok(None),
            Self::Git(address) => {
                let mut url = git(address).ok_or("not a git address")??;
                let keep = options.build_args.get(KEEP_GIT_DIR_ARG);
                if keep.is_some_and(|text| parse_bool(text) == Some(true)) {
                    url.keep_git_dir = Some(true);
                }
                let epoch = options.build_args.get(EPOCH_ARG);
                if url.mtime.is_none() && epoch.is_some_and(|text| !text.is_empty()) {
                    url.mtime = Some(GitTimes::Commit);
                }
                let title = format!("[internal] load git source {address}");
                Ok(Some((url.source(), title)))
            }
            Self::Http { address, .. } => Ok(Some((
                download(address),
                "[internal] load remote build context".to_owned(),
            ))),
        }
    }
}

/// What a name given with `--build-context` stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedContext {
    /// `docker-image://reference`
    Image(String),
    /// `oci-layout://path[:tag][@digest]`
    OciLayout {
        /// The name under which the builder knows the layout.
        store: String,
        /// The image in it.
        digest: Digest,
    },
    /// A git repository.
    Git(String),
    /// A file behind `http://` or `https://`, which is then called `context`.
    Http(String),
    /// `target:name`: a stage of the same Dockerfile.
    Target(String),
    /// A directory of the caller.
    Local {
        /// The name under which the builder knows it.
        name: String,
        /// Its ignore file.
        ignore: Option<SourceText>,
    },
}

impl NamedContext {
    /// Reads the value of `--build-context name=value` as far as it says itself what it is;
    /// none is a directory or an image layout, which only the caller can find.
    pub fn remote(value: &str) -> Option<Self> {
        if let Some(reference) = value.strip_prefix("docker-image://") {
            return Some(Self::Image(reference.to_owned()));
        }
        if let Some(stage) = value.strip_prefix("target:") {
            return Some(Self::Target(stage.to_owned()));
        }
        if git(value).is_some() {
            return Some(Self::Git(value.to_owned()));
        }
        is_http(value).then(|| Self::Http(value.to_owned()))
    }

    /// Checks what can be checked without asking anybody.
    ///
    /// # Errors
    ///
    /// What is wrong with a git address.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Git(address) => git(address).ok_or("not a git address")?.map(drop),
            _ => Ok(()),
        }
    }
}

/// Returns the form in which names of contexts are compared: that of an image reference without its
/// defaults, so that `docker.io/library/alpine:latest` is `alpine`. A platform behind `::` stays.
///
/// # Errors
///
/// The name could not be that of an image.
pub fn context_name(text: &str) -> Result<String, ParseReferenceError> {
    let (name, platform) = match text.split_once("::") {
        Some((name, platform)) => (name, Some(platform)),
        None => (text, None),
    };
    let familiar = name.parse::<Reference>()?.familiar();
    let short = familiar.strip_suffix(":latest").unwrap_or(&familiar);
    Ok(match platform {
        None => short.to_owned(),
        Some(platform) => {
            // What is no platform matches nothing, as in BuildKit.
            let normal = platform.parse::<Platform>().map(|one| one.normalized());
            let normal = normal.map_or_else(|_| platform.to_owned(), |one| one.to_string());
            format!("{short}::{normal}")
        }
    })
}

/// Returns the named context that stands in for `name` on `platform`, and the name it was given.
pub(crate) fn find<'o>(
    name: &str,
    platform: &Platform,
    contexts: &'o BTreeMap<String, NamedContext>,
) -> Option<(&'o str, &'o NamedContext)> {
    if contexts.is_empty() || RESERVED.iter().any(|word| name.eq_ignore_ascii_case(word)) {
        return None;
    }
    let name = context_name(name).ok()?;
    let special = format!("{name}::{}", platform.normalized());
    let found = contexts
        .get_key_value(&special)
        .or_else(|| contexts.get_key_value(&name));
    found.map(|(key, context)| (key.as_str(), context))
}

/// Returns the git repository that a context names: `github.com/…` needs no scheme here.
pub(crate) fn git(text: &str) -> Option<Result<GitUrl, String>> {
    let parsed = GitUrl::parse_context(text)?;
    Some(parsed.map_err(|error| error.to_string()))
}

/// Returns the source of a download that is a context.
pub(crate) fn download(address: &str) -> SourceOp {
    SourceOp {
        identifier: address.to_owned(),
        attrs: BTreeMap::from([("http.filename".to_owned(), DOWNLOAD.to_owned())]),
    }
}

/// Tells whether `text` is an address behind http.
pub(crate) fn is_http(text: &str) -> bool {
    text.starts_with("http://") || text.starts_with("https://")
}

/// Reads a truth value. Docs: Go's `strconv.ParseBool`.
fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_contexts_are_those_of_images_without_defaults() {
        for (text, expected) in [
            ("alpine", Some("alpine")),
            ("alpine:latest", Some("alpine")),
            ("docker.io/library/alpine", Some("alpine")),
            ("docker.io/library/alpine:3.18", Some("alpine:3.18")),
            ("ghcr.io/a/b:latest", Some("ghcr.io/a/b")),
            ("base::linux/arm64", Some("base::linux/arm64")),
            ("base::linux/aarch64", Some("base::linux/arm64")),
            ("Base", None),
            ("", None),
        ] {
            let found = context_name(text).ok();
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn contexts_are_found_for_the_platform_first_then_for_all() {
        let image = |name: &str| NamedContext::Image(name.to_owned());
        let contexts = BTreeMap::from([
            ("base".to_owned(), image("all")),
            ("base::linux/arm64".to_owned(), image("arm")),
            ("context".to_owned(), image("never")),
            ("scratch".to_owned(), image("never")),
        ]);
        let arm = Platform::new("linux", "arm64", None);
        let amd = Platform::new("linux", "amd64", None);
        for (name, platform, expected) in [
            ("base", &amd, Some("base")),
            ("base", &arm, Some("base::linux/arm64")),
            ("docker.io/library/base:latest", &amd, Some("base")),
            ("BASE", &amd, None),
            ("context", &amd, None),
            ("scratch", &amd, None),
            ("other", &amd, None),
        ] {
            let found = find(name, platform, &contexts).map(|(key, _)| key);
            assert_eq!(found, expected, "{name} {platform}");
        }
    }

    #[test]
    fn remote_contexts_are_told_from_directories() {
        for (text, kind) in [
            ("https://example.com/x.git#main:sub", "git"),
            ("git@example.com:x", "git"),
            ("ssh://git@example.com/x", "git"),
            ("github.com/a/b", "git"),
            ("github.com/a/b.git#v1", "git"),
            ("https://example.com/x.tar.gz", "http"),
            (".", "directory"),
            ("dir/x.git", "directory"),
        ] {
            let found = match MainContext::remote(text) {
                Some(MainContext::Git(_)) => "git",
                Some(MainContext::Http { .. }) => "http",
                _ => "directory",
            };
            assert_eq!(found, kind, "{text}");
        }
    }

    #[test]
    fn a_git_context_takes_the_time_of_its_commit_if_times_are_fixed() {
        let mut options = BuildOptions::new(Platform::host());
        let context = MainContext::remote("github.com/a/b#v1:sub").unwrap();
        let attr = |options: &BuildOptions, name: &str| {
            let (source, title) = context.source(options).unwrap().unwrap();
            assert_eq!(source.identifier, "git://github.com/a/b#v1:sub");
            assert_eq!(title, "[internal] load git source github.com/a/b#v1:sub");
            source.attrs.get(name).cloned()
        };
        assert_eq!(attr(&options, "git.mtime"), None);
        assert_eq!(attr(&options, "git.keepgitdir"), None);
        let args = [(EPOCH_ARG, "context"), (KEEP_GIT_DIR_ARG, "1")];
        options.build_args = args.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        assert_eq!(attr(&options, "git.mtime").as_deref(), Some("commit"));
        assert_eq!(attr(&options, "git.keepgitdir").as_deref(), Some("true"));
    }
}
