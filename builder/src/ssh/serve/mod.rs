// SPDX-License-Identifier: Apache-2.0
//! The socket that one step sees: takes requests, lets two kinds through, is gone with the step.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;

use super::wire::{
    self, FAILURE, Fields, IDENTITIES_ANSWER, REQUEST_IDENTITIES, SIGN_REQUEST, SIGN_RESPONSE,
};
use super::{SshAgent, SshKeys};

/// Conversations of one step at the same time; further ones wait.
const CONVERSATIONS_MAX: usize = 64;
/// Name of the socket in its directory.
const SOCKET: &str = "agent";

/// A socket that answers for an agent. Dropping it ends every conversation and removes the socket.
#[derive(Debug)]
pub(crate) struct AgentSocket {
    directory: TempDir,
    _serving: JoinSet<()>,
}

/// Who may use a socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SocketOwner {
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl AgentSocket {
    /// Listens in a new directory below `parent`. Must be called within a tokio runtime, from any
    /// thread of it.
    pub(crate) fn listen(parent: &Path, agent: &SshAgent, owner: SocketOwner) -> io::Result<Self> {
        std::fs::create_dir_all(parent)?;
        let directory = tempfile::Builder::new().prefix("ssh-").tempdir_in(parent)?;
        let path = directory.path().join(SOCKET);
        let listener = bind(directory.path())?;
        chown(&path, Some(owner.uid), Some(owner.gid))?;
        std::fs::set_permissions(&path, PermissionsExt::from_mode(owner.mode & 0o777))?;
        let mut serving = JoinSet::new();
        serving.spawn_on(
            serve(listener, agent.clone()),
            &tokio::runtime::Handle::current(),
        );
        Ok(Self {
            directory,
            _serving: serving,
        })
    }

    /// Returns where the socket is on this machine.
    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join(SOCKET)
    }
}

/// Binds below a directory whose path may be longer than the 107 bytes of a socket's address.
fn bind(directory: &Path) -> io::Result<UnixListener> {
    let directory = OwnedFd::from(std::fs::File::open(directory)?);
    let short = format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd());
    UnixListener::bind(short)
}

async fn serve(listener: UnixListener, agent: SshAgent) {
    let mut conversations = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while conversations.try_join_next().is_some() {}
        if conversations.len() >= CONVERSATIONS_MAX {
            conversations.join_next().await;
        }
        conversations.spawn(converse(stream, agent.clone()));
    }
}

/// Answers until either side is gone.
async fn converse(mut step: UnixStream, agent: SshAgent) {
    let mut outside = match &agent {
        SshAgent::Keys(_) => None,
        SshAgent::Socket(path) => match UnixStream::connect(path).await {
            Ok(stream) => Some(stream),
            Err(_) => return,
        },
    };
    while let Some(request) = wire::read(&mut step).await {
        let answer = match (&agent, &mut outside) {
            _ if !may_pass(&request) => Some(vec![FAILURE]),
            (SshAgent::Keys(keys), _) => Some(answer(keys, &request)),
            (SshAgent::Socket(_), Some(outside)) => ask(outside, &request).await,
            (SshAgent::Socket(_), None) => None,
        };
        let Some(answer) = answer else { return };
        if wire::write(&mut step, &answer).await.is_none() {
            return;
        }
    }
}

/// Tells whether a request neither changes the agent nor asks for an extension of it.
fn may_pass(request: &[u8]) -> bool {
    matches!(request.first(), Some(&(REQUEST_IDENTITIES | SIGN_REQUEST)))
}

async fn ask(outside: &mut UnixStream, request: &[u8]) -> Option<Vec<u8>> {
    wire::write(outside, request).await?;
    wire::read(outside).await
}

/// Answers as an agent that holds `keys`.
fn answer(keys: &SshKeys, request: &[u8]) -> Vec<u8> {
    let mut fields = Fields(request);
    match fields.byte() {
        Some(REQUEST_IDENTITIES) => {
            let mut out = vec![IDENTITIES_ANSWER];
            wire::put_u32(&mut out, u32::try_from(keys.0.len()).unwrap_or(u32::MAX));
            for key in keys.iter() {
                wire::put_string(&mut out, &key.public);
                wire::put_string(&mut out, b"");
            }
            out
        }
        Some(SIGN_REQUEST) => sign(keys, &mut fields).unwrap_or_else(|| vec![FAILURE]),
        _ => vec![FAILURE],
    }
}

fn sign(keys: &SshKeys, fields: &mut Fields<'_>) -> Option<Vec<u8>> {
    let (public, message, flags) = (fields.string()?, fields.string()?, fields.u32()?);
    let key = keys.iter().find(|key| key.public == public)?;
    let mut out = vec![SIGN_RESPONSE];
    wire::put_string(&mut out, &key.sign(message, flags)?);
    Some(out)
}

#[cfg(test)]
mod tests;
