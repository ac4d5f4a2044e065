// SPDX-License-Identifier: Apache-2.0
//! Why a step failed.

use std::path::PathBuf;
use std::sync::Arc;

use cache::{RecordError, SnapshotError};
use graph::SourceFile;
use oci::Reference;

use crate::cdi::DeviceError;
use crate::git::GitError;
use crate::ops::host_ca::HostCaError;
use crate::ops::http::HttpError;

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// The process ended with a code that does not count as success.
    #[error("process {command:?} did not complete successfully: exit code: {code}")]
    Exit {
        /// What ran, as it was written.
        command: String,
        /// Its exit code; 128 + n for signal n.
        code: i32,
    },
    /// The process could not be started.
    #[error("cannot run the step")]
    Start(#[source] runtime::RunError),
    /// The build was stopped.
    #[error("cancelled")]
    Cancelled,
    /// A source of COPY or ADD does not exist.
    #[error("{path:?} is not found{}", ignored.as_ref().map_or(String::new(), |ignored| format!(": {ignored}")))]
    SourceNotFound {
        /// The path, as it was written.
        path: String,
        /// The line of the ignore file that hides it, if one does.
        ignored: Option<IgnoredBy>,
        /// A path of the same tree with nearly that name.
        similar: Option<String>,
    },
    /// Files could not be copied.
    #[error("cannot copy {path:?}")]
    Copy {
        /// The source, as it was written.
        path: String,
        /// Why.
        source: cache::CopyError,
    },
    /// Files could not be checksummed.
    #[error("cannot read {path:?}")]
    Checksum {
        /// What was read.
        path: String,
        /// Why.
        source: cache::ContentError,
    },
    /// A file could not be made or removed.
    #[error("cannot write {path:?}")]
    Write {
        /// Where.
        path: String,
        /// Why.
        source: cache::WriteError,
    },
    /// The tree below could not be read.
    #[error("cannot read the root file system")]
    View(#[from] cache::ViewError),
    /// A local context cannot be opened.
    #[error("cannot open the build context {}", path.display())]
    Context {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: cache::FileError,
    },
    /// A pattern of `--exclude` or `--parents` cannot be used.
    #[error("a pattern cannot be used")]
    Pattern(#[from] graph::pattern::ParsePatternError),
    /// Permissions in a form that is not understood.
    #[error("permissions cannot be used")]
    Chmod(#[from] cache::ParseChmodError),
    /// An owner is a name, and there is no root file system to look it up in.
    #[error("owner {0:?} has a name, and there is no root file system to find it in")]
    NoAccounts(String),
    /// A required secret was not given.
    #[error("secret {0:?} is required and was not given")]
    SecretMissing(String),
    /// A required SSH agent was not given.
    #[error("SSH agent {0:?} is required and was not given (give one with `--ssh {0}`)")]
    SshMissing(String),
    /// The socket of an SSH agent could not be made.
    #[error("cannot make a socket for SSH agent {id:?}")]
    SshSocket {
        /// Which agent.
        id: String,
        /// Why.
        source: std::io::Error,
    },
    /// The step is for another processor, and nothing here runs its programs.
    #[error(
        "{platform} programs do not run on this machine ({}){}",
        oci::Platform::host(),
        interpreter.as_ref().map_or(String::new(), |path| format!(
            ": its interpreter {} does not work in steps, because it is not static", path.display()
        ))
    )]
    NoEmulation {
        /// What the step's programs are for.
        platform: Box<oci::Platform>,
        /// The interpreter that is registered for them, if there is one.
        interpreter: Option<PathBuf>,
    },
    /// A named context was not given.
    #[error("build context {0:?} was not given")]
    ContextMissing(String),
    /// The user has not consented to what the step wants.
    #[error("the step wants {0}, which is not allowed")]
    NotAllowed(&'static str),
    /// A device of this machine cannot be had.
    #[error("the step wants a device")]
    Device(#[from] DeviceError),
    /// kiln does not do this yet.
    #[error("{0} is not supported yet")]
    Unsupported(&'static str),
    /// A base image could not be fetched or unpacked.
    #[error("cannot fetch image {}", .reference.familiar())]
    Image {
        /// Which.
        reference: Box<Reference>,
        /// Why.
        source: crate::ops::image::ImageFetchError,
    },
    /// A source identifier that no frontend of ours makes.
    #[error("source {0:?} is not understood")]
    BadSource(String),
    /// A download failed.
    #[error("cannot download {url}")]
    Http {
        /// From where, without credentials.
        url: String,
        /// Why.
        source: HttpError,
    },
    /// What was downloaded cannot be read again.
    #[error("cannot read the download {name:?}")]
    ReadDownload {
        /// The file.
        name: String,
        /// Why.
        source: std::io::Error,
    },
    /// A git repository could not be fetched.
    #[error("cannot fetch {url}")]
    Git {
        /// From where, without credentials.
        url: String,
        /// Why.
        source: Box<GitError>,
    },
    /// The cache could not be read or written.
    #[error("the build cache failed")]
    Record(#[from] RecordError),
    /// A snapshot could not be made or found.
    #[error("the build cache failed")]
    Snapshot(#[from] SnapshotError),
    /// A cache mount could not be opened.
    #[error("cannot open the cache mount {id:?}")]
    CacheMount {
        /// Which.
        id: String,
        /// Why.
        source: cache::CacheMountError,
    },
    /// The CA bundle of the host cannot be used.
    #[error("cannot use the CA bundle of this machine")]
    HostCa(#[from] HostCaError),
    /// The log of the step cannot be written.
    #[error("cannot write the log {}", path.display())]
    Log {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An extra host has no valid address.
    #[error("{ip:?} is not an address (for host {host:?})")]
    BadHostAddress {
        /// The name.
        host: String,
        /// What was given as its address.
        ip: String,
    },
}

impl StepError {
    /// Tells whether the step did not fail by itself.
    pub(crate) fn is_cancelled(&self) -> bool {
        matches!(
            self,
            Self::Cancelled | Self::Record(RecordError::Cancelled(_))
        ) || matches!(self, Self::Start(runtime::RunError::Cancelled))
    }
}

/// The line of an ignore file that hides a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IgnoredBy {
    /// The file.
    pub file: Arc<SourceFile>,
    /// The pattern, as it was written.
    pub pattern: String,
    /// Its line, from 1.
    pub line: usize,
}

impl std::fmt::Display for IgnoredBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "it is excluded by line {} of {} ({})",
            self.line, self.file.name, self.pattern
        )
    }
}
