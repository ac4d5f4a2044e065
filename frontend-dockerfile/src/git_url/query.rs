// SPDX-License-Identifier: Apache-2.0
//! The options that follow `?` in a git address.
//!
//! `Observed:` BuildKit 73ed6825 `dfgitutil/git_ref.go`, `loadQuery`.

use super::{GitTimes, GitUrl, GitUrlError};

/// Reads the query into `url`, which has what the fragment says.
pub(super) fn read(url: &mut GitUrl, pairs: &[(Vec<u8>, Vec<u8>)]) -> Result<(), GitUrlError> {
    let (mut tag, mut branch) = (None, None);
    for (at, (key, value)) in pairs.iter().enumerate() {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec());
        let (Ok(key), Ok(value)) = (text(key), text(value)) else {
            return Err(GitUrlError::NotUtf8);
        };
        if pairs[..at]
            .iter()
            .any(|(known, _)| *known == key.as_bytes())
        {
            return Err(GitUrlError::SeveralValues(key));
        }
        let is_switch = matches!(
            key.as_str(),
            "submodules" | "keep-git-dir" | "fetch-by-commit"
        );
        if value.is_empty() && !is_switch {
            return Err(GitUrlError::NoValue(key));
        }
        match key.as_str() {
            "ref" => set("the reference", &mut url.reference, value)?,
            "tag" => tag = Some(prefixed("refs/tags/", value)),
            "branch" => branch = Some(prefixed("refs/heads/", value)),
            "subdir" => set("the subdirectory", &mut url.subdir, value)?,
            "checksum" | "commit" => {
                let mut checksum = url.checksum.take().unwrap_or_default();
                set("the checksum", &mut checksum, value)?;
                url.checksum = Some(checksum);
            }
            "keep-git-dir" => url.keep_git_dir = Some(switch(&key, &value)?),
            "submodules" => url.submodules = Some(switch(&key, &value)?),
            "fetch-by-commit" => url.fetch_by_commit = switch(&key, &value)?,
            "mtime" => url.mtime = Some(times(&key, value)?),
            _ => return Err(GitUrlError::UnknownQuery(key)),
        }
    }
    if tag.is_some() && branch.is_some() {
        return Err(GitUrlError::BranchAndTag);
    }
    match tag.or(branch) {
        Some(name) => set("the reference", &mut url.reference, name),
        None => Ok(()),
    }
}

fn set(what: &'static str, place: &mut String, value: String) -> Result<(), GitUrlError> {
    if !place.is_empty() && *place != value {
        return Err(GitUrlError::Conflict {
            what,
            first: place.clone(),
            second: value,
        });
    }
    *place = value;
    Ok(())
}

fn prefixed(prefix: &str, name: String) -> String {
    if name.starts_with(prefix) {
        name
    } else {
        format!("{prefix}{name}")
    }
}

/// Docs: Go's `strconv.ParseBool`.
fn switch(key: &str, value: &str) -> Result<bool, GitUrlError> {
    match value {
        "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(GitUrlError::BadValue {
            key: key.to_owned(),
            value: value.to_owned(),
            expected: "true or false",
        }),
    }
}

fn times(key: &str, value: String) -> Result<GitTimes, GitUrlError> {
    match value.as_str() {
        "checkout" => Ok(GitTimes::Checkout),
        "commit" => Ok(GitTimes::Commit),
        _ => Err(GitUrlError::BadValue {
            key: key.to_owned(),
            value,
            expected: "checkout or commit",
        }),
    }
}
