// SPDX-License-Identifier: Apache-2.0
//! Layer blobs: compress once and hash both sides in one pass, and back.
//!
//! [`LayerWriter`] takes the bytes of a tar and gives a blob with its digest and the diff ID.
//! [`LayerReader`] takes a blob and gives the bytes of the tar and their diff ID. Neither knows
//! what a tar is.
//!
//! Invariants
//! 1. The blob is a function of the tar's bytes, the compression and its level: the number of
//!    threads changes nothing, because blocks end at fixed offsets and are compressed apart.
//! 2. Memory is bounded: a fixed number of blocks is in flight, whatever the layer's size.
//!
//! Spec: image-spec `layer.md`, `config.md` §Layer DiffID; RFC 1952 §2.2 (a gzip file is a series of
//! members); RFC 8878 §3 (zstd data is a series of frames).

mod compress;
mod decompress;
mod pipeline;
#[cfg(test)]
mod tests;
mod writer;

pub use compress::{CompressError, Compression};
pub use decompress::{LayerReader, ReadLayerError, decoder};
pub use writer::{LayerBlob, LayerWriter, WriteLayerError};
