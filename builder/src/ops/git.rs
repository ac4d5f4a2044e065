// SPDX-License-Identifier: Apache-2.0
//! ADD of a git repository, and git contexts: a commit, its files in a snapshot.
//!
//! The key is the id of the commit and what is made of it, not the address: another name, another
//! tag, another remote with the same commit is the same tree. Only `.git`, where it stays, knows
//! where it came from.
//!
//! Docs: BuildKit 73ed6825 `source/git/source.go`, `shaToCacheKey`.

use std::sync::{Arc, Mutex, PoisonError};

use cache::{ActiveSnapshot, CacheKey, Mirror, Record};
use graph::{SourceOp, VertexId};

use super::run::Outlet;
use super::{Made, Ops};
use crate::git::GitError;
use crate::git::checkout::checkout;
use crate::git::command::{Git, Surroundings};
use crate::git::mirror::{self, Commit};
use crate::git::resolve::{Resolved, is_commit_id, resolve};
use crate::git::source::GitSource;
use crate::progress::Stream;
use crate::result::Origin;
use crate::ssh::{AgentSocket, SocketOwner};
use crate::step_error::StepError;

/// A commit that a source was found to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitCommit {
    /// Its id, 40 or 64 hexadecimal digits.
    pub id: String,
    /// When it was committed, in seconds since 1970.
    pub time: i64,
    /// The full name of the branch or tag; none if the source names a commit.
    pub reference: Option<String>,
}

/// Finds out which commit a source is now; returns the key of its tree.
pub(crate) async fn identify(
    ops: &Arc<Ops>,
    id: VertexId,
    op: &SourceOp,
) -> Result<CacheKey, StepError> {
    let source = parse(op)?;
    if !is_commit_id(&source.reference) {
        ops.report.started(id);
    }
    let resolved = resolved(ops, id, &source).await?;
    Ok(key(&source, &resolved))
}

/// Fetches the commit and writes its files.
pub(crate) async fn make(ops: &Arc<Ops>, id: VertexId, op: &SourceOp) -> Result<Made, StepError> {
    let source = parse(op)?;
    let resolved = resolved(ops, id, &source).await?;
    let active = ops.store.prepare(None)?;
    with_git(ops, id, &source, async |git| {
        let commit = fill(ops, &git, &resolved, &active).await?;
        remember(ops, &resolved, &commit)
    })
    .await?;
    let snapshot = ops
        .blocking(move |ops| ops.store.commit(active, None))
        .await?;
    Ok(Made {
        snapshot: Some(snapshot),
        origin: Origin::Step,
    })
}

/// Returns what is known of the commit of a source that was made.
pub(crate) async fn commit(
    ops: &Arc<Ops>,
    id: VertexId,
    op: &SourceOp,
) -> Result<GitCommit, StepError> {
    let source = parse(op)?;
    let resolved = resolved(ops, id, &source).await?;
    let commit = match recall(ops, &resolved)? {
        Some(commit) => commit,
        None => {
            // Pruned records: the mirror has it, or the remote.
            with_git(ops, id, &source, async |git| {
                let mirror = open_mirror(ops, &source).await?;
                Ok(mirror::fetch(&git, &mirror, &resolved).await?)
            })
            .await?
        }
    };
    Ok(GitCommit {
        id: commit.id,
        time: commit.time,
        reference: resolved.reference,
    })
}

fn parse(op: &SourceOp) -> Result<GitSource, StepError> {
    GitSource::new(op).map_err(|source| StepError::Git {
        url: op.identifier.clone(),
        source: Box::new(source),
    })
}

/// Asks the remote once a build for each reference.
async fn resolved(ops: &Arc<Ops>, id: VertexId, source: &GitSource) -> Result<Resolved, StepError> {
    let by_commit = source
        .checksum
        .as_deref()
        .filter(|_| source.fetch_by_commit);
    let what = format!("{}#{} {by_commit:?}", source.remote.url, source.reference);
    let cell = ops.pins.git(&what);
    let ask = || with_git(ops, id, source, async |git| Ok(resolve(&git).await?));
    let resolved = cell.get_or_try_init(ask).await?.clone();
    // Somebody else may have asked, with another checksum.
    let checked = resolved.check(source.checksum.as_deref());
    checked.map_err(|error| failed(source, Failure::Git(error)))?;
    Ok(resolved)
}

/// Why work with git failed.
enum Failure {
    Git(GitError),
    Step(StepError),
}

impl From<GitError> for Failure {
    fn from(error: GitError) -> Self {
        Self::Git(error)
    }
}

impl From<StepError> for Failure {
    fn from(error: StepError) -> Self {
        Self::Step(error)
    }
}

fn failed(source: &GitSource, failure: Failure) -> StepError {
    match failure {
        Failure::Git(GitError::Cancelled | GitError::Mirror(cache::MirrorError::Cancelled(_))) => {
            StepError::Cancelled
        }
        Failure::Git(error) => StepError::Git {
            url: source.remote.url.clone(),
            source: Box::new(error),
        },
        Failure::Step(error) => error,
    }
}

