// SPDX-License-Identifier: Apache-2.0
//! Which commit a branch or tag is now.
//!
//! Docs: git-ls-remote(1). Observed: BuildKit 73ed6825: a branch before a tag, a full name before
//! both; a checksum is the beginning of the id of the commit or of the annotated tag.

use super::GitError;
use super::command::{Git, Place};

/// How many names an error suggests.
const SIMILAR_MAX: usize = 3;
/// The least digits of a commit id that stand for it.
const SHORT_MIN: usize = 7;

/// What a source stands for at the moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resolved {
    /// The id that the reference has: of a commit, or of an annotated tag.
    pub(crate) object: String,
    /// The commit behind an annotated tag, if the server has told.
    pub(crate) peeled: Option<String>,
    /// Full name of the reference, e.g. `refs/heads/main`; none for a commit.
    pub(crate) reference: Option<String>,
}

impl Resolved {
    fn commit(id: &str) -> Self {
        Self {
            object: id.to_owned(),
            peeled: None,
            reference: None,
        }
    }

    /// Returns the id of the commit, as far as it is known.
    pub(crate) fn best_commit(&self) -> &str {
        self.peeled.as_deref().unwrap_or(&self.object)
    }

    /// Compares with the checksum of the instruction.
    ///
    /// # Errors
    ///
    /// [`GitError::Checksum`].
    pub(crate) fn check(&self, checksum: Option<&str>) -> Result<(), GitError> {
        let Some(expected) = checksum else {
            return Ok(());
        };
        let lower = expected.to_ascii_lowercase();
        let is_it = |id: &str| id.starts_with(&lower);
        if is_it(&self.object) || self.peeled.as_deref().is_some_and(is_it) {
            return Ok(());
        }
        Err(GitError::Checksum {
            expected: expected.to_owned(),
            actual: self.object.clone(),
            peeled: self.peeled.clone(),
        })
    }
}

/// Tells whether a text is a whole commit id (SHA-1 or SHA-256).
pub(crate) fn is_commit_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Finds out which commit the source of `git` is now. A commit id needs no question.
///
/// # Errors
///
/// [`GitError`]: no such repository or reference, another commit than the checksum says.
pub(crate) async fn resolve(git: &Git<'_>) -> Result<Resolved, GitError> {
    let source = git.source();
    let checksum = source.checksum.as_deref();
    if is_commit_id(&source.reference) {
        // A checksum that is longer cannot be compared before the object is there.
        let resolved = Resolved::commit(&source.reference);
        resolved.check(checksum)?;
        return Ok(resolved);
    }
    if source.fetch_by_commit {
        let commit = checksum.map(str::to_ascii_lowercase);
        let commit = commit
            .filter(|id| is_commit_id(id))
            .ok_or(GitError::CommitNeeded)?;
        let reference = match source.reference.as_str() {
            "" => None,
            name if name.starts_with("refs/") => Some(name.to_owned()),
            // Observed: BuildKit 73ed6825 takes a short name for a branch here.
            name => Some(format!("refs/heads/{name}")),
        };
        return Ok(Resolved {
            reference,
            ..Resolved::commit(&commit)
        });
    }
    let resolved = match source.reference.as_str() {
        "" | "HEAD" => default_branch(git).await?,
        name => named(git, name).await?,
    };
    resolved.check(checksum)?;
    let name = resolved.reference.as_deref().unwrap_or("the commit");
    git.say(&format!("{name} is {}", resolved.best_commit()));
    Ok(resolved)
}

async fn default_branch(git: &Git<'_>) -> Result<Resolved, GitError> {
    let url = &git.source().remote.url;
    let answer = git
        .run(
            Place::default(),
            &["ls-remote", "--symref", "--", url, "HEAD"],
        )
        .await?;
    let answer = String::from_utf8_lossy(&answer);
    let branch = answer
        .lines()
        .filter_map(|line| line.strip_prefix("ref: ")?.strip_suffix("\tHEAD"))
        .find(|name| name.starts_with("refs/heads/"));
    let listed = References::parse(&answer);
    let id = listed.get("HEAD").ok_or(GitError::Empty)?;
    Ok(Resolved {
        reference: branch.map(str::to_owned),
        ..Resolved::commit(id)
    })
}

async fn named(git: &Git<'_>, name: &str) -> Result<Resolved, GitError> {
    let url = &git.source().remote.url;
    let peeled = format!("{name}^{{}}");
    let answer = git
        .run(Place::default(), &["ls-remote", "--", url, name, &peeled])
        .await?;
    let answer = String::from_utf8_lossy(&answer);
    if let Some(resolved) = References::parse(&answer).resolve(name) {
        return Ok(resolved);
    }
    // Asked again for everything: for a short commit id, or for what the user may have meant.
    let answer = git
        .run(
            Place::default(),
            &["ls-remote", "--heads", "--tags", "--", url],
        )
        .await?;
    let answer = String::from_utf8_lossy(&answer);
    let all = References::parse(&answer);
    all.by_short_id(name).ok_or_else(|| GitError::NoReference {
        reference: name.to_owned(),
        similar: all.similar(name),
    })
}

/// What `ls-remote` listed: id and name.
struct References<'a>(Vec<(&'a str, &'a str)>);

impl<'a> References<'a> {
    fn parse(answer: &'a str) -> Self {
        let pairs = answer.lines().filter_map(|line| line.split_once('\t'));
        Self(pairs.filter(|(id, _)| is_commit_id(id)).collect())
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        let found = self.0.iter().find(|(_, listed)| *listed == name);
        found.map(|(id, _)| *id)
    }

