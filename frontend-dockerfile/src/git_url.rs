// SPDX-License-Identifier: Apache-2.0
//! Git addresses as ADD and contexts write them.
//!
//! Forms: `git://`, `ssh://`, `user@host:path`, and `http(s)://` if the path ends in `.git`; behind
//! it `#ref[:subdir]` or a query of `ref`, `tag`, `branch`, `subdir`, `commit`, `checksum`,
//! `keep-git-dir`, `submodules`, `mtime`, `fetch-by-commit`.
//!
//! `Observed:` BuildKit 73ed6825 `frontend/dockerfile/dfgitutil`.

use std::collections::BTreeMap;

/// A git address taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GitUrl {
    /// The address without fragment and query.
    pub(crate) remote: String,
    /// Host and path, as they name the source.
    pub(crate) name: String,
    /// Branch, tag or commit; empty is the default branch.
    pub(crate) reference: String,
    /// The directory in the repository that counts; empty is all.
    pub(crate) subdir: String,
    pub(crate) checksum: Option<String>,
    pub(crate) keep_git_dir: Option<bool>,
    pub(crate) submodules: Option<bool>,
    pub(crate) mtime: Option<String>,
    pub(crate) fetch_by_commit: bool,
}

impl GitUrl {
    /// Reads an address; nothing if it is not git's, an error text if it is but cannot be used.
    #[expect(
        clippy::case_sensitive_file_extension_comparisons,
        reason = "an address, not a file: git hosts and BuildKit tell the cases apart"
    )]
    pub(crate) fn parse(text: &str) -> Option<Result<Self, String>> {
        let (address, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (address, query) = address.split_once('?').unwrap_or((address, ""));
        let name = match address.split_once("://") {
            Some(("git" | "ssh", rest)) => rest
                .rsplit_once('@')
                .map_or(rest, |(_, host)| host)
                .to_owned(),
            Some(("http" | "https", rest)) if rest.ends_with(".git") && rest.contains('/') => {
                let (host, path) = rest.split_once('/')?;
                let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
                format!("{host}/{path}")
            }
            Some(_) => return None,
            None => scp_name(address)?,
        };
        let (reference, subdir) = fragment.split_once(':').unwrap_or((fragment, ""));
        let mut url = Self {
            remote: address.to_owned(),
            name,
            reference: reference.to_owned(),
            subdir: subdir.to_owned(),
            ..Self::default()
        };
        Some(url.read_query(query, !fragment.is_empty()).map(|()| url))
    }

    fn read_query(&mut self, query: &str, has_fragment: bool) -> Result<(), String> {
        for field in query.split('&').filter(|field| !field.is_empty()) {
            let (key, value) = field.split_once('=').unwrap_or((field, ""));
            if has_fragment && matches!(key, "ref" | "tag" | "branch" | "subdir") {
                return Err(format!("`{key}` conflicts with the part behind `#`"));
            }
            let truth = || match value {
                "" | "1" | "true" => Ok(true),
                "0" | "false" => Ok(false),
                _ => Err(format!("invalid value `{value}` for `{key}`")),
            };
            match key {
                "ref" => value.clone_into(&mut self.reference),
                "tag" => self.reference = format!("refs/tags/{value}"),
                "branch" => self.reference = format!("refs/heads/{value}"),
                "subdir" => value.clone_into(&mut self.subdir),
                "checksum" | "commit" => self.checksum = Some(value.to_owned()),
                "keep-git-dir" => self.keep_git_dir = Some(truth()?),
                "submodules" => self.submodules = Some(truth()?),
                "mtime" if matches!(value, "checkout" | "commit") => {
                    self.mtime = Some(value.to_owned());
                }
                "fetch-by-commit" => self.fetch_by_commit = truth()?,
                "mtime" => return Err(format!("invalid value `{value}` for `mtime`")),
                _ => return Err(format!("unexpected query `{key}` in a git address")),
            }
        }
        let is_commit = |text: &str| text.len() >= 7 && text.bytes().all(|b| b.is_ascii_hexdigit());
        if let Some(checksum) = self.checksum.as_deref().filter(|text| !is_commit(text)) {
            return Err(format!("`{checksum}` is not a commit id"));
        }
        Ok(())
    }

    /// Returns identifier and attributes of the source.
    pub(crate) fn source(&self) -> (String, BTreeMap<String, String>) {
        let mut identifier = format!("git://{}", self.name);
        if !self.reference.is_empty() || !self.subdir.is_empty() {
            identifier.push('#');
            identifier.push_str(&self.reference);
        }
        if !self.subdir.is_empty() {
            identifier.push(':');
            identifier.push_str(&self.subdir);
        }
        let mut attrs = BTreeMap::from([("git.fullurl".to_owned(), self.remote.clone())]);
        let mut set =
            |name: &str, value: &str| attrs.insert(format!("git.{name}"), value.to_owned());
        if self.remote.starts_with("http") {
            set("authtokensecret", "GIT_AUTH_TOKEN");
            set("authheadersecret", "GIT_AUTH_HEADER");
        }
        if self.keep_git_dir == Some(true) {
            set("keepgitdir", "true");
        }
        if self.submodules == Some(false) {
            set("skipsubmodules", "true");
        }
        if let Some(checksum) = &self.checksum {
            set("checksum", checksum);
        }
        if let Some(mtime) = &self.mtime {
            set("mtime", mtime);
        }
        if self.fetch_by_commit {
            set("fetchbycommit", "true");
        }
        (identifier, attrs)
    }
}

/// Returns `host/path` of `user@host:path`.
fn scp_name(address: &str) -> Option<String> {
    let (user, rest) = address.split_once('@')?;
    let (host, path) = rest.split_once(':')?;
    let word = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    };
    (word(user) && word(host) && !path.is_empty())
        .then(|| format!("{host}/{}", path.trim_start_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_git_address() {
        for (text, identifier) in [
            (
                "https://example.org/a/b.git",
                Some("git://example.org/a/b.git"),
            ),
            (
                "https://example.org/a/b.git#v1:sub/dir",
                Some("git://example.org/a/b.git#v1:sub/dir"),
            ),
            (
                "https://example.org/a/b.git?tag=v1",
                Some("git://example.org/a/b.git#refs/tags/v1"),
            ),
            ("git://example.org/a", Some("git://example.org/a")),
            ("ssh://git@example.org/a", Some("git://example.org/a")),
            (
                "git@example.org:a/b.git#main",
                Some("git://example.org/a/b.git#main"),
            ),
            ("https://example.org/a/b", None),
            ("github.com/a/b", None),
            ("./a.git", None),
            ("a:b", None),
        ] {
            let found = GitUrl::parse(text).map(|url| url.unwrap().source().0);
            assert_eq!(found.as_deref(), identifier, "{text}");
        }
    }

    #[test]
    fn queries_are_checked() {
        for (text, message) in [
            (
                "https://h/a.git?nope=1",
                "unexpected query `nope` in a git address",
            ),
            (
                "https://h/a.git?branch=x#y",
                "`branch` conflicts with the part behind `#`",
            ),
            ("https://h/a.git?checksum=main", "`main` is not a commit id"),
            (
                "https://h/a.git?submodules=maybe",
                "invalid value `maybe` for `submodules`",
            ),
        ] {
            assert_eq!(GitUrl::parse(text), Some(Err(message.to_owned())), "{text}");
        }
    }
}
