// SPDX-License-Identifier: Apache-2.0
//! Git addresses as ADD and contexts write them.
//!
//! Forms: `git://`, `ssh://`, `user@host:path`, and `http(s)://` if the path ends in `.git`; for
//! contexts also `github.com/…`. Behind it `#ref[:subdir]` or a query of `ref`, `tag`, `branch`,
//! `subdir`, `commit`, `checksum`, `keep-git-dir`, `submodules`, `mtime`, `fetch-by-commit`, or both.
//!
//! `address` takes addresses apart as Go's `net/url` does, because that decides which words of a
//! Dockerfile are addresses; `query` reads the options.
//!
//! `Observed:` BuildKit 73ed6825 `frontend/dockerfile/dfgitutil`, `util/gitutil`, `client/llb`.

mod address;
mod query;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use graph::SourceOp;

use self::address::Address;
use crate::paths;

/// A git address taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GitUrl {
    /// The address without fragment and query, as git gets it.
    pub remote: String,
    /// Host and path, as they name the source.
    pub name: String,
    /// Branch, tag or commit; empty is the default branch.
    pub reference: String,
    /// The directory in the repository that counts, as written; empty is all.
    pub subdir: String,
    /// What the id of the commit begins with.
    pub checksum: Option<String>,
    /// Whether `.git` stays, if the address says so.
    pub keep_git_dir: Option<bool>,
    /// Whether submodules are fetched, if the address says so.
    pub submodules: Option<bool>,
    /// Which times files get, if the address says so.
    pub mtime: Option<GitTimes>,
    /// Whether the checksum is fetched rather than the reference.
    pub fetch_by_commit: bool,
    is_ssh: bool,
}

/// Which times the files of a checkout get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GitTimes {
    /// That of the checkout.
    Checkout,
    /// That of the commit.
    Commit,
}

/// Why a git address cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GitUrlError {
    /// There is nothing between scheme and path.
    #[error("the git address has no host")]
    NoHost,
    /// It says bytes that are no text, as `%ff`.
    #[error("the git address is not UTF-8 once it is decoded")]
    NotUtf8,
    /// A part of the query that does not exist.
    #[error(
        "unexpected query `{0}` in a git address (known: ref, tag, branch, subdir, checksum, commit, keep-git-dir, submodules, mtime, fetch-by-commit)"
    )]
    UnknownQuery(String),
    /// A part of the query without its value.
    #[error("query `{0}` of a git address has no value")]
    NoValue(String),
    /// A part of the query that is there twice.
    #[error("query `{0}` of a git address has several values")]
    SeveralValues(String),
    /// A value that cannot be.
    #[error("invalid value `{value}` for `{key}` in a git address ({expected})")]
    BadValue {
        /// Of what.
        key: String,
        /// The value.
        value: String,
        /// What it could be.
        expected: &'static str,
    },
    /// Two parts that say different things.
    #[error("{what} of a git address conflicts: `{first}` and `{second}`")]
    Conflict {
        /// Reference or subdirectory.
        what: &'static str,
        /// What came first.
        first: String,
        /// What came second.
        second: String,
    },
    /// A branch and a tag.
    #[error("branch and tag of a git address exclude each other")]
    BranchAndTag,
}

impl GitUrl {
    /// Reads an address of ADD; nothing if it is not git's, an error if it is but cannot be used.
    pub fn parse(text: &str) -> Option<Result<Self, GitUrlError>> {
        if text.starts_with("./") || text.starts_with("../") {
            return None;
        }
        Address::parse(text).map(Self::new)
    }

    /// Reads the address of a context: as [`Self::parse`], and `github.com/…`, which for ADD is a
    /// path.
    pub fn parse_context(text: &str) -> Option<Result<Self, GitUrlError>> {
        if text.starts_with("github.com/") {
            return Address::parse_shorthand(text).map(Self::new);
        }
        Self::parse(text)
    }

    fn new(address: Address) -> Result<Self, GitUrlError> {
        if address.host.is_empty() {
            return Err(GitUrlError::NoHost);
        }
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).map_err(|_| GitUrlError::NotUtf8);
        let fragment = text(address.fragment)?;
        let (reference, subdir) = fragment.split_once(':').unwrap_or((&fragment, ""));
        let (host, path) = (text(address.host)?, text(address.path)?);
        let mut url = Self {
            remote: address.remote,
            name: format!("{host}{}", paths::resolve("/", &path)),
            reference: reference.to_owned(),
            subdir: paths::resolve("/", subdir)
                .trim_start_matches('/')
                .to_owned(),
            is_ssh: address.is_ssh,
            ..Self::default()
        };
        query::read(&mut url, &address.query)?;
        Ok(url)
    }

    /// Returns the operation that fetches it.
    ///
    /// `Ours:` host keys are not part of it: BuildKit's frontend connects to the server to ask for
    /// them. `mtime` counts for ADD too; BuildKit reads it there and forgets it.
    pub fn source(&self) -> SourceOp {
        let mut identifier = format!("git://{}", self.name);
        if !self.reference.is_empty() || !self.subdir.is_empty() {
            identifier.extend(["#", &self.reference]);
        }
        if !self.subdir.is_empty() {
            identifier.extend([":", &self.subdir]);
        }
        SourceOp {
            identifier,
            attrs: self.attributes(),
        }
    }

    fn attributes(&self) -> BTreeMap<String, String> {
        let times = self.mtime.map(|times| match times {
            GitTimes::Checkout => "checkout",
            GitTimes::Commit => "commit",
        });
        let yes = |is_set: bool| is_set.then_some("true");
        [
            ("fullurl", Some(self.remote.as_str())),
            ("authtokensecret", Some("GIT_AUTH_TOKEN")),
            ("authheadersecret", Some("GIT_AUTH_HEADER")),
            ("mountsshsock", self.is_ssh.then_some("default")),
            ("keepgitdir", yes(self.keep_git_dir == Some(true))),
            ("skipsubmodules", yes(self.submodules == Some(false))),
            ("checksum", self.checksum.as_deref()),
            ("mtime", times),
            ("fetchbycommit", yes(self.fetch_by_commit)),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((format!("git.{name}"), value?.to_owned())))
        .collect()
    }
}
