// SPDX-License-Identifier: Apache-2.0
//! Bringing one commit into the bare repository that is kept of its remote.
//!
//! A commit that is there already needs no fetch. Otherwise it alone is fetched, by its id, which
//! is the same commit whatever happens to branches meanwhile; servers that cannot do that are asked
//! for everything. What was fetched is held by `refs/kiln/<id>`, so that the next fetch tells the
//! server and gets only what is new.
//!
//! Docs: git-fetch(1); git `Documentation/gitprotocol-v2` §fetch: any object may be wanted.

use std::path::Path;

use cache::Mirror;

use super::GitError;
use super::command::{Git, Place};
use super::resolve::{Resolved, is_commit_id};

/// A commit whose files are in a mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Commit {
    pub(crate) id: String,
    /// When it was committed, in seconds since 1970.
    pub(crate) time: i64,
}

/// Makes sure that a commit is in the mirror of its remote.
///
/// # Errors
///
/// [`GitError`].
pub(crate) async fn fetch(
    git: &Git<'_>,
    mirror: &Mirror,
    resolved: &Resolved,
) -> Result<Commit, GitError> {
    let dir = mirror.dir();
    if mirror.is_fresh() {
        init(git, dir, &resolved.object).await?;
    }
    let mut found = find(git, dir, &resolved.object).await?;
    if found.is_none() {
        bring(git, dir, &resolved.object).await?;
        found = find(git, dir, &resolved.object).await?;
    }
    let id = found.ok_or_else(|| GitError::NoReference {
        reference: resolved.object.clone(),
        similar: Vec::new(),
    })?;
    let peeled = (id != resolved.object).then(|| id.clone());
    let found = Resolved {
        peeled,
        ..resolved.clone()
    };
    found.check(git.source().checksum.as_deref())?;
    let time = commit_time(git, dir, &id).await?;
    Ok(Commit { id, time })
}

async fn init(git: &Git<'_>, dir: &Path, object: &str) -> Result<(), GitError> {
    let format = object_format(object);
    git.run(Place::bare(dir), &["init", "--quiet", "--bare", format])
        .await?;
    Ok(())
}

/// Returns the option of `git init` for repositories with ids like this one.
pub(super) fn object_format(id: &str) -> &'static str {
    if id.len() == 64 {
        "--object-format=sha256"
    } else {
        "--object-format=sha1"
    }
}

/// Returns the commit that an id leads to, if it is in the repository.
async fn find(git: &Git<'_>, dir: &Path, id: &str) -> Result<Option<String>, GitError> {
    let commit = format!("{id}^{{commit}}");
    let found = git
        .run(
            Place::bare(dir),
            &["rev-parse", "--verify", "--quiet", &commit],
        )
        .await;
    match found {
        Ok(answer) => {
            let id = String::from_utf8_lossy(&answer).trim().to_owned();
            Ok(Some(id).filter(|id| is_commit_id(id)))
        }
        Err(GitError::Failed { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Fetches `id`: alone if the server can, else with whatever it takes.
async fn bring(git: &Git<'_>, dir: &Path, id: &str) -> Result<(), GitError> {
    let url = git.source().remote.url.as_str();
    let exact = format!("+{id}:refs/kiln/{id}");
    let fetch = ["fetch", "--progress", "--no-write-fetch-head", "--force"];
    let run = async |more: &[&str]| {
        let arguments: Vec<&str> = fetch.iter().chain(more).copied().collect();
        git.run(Place::bare(dir), &arguments).await
    };
    let first = run(&["--depth=1", "--no-tags", "--", url, &exact]).await;
    let said = match first {
        Ok(_) => return Ok(()),
        Err(GitError::Failed { message, .. }) => message,
        Err(error) => return Err(error),
    };
    if said.contains("shallow") || said.contains("depth") {
        match run(&["--no-tags", "--", url, &exact]).await {
            Ok(_) => return Ok(()),
            Err(GitError::Failed { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    let mut everything = vec!["--no-tags"];
    if dir.join("shallow").exists() {
        everything.push("--unshallow");
    }
    everything.extend([
        "--",
        url,
        "+refs/heads/*:refs/kiln/heads/*",
        "+refs/tags/*:refs/kiln/tags/*",
    ]);
    run(&everything).await.map(drop)
}

async fn commit_time(git: &Git<'_>, dir: &Path, id: &str) -> Result<i64, GitError> {
    let commit = git
        .run(Place::bare(dir), &["cat-file", "commit", id])
        .await?;
    committed_at(&String::from_utf8_lossy(&commit)).ok_or(GitError::Answer("cat-file"))
}

/// Returns the time of the committer in the text of a commit.
///
/// Docs: git `Documentation/gitformat-signature`, `git-fast-import(1)` §committer: `name <mail> seconds zone`.
fn committed_at(commit: &str) -> Option<i64> {
    let header = commit.split("\n\n").next()?;
    let line = header.lines().find(|line| line.starts_with("committer "))?;
    let (_, when) = line.rsplit_once('>')?;
    when.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_that_of_the_committer() {
        let commit = "tree x\nauthor A <a@b> 1 +0000\ncommitter C > <c@d> 1700000000 +0100\n\ncommitter X <x@y> 5 +0000\n";
        assert_eq!(committed_at(commit), Some(1_700_000_000));
        assert_eq!(committed_at("tree x\n\ncommitter X <x@y> 5 +0000\n"), None);
    }
}
