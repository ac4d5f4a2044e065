// SPDX-License-Identifier: Apache-2.0
//! What can be wrong with a tar.

use std::io;

/// What is wrong with a tar. `entry` counts headers from 1.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TarError {
    /// The stream failed.
    #[error("cannot read the archive")]
    Read(#[source] io::Error),
    /// The stream ended in the middle of an entry.
    #[error("the archive is truncated in entry {entry}")]
    Truncated {
        /// Which header.
        entry: u64,
    },
    /// A header breaks the format.
    #[error("entry {entry} of the archive is malformed: {what}")]
    Malformed {
        /// Which header.
        entry: u64,
        /// Which rule it breaks.
        what: &'static str,
    },
    /// A kind of entry that no layer has.
    #[error("entry {entry} of the archive has the unsupported type {type_flag:?}")]
    UnsupportedType {
        /// Which header.
        entry: u64,
        /// Its type flag.
        type_flag: char,
    },
    /// More than a limit allows.
    #[error("entry {entry} of the archive exceeds a limit: {what}")]
    Limit {
        /// Which header.
        entry: u64,
        /// Which limit.
        what: &'static str,
    },
}