    /// The asked name may be full, without `refs/`, a branch or a tag, in this order.
    fn resolve(&self, asked: &str) -> Option<Resolved> {
        let full =
            |prefix: &str| format!("{prefix}{}", asked.strip_prefix(prefix).unwrap_or(asked));
        ["refs/", "refs/heads/", "refs/tags/"]
            .map(full)
            .into_iter()
            .find_map(|name| {
                let id = self.get(&name)?;
                let peeled = name
                    .starts_with("refs/tags/")
                    .then(|| format!("{name}^{{}}"));
                Some(Resolved {
                    object: id.to_owned(),
                    peeled: peeled.and_then(|name| self.get(&name)).map(str::to_owned),
                    reference: Some(name),
                })
            })
    }

    /// The tip whose id begins with `asked`, if there is exactly one.
    fn by_short_id(&self, asked: &str) -> Option<Resolved> {
        let lower = asked.to_ascii_lowercase();
        let is_short = lower.len() >= SHORT_MIN && lower.bytes().all(|b| b.is_ascii_hexdigit());
        let mut ids = self.0.iter().map(|(id, _)| *id);
        let id = ids.find(|id| is_short && id.starts_with(&lower))?;
        let is_only = ids.all(|other| other == id || !other.starts_with(&lower));
        is_only.then(|| Resolved::commit(id))
    }

    fn similar(&self, asked: &str) -> Vec<String> {
        let asked = short(asked).to_lowercase();
        let mut near: Vec<(usize, &str)> = self
            .0
            .iter()
            .map(|(_, name)| short(name))
            .filter(|name| !name.ends_with("^{}"))
            .filter_map(|name| {
                let lower = name.to_lowercase();
                let distance = distance(&asked, &lower);
                let is_part = lower.contains(&asked) || asked.contains(&lower);
                (is_part || distance <= (asked.len() / 2).clamp(1, 3)).then_some((distance, name))
            })
            .collect();
        near.sort_unstable();
        near.dedup();
        near.truncate(SIMILAR_MAX);
        near.into_iter().map(|(_, name)| name.to_owned()).collect()
    }
}

fn short(name: &str) -> &str {
    let name = name.strip_prefix("refs/").unwrap_or(name);
    name.strip_prefix("heads/")
        .or_else(|| name.strip_prefix("tags/"))
        .unwrap_or(name)
}

/// Returns the Levenshtein distance of two names; long ones count as their beginnings.
fn distance(a: &str, b: &str) -> usize {
    /// More than this no name has that somebody mistypes.
    const COMPARED_MAX: usize = 64;
    let b: Vec<char> = b.chars().take(COMPARED_MAX).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(COMPARED_MAX).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    const C: &str = "cccccccccccccccccccccccccccccccccccccccc";

    fn listing() -> String {
        format!(
            "{A}\tHEAD\n{A}\trefs/heads/main\n{B}\trefs/heads/v1\n{C}\trefs/tags/v1\n{C}\trefs/tags/v2\n{B}\trefs/tags/v2^{{}}\n{C}\trefs/pull/7/head\n"
        )
    }

    #[test]
    fn names_are_found_in_order() {
        let text = listing();
        let all = References::parse(&text);
        for (asked, name, object, peeled) in [
            ("main", "refs/heads/main", A, None),
            ("heads/main", "refs/heads/main", A, None),
            ("v1", "refs/heads/v1", B, None),
            ("refs/tags/v1", "refs/tags/v1", C, None),
            ("tags/v1", "refs/tags/v1", C, None),
            ("v2", "refs/tags/v2", C, Some(B)),
            ("refs/pull/7/head", "refs/pull/7/head", C, None),
        ] {
            let resolved = all.resolve(asked).unwrap();
            assert_eq!(resolved.reference.as_deref(), Some(name), "{asked}");
            assert_eq!(resolved.object, object, "{asked}");
            assert_eq!(resolved.peeled.as_deref(), peeled, "{asked}");
        }
        assert_eq!(all.resolve("nope"), None);
        assert_eq!(all.resolve("HEAD"), None);
    }

    #[test]
    fn short_ids_stand_for_one_tip() {
        let text = listing();
        let all = References::parse(&text);
        assert_eq!(all.by_short_id("aaaaaaa").unwrap().object, A);
        assert_eq!(all.by_short_id("AAAAAAAA").unwrap().object, A);
        assert_eq!(all.by_short_id("aaaaaa"), None, "too short");
        assert_eq!(all.by_short_id("aaaaaab"), None);
    }

    #[test]
    fn mistyped_names_are_answered_with_near_ones() {
        let text = listing();
        let all = References::parse(&text);
        assert_eq!(all.similar("mian"), ["main"]);
        assert_eq!(all.similar("v3"), ["v1", "v2"]);
        assert!(all.similar("something-else").is_empty());
    }

    #[test]
    fn checksums_are_beginnings_of_either_id() {
        let resolved = Resolved {
            object: C.into(),
            peeled: Some(B.into()),
            reference: None,
        };
        for (checksum, is_it) in [("cc", true), ("BBBB", true), (B, true), (A, false)] {
            assert_eq!(resolved.check(Some(checksum)).is_ok(), is_it, "{checksum}");
        }
        let error = resolved.check(Some(A)).unwrap_err().to_string();
        assert!(
            error.contains(A) && error.contains(B) && error.contains(C),
            "{error}"
        );
    }
}