/// Does `work` with a git whose output is the log of the step.
async fn with_git<T>(
    ops: &Arc<Ops>,
    id: VertexId,
    source: &GitSource,
    work: impl AsyncFnOnce(Git<'_>) -> Result<T, Failure>,
) -> Result<T, StepError> {
    let state = ops.store.path().join("git");
    let outlet = Mutex::new(Outlet::new(ops, id));
    let log = |bytes: &[u8]| {
        let mut outlet = outlet.lock().unwrap_or_else(PoisonError::into_inner);
        outlet.take(Stream::Stderr, bytes);
    };
    let agent = agent(ops, source)?;
    let surroundings = Surroundings {
        options: &ops.git,
        agent: agent.as_ref().map(AgentSocket::path),
        secrets: &ops.secrets,
        state: &state,
        cancel: &ops.cancel,
        log: &log,
    };
    let done = match Git::new(source, &surroundings) {
        Ok(git) => work(git).await,
        Err(error) => Err(error.into()),
    };
    let closed = outlet
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .finish();
    let done = done.map_err(|failure| failed(source, failure))?;
    closed?;
    Ok(done)
}

/// Makes a socket to the agent that the user has agreed to, for a repository over ssh.
fn agent(ops: &Ops, source: &GitSource) -> Result<Option<AgentSocket>, StepError> {
    /// Nobody but this process's git.
    const OWNER: SocketOwner = SocketOwner {
        mode: 0o600,
        uid: 0,
        gid: 0,
    };
    let agent = ops.ssh.get(&source.agent);
    let Some(agent) = agent.filter(|_| source.remote.is_ssh()) else {
        return Ok(None);
    };
    let socket = AgentSocket::listen(&ops.store.path().join("tmp"), agent, OWNER);
    let socket = socket.map_err(|error| StepError::SshSocket {
        id: source.agent.clone(),
        source: error,
    })?;
    Ok(Some(socket))
}

async fn open_mirror(ops: &Arc<Ops>, source: &GitSource) -> Result<Mirror, Failure> {
    let name = source.remote.url.clone();
    let opened = ops
        .blocking(move |ops| ops.store.mirror(&name, &|| ops.cancel.is_cancelled()))
        .await;
    Ok(opened.map_err(GitError::Mirror)?)
}

/// Fetches and checks out. A mirror that a crash may have damaged is made anew, once.
async fn fill(
    ops: &Arc<Ops>,
    git: &Git<'_>,
    resolved: &Resolved,
    active: &ActiveSnapshot,
) -> Result<Commit, Failure> {
    let mut mirror = open_mirror(ops, git.source()).await?;
    let was_fresh = mirror.is_fresh();
    let commit = match mirror::fetch(git, &mirror, resolved).await {
        Err(GitError::Failed { .. }) if !was_fresh && !git.is_cancelled() => {
            let reset = mirror.reset();
            reset.map_err(|error| GitError::Mirror(error.into()))?;
            mirror::fetch(git, &mirror, resolved).await?
        }
        other => other?,
    };
    checkout(git, mirror.dir(), (resolved, &commit), active).await?;
    Ok(commit)
}

fn key(source: &GitSource, resolved: &Resolved) -> CacheKey {
    let keeps = source.keeps_git_dir();
    let options = format!(
        "{keeps} {} {} {}",
        source.submodules,
        source.commit_time,
        source.subdir.join("/")
    );
    if !keeps {
        let parts = [resolved.best_commit().as_bytes(), options.as_bytes()];
        return CacheKey::of("git 1", &parts);
    }
    let reference = resolved.reference.as_deref().unwrap_or_default();
    let parts = [
        resolved.object.as_bytes(),
        options.as_bytes(),
        reference.as_bytes(),
        source.remote.url.as_bytes(),
    ];
    CacheKey::of("git with .git 1", &parts)
}

fn commit_key(resolved: &Resolved) -> CacheKey {
    CacheKey::of("git commit 1", &[resolved.object.as_bytes()])
}

fn remember(ops: &Ops, resolved: &Resolved, commit: &Commit) -> Result<(), Failure> {
    let record = Record {
        snapshot: None,
        bytes: format!("{} {}", commit.id, commit.time).into_bytes(),
    };
    let put = ops.store.put(&commit_key(resolved), &record);
    Ok(put.map_err(StepError::Record)?)
}

fn recall(ops: &Ops, resolved: &Resolved) -> Result<Option<Commit>, StepError> {
    let Some(record) = ops.store.get(&commit_key(resolved))? else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(&record.bytes);
    Ok(text.split_once(' ').and_then(|(id, time)| {
        Some(Commit {
            id: id.to_owned(),
            time: time.parse().ok()?,
        })
    }))
}
