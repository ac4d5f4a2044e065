// SPDX-License-Identifier: Apache-2.0
//! SSH agents: what `RUN --mount=type=ssh` lets a step sign with, and never lets it have.
//!
//! A step talks to a socket of kiln's own, which lives as long as the step. It answers two requests:
//! which keys are there, and sign this. The user's agent and key files are never mounted, and no
//! step can add, remove or lock keys.
//!
//! Only the id of an agent is part of a graph or a key.
//!
//! `Observed:` BuildKit 73ed6825 `session/sshforward/sshprovider`: the same two requests pass.

mod key;
mod key_file;
mod number;
mod serve;
mod wire;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

pub use key::KeyProblem;
pub(crate) use serve::{AgentSocket, SocketOwner};

/// The id of the agent of a mount that names none.
pub const DEFAULT_AGENT: &str = "default";

/// The agents of one build, by id.
#[derive(Clone, Debug, Default)]
pub struct SshAgents(BTreeMap<String, SshAgent>);

/// Who answers for one id.
#[derive(Clone)]
pub enum SshAgent {
    /// An agent that listens at this path.
    Socket(PathBuf),
    /// kiln itself, with these keys.
    Keys(SshKeys),
}

/// Private keys, in memory only.
#[derive(Clone, Default)]
pub struct SshKeys(Arc<Vec<key::PrivateKey>>);

impl SshKeys {
    /// The largest key file, in bytes. Docs: BuildKit's limit.
    pub const FILE_MAX_BYTES: usize = 100 << 10;

    /// Reads the contents of key files.
    ///
    /// # Errors
    ///
    /// [`KeyProblem`] of the first file that is not a private key kiln can use, with its position.
    pub fn read(files: &[Vec<u8>]) -> Result<Self, (usize, KeyProblem)> {
        let keys = files.iter().enumerate();
        let keys = keys.map(|(at, file)| key_file::read(file).map_err(|problem| (at, problem)));
        Ok(Self(Arc::new(keys.collect::<Result<_, _>>()?)))
    }

    fn iter(&self) -> impl Iterator<Item = &key::PrivateKey> {
        self.0.iter()
    }
}

impl SshAgents {
    /// Adds an agent; false if the id is taken.
    pub fn insert(&mut self, id: String, agent: SshAgent) -> bool {
        match self.0.entry(id) {
            std::collections::btree_map::Entry::Occupied(_) => false,
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(agent);
                true
            }
        }
    }

    /// Returns the agent with this id.
    pub(crate) fn get(&self, id: &str) -> Option<&SshAgent> {
        self.0.get(id)
    }
}

impl fmt::Debug for SshAgent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => f.debug_tuple("Socket").field(path).finish(),
            Self::Keys(keys) => keys.fmt(f),
        }
    }
}

impl fmt::Debug for SshKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}
