// SPDX-License-Identifier: Apache-2.0
//! What can go wrong below the protocol.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use oci::Digest;

/// Why the storage could not do as asked.
///
/// Cloneable, because one failed commit fails every request that was part of it.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The disk is full, or a quota is used up. Nothing was changed.
    #[error("no space left for {0}")]
    Full(PathBuf),
    /// The operating system refused.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: Arc<io::Error>,
    },
    /// Storing failed in a way that makes further writes unsafe; only a restart helps.
    #[error("storage is stopped after a failed write to {0}")]
    Stopped(PathBuf),
    /// Another process holds the directory.
    #[error("{0} is in use by another registry process")]
    InUse(PathBuf),
    /// The directory was written by a version that this one does not understand.
    #[error("{path} has layout version {found}, this program understands {known}")]
    UnknownLayout {
        /// The root.
        path: PathBuf,
        /// What the directory says.
        found: String,
        /// What we know.
        known: u32,
    },
    /// The database is gone; what it held can be had from the journal and the files.
    #[error("{0} is lost, but not its journal: rebuild it with `kiln registry fsck --rebuild`")]
    DatabaseLost(PathBuf),
    /// There is no registry in the directory.
    #[error("{0} holds no registry")]
    NoRegistry(PathBuf),
    /// The metadata database failed.
    #[error("metadata database failed")]
    Meta(#[source] Arc<rusqlite::Error>),
    /// A record is not what this version writes.
    #[error("record {key} cannot be read")]
    BadRecord {
        /// Its key.
        key: String,
        /// Why not.
        source: Arc<serde_json::Error>,
    },
    /// A condition of a write did not hold: somebody else was faster.
    #[error("record {0} has changed meanwhile")]
    Conflict(String),
    /// The same conflict again and again.
    #[error("record {0} changes too fast")]
    Contended(String),
    /// The bytes are not what was promised.
    #[error("content has digest {actual}, not {expected}")]
    WrongDigest {
        /// What was promised.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// Metadata names content that is not there.
    #[error("content {0} is missing")]
    Missing(String),
}

impl StorageError {
    /// Returns the error for a failed file operation; a full disk gets its own variant.
    pub fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        let path = path.into();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::Full(path),
            _ => Self::Io {
                action,
                path,
                source: Arc::new(source),
            },
        }
    }

    /// Returns the error for a failed statement on the database at `path`.
    pub fn meta(path: impl Into<PathBuf>, source: rusqlite::Error) -> Self {
        match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full(path.into()),
            _ => Self::Meta(Arc::new(source)),
        }
    }
}
