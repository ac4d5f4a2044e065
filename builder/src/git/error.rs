// SPDX-License-Identifier: Apache-2.0
//! Why nothing came from a git repository.

use std::time::Duration;

/// Why nothing came from a git repository.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitError {
    /// There is no `git` on this machine.
    #[error("the program `git` is not found")]
    NotInstalled,
    /// The program could not be started or spoken with.
    #[error("cannot run git")]
    Run(#[source] std::io::Error),
    /// The server knows no such repository, or does not say so to strangers.
    #[error("there is no such repository, or it is private")]
    NotFound {
        /// The secret that would be used for its host, if one could be.
        secret: Option<String>,
    },
    /// The server wants to know who is asking.
    #[error("the server wants credentials, or refuses those it got")]
    Denied {
        /// The secret that would be used for its host, if one could be.
        secret: Option<String>,
    },
    /// A repository over ssh, and no agent.
    #[error("a repository over ssh needs an ssh agent")]
    NoAgent,
    /// The host key is not the one that was seen before.
    #[error("the ssh host key of {0} is not the one that is known")]
    HostKey(String),
    /// The server is not who it says, as far as the certificates go that are trusted.
    #[error("the certificate of {0} is not trusted")]
    Certificate(String),
    /// Nobody answers at that address.
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
    /// The repository has no such branch, tag or commit.
    #[error("the repository has no branch, tag or commit {reference:?}")]
    NoReference {
        /// What was asked for.
        reference: String,
        /// Names that it does have.
        similar: Vec<String>,
    },
    /// The repository has no commits.
    #[error("the repository has no default branch")]
    Empty,
    /// The name of a branch, tag or commit that git would not take.
    #[error("{0:?} is not a valid name of a branch, tag or commit")]
    BadReference(String),
    /// A checksum that is no commit.
    #[error("invalid checksum {0:?}: expected the id of a commit, in hexadecimal digits")]
    BadChecksum(String),
    /// Fetching by commit needs a whole commit id.
    #[error("fetch-by-commit needs a checksum or a reference with all digits of a commit id")]
    CommitNeeded,
    /// The commit is not the one that was asked for.
    #[error("the checksum does not match: expected commit {expected}, got {actual}{}", also_hint(.peeled.as_ref()))]
    Checksum {
        /// What the instruction says.
        expected: String,
        /// What the repository has.
        actual: String,
        /// The commit behind it, if it is an annotated tag.
        peeled: Option<String>,
    },
    /// The subdirectory does not exist.
    #[error("the repository has no directory {0:?}")]
    NoSubdir(String),
    /// Something on the way to the subdirectory is no directory.
    #[error("{0:?} in the repository is not a directory")]
    NotADirectory(String),
    /// An address that is not one of git's, or hides an option.
    #[error("{0:?} is not an address that git sources may use (http, https, ssh and git are)")]
    BadAddress(String),
    /// A credential that would break out of its header.
    #[error("secret {0:?} has characters that no HTTP header may have")]
    BadSecret(String),
    /// The repository, or a submodule of it, is behind a protocol that may not be used.
    #[error(
        "a submodule uses the protocol {0:?}, which is not allowed (http, https, ssh and git are)"
    )]
    Protocol(String),
    /// Nothing happened for too long.
    #[error("git was silent for {} s and was stopped", .0.as_secs())]
    Stalled(Duration),
    /// It printed more than an answer can be.
    #[error("the server's answer is too long")]
    TooLong,
    /// The build was stopped.
    #[error("cancelled")]
    Cancelled,
    /// git failed for another reason.
    #[error("git {command} failed: {message}")]
    Failed {
        /// The subcommand.
        command: String,
        /// The end of what it said.
        message: String,
    },
    /// git's answer is not understood.
    #[error("git {0} gave an answer that is not understood")]
    Answer(&'static str),
    /// The mirror could not be used.
    #[error("cannot use the kept copy of the repository")]
    Mirror(#[source] cache::MirrorError),
    /// A file of ours could not be written.
    #[error("cannot write the checkout")]
    Write(#[source] cache::FileError),
}

fn also_hint(peeled: Option<&String>) -> String {
    peeled.map_or_else(String::new, |peeled| {
        format!(" (an annotated tag of commit {peeled})")
    })
}
