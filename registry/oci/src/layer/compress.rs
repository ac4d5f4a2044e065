// SPDX-License-Identifier: Apache-2.0
//! Compression of one block, so that blocks put one after another are one valid file.

use std::io;

use libdeflater::{CompressionLvl, Compressor};

use crate::MediaType;

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, level 0 (stored) to 12 (smallest); each block is a member.
    Gzip {
        /// How hard to try.
        level: u8,
    },
    /// zstd, level 1 to 22; each block is a frame.
    Zstd {
        /// How hard to try.
        level: u8,
    },
}

impl Default for Compression {
    /// gzip at level 1: twice as fast as level 6 for 5 % more bytes.
    fn default() -> Self {
        Self::Gzip { level: 1 }
    }
}

/// A compression level that does not exist, or a block that could not be compressed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompressError {
    /// gzip has levels 0 to 12, zstd 1 to 22.
    #[error("there is no compression level {0}")]
    Level(u8),
    /// libdeflate needed more space than it said it would.
    #[error("a gzip block did not fit its bound")]
    Gzip,
    /// zstd failed.
    #[error("zstd failed")]
    Zstd(#[source] io::Error),
}

/// Blocks of gzip. libdeflate keeps 1 MiB in the cache of a core, and its ratio at this size is
/// within a percent of one long stream.
const GZIP_BLOCK_BYTES: usize = 1 << 20;

/// Blocks of zstd, larger because its window is.
const ZSTD_BLOCK_BYTES: usize = 4 << 20;

impl Compression {
    /// Returns OCI's media type of a layer compressed so.
    pub fn media_type(self) -> MediaType {
        match self {
            Self::None => MediaType::OciLayer,
            Self::Gzip { .. } => MediaType::OciLayerGzip,
            Self::Zstd { .. } => MediaType::OciLayerZstd,
        }
    }

    /// Returns where blocks end. A change of these numbers changes digests.
    pub(super) fn block_bytes(self) -> usize {
        match self {
            Self::None | Self::Gzip { .. } => GZIP_BLOCK_BYTES,
            Self::Zstd { .. } => ZSTD_BLOCK_BYTES,
        }
    }

    /// Checks the level.
    pub(super) fn validate(self) -> Result<(), CompressError> {
        BlockCompressor::new(self).map(drop)
    }
}

/// Compresses blocks, one at a time. Each worker has its own.
pub(super) enum BlockCompressor {
    None,
    Gzip(Compressor),
    Zstd(Box<zstd::bulk::Compressor<'static>>),
}

impl BlockCompressor {
    pub(super) fn new(compression: Compression) -> Result<Self, CompressError> {
        Ok(match compression {
            Compression::None => Self::None,
            Compression::Gzip { level } => {
                let found = CompressionLvl::new(level.into());
                Self::Gzip(Compressor::new(
                    found.map_err(|_| CompressError::Level(level))?,
                ))
            }
            Compression::Zstd { level } => {
                if !(1..=22).contains(&level) {
                    return Err(CompressError::Level(level));
                }
                let compressor = zstd::bulk::Compressor::new(level.into());
                Self::Zstd(Box::new(compressor.map_err(CompressError::Zstd)?))
            }
        })
    }

    /// Returns the compressed block.
    pub(super) fn compress(&mut self, block: &[u8]) -> Result<Vec<u8>, CompressError> {
        match self {
            Self::None => Ok(block.to_vec()),
            Self::Gzip(compressor) => {
                let mut out = vec![0; compressor.gzip_compress_bound(block.len())];
                let used = compressor
                    .gzip_compress(block, &mut out)
                    .map_err(|_| CompressError::Gzip)?;
                out.truncate(used);
                Ok(out)
            }
            Self::Zstd(compressor) => compressor.compress(block).map_err(CompressError::Zstd),
        }
    }
}
