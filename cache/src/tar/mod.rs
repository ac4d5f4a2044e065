// SPDX-License-Identifier: Apache-2.0
//! The tar format: a strict reader and a canonical writer.
//!
//! Knows bytes only: no file is touched here, and no name is trusted or interpreted.
//!
//! Spec: POSIX.1-2017 `pax` §Extended Description (ustar and pax interchange formats). Docs: GNU tar
//! manual §D "Tar Internals" (long names, sparse files).

mod error;
mod header;
mod pax;
mod reader;
mod sparse;
#[cfg(test)]
mod tests;
mod writer;

pub use error::TarError;
pub(crate) use reader::{TarEntry, TarKind, TarReader};
pub(crate) use writer::{EntryHead, TarWriter};

/// Tells whether these bytes are a tar header: a block with the right checksum that is not empty.
pub(crate) fn is_header(bytes: &[u8]) -> bool {
    let Ok(block) = <&[u8; BLOCK_BYTES]>::try_from(bytes) else {
        return false;
    };
    bytes.iter().any(|byte| *byte != 0) && header::has_right_checksum(block)
}

/// The unit of a tar.
pub(crate) const BLOCK_BYTES: usize = 512;

/// The longest path, and the longest link target, in bytes: the kernel's `PATH_MAX`.
pub const PATH_BYTES_MAX: usize = 4096;

/// The largest extended header or long name.
///
/// Ours: room for a path, a link target and some attributes of [`XATTR_BYTES_MAX`].
pub const EXTENDED_HEADER_BYTES_MAX: u64 = 1 << 20;

/// The largest value of one extended attribute: the kernel's limit.
pub const XATTR_BYTES_MAX: usize = 64 * 1024;

/// The most entries of one layer.
pub const ENTRIES_MAX: u64 = 10_000_000;

/// The most bytes that the files of one layer may have together, holes counted too.
pub const UNPACKED_BYTES_MAX: u64 = 64 << 30;

/// The most pieces of one sparse file.
pub const SPARSE_PIECES_MAX: usize = 1 << 20;
