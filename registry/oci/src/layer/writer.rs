// SPDX-License-Identifier: Apache-2.0
//! The bytes of a tar in, a layer blob out.

use std::io::{self, Write};
use std::num::NonZero;

use super::compress::{BlockCompressor, CompressError, Compression};
use super::pipeline::Pipeline;
use crate::{Descriptor, DiffId, Digest, sha256};

/// A finished layer blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerBlob {
    /// The digest of the uncompressed tar.
    pub diff_id: DiffId,
    /// The digest of the blob.
    pub digest: Digest,
    /// The size of the blob.
    pub size_bytes: u64,
    /// The size of the uncompressed tar.
    pub tar_bytes: u64,
}

impl LayerBlob {
    /// Returns the descriptor of the blob.
    pub fn descriptor(&self, compression: Compression) -> Descriptor {
        Descriptor::new(
            compression.media_type(),
            self.digest.clone(),
            self.size_bytes,
        )
    }
}

/// Why a layer blob could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteLayerError {
    /// The compression failed, or its level does not exist.
    #[error("cannot compress the layer")]
    Compress(#[source] CompressError),
    /// The place where the blob goes to failed.
    #[error("cannot write the layer blob")]
    Sink(#[source] io::Error),
}

/// Compresses and hashes what is written to it.
///
/// Threads start with the second block, so that the small layers of most steps cost no more than
/// their bytes.
pub struct LayerWriter<W> {
    state: State<W>,
    compression: Compression,
    threads: NonZero<usize>,
    block: Vec<u8>,
    tar_bytes: u64,
}

enum State<W> {
    /// Not a whole block yet.
    Small(W),
    /// Threads run.
    Running(Pipeline<W>),
    /// Between the two; seen only after a failure.
    Broken,
}

impl<W> std::fmt::Debug for LayerWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LayerWriter")
            .field("compression", &self.compression)
            .field("tar_bytes", &self.tar_bytes)
            .finish_non_exhaustive()
    }
}

impl<W: Write + Send + 'static> LayerWriter<W> {
    /// Returns a writer whose blob goes to `sink`, compressed by `threads` threads. Two more
    /// threads hash and write.
    ///
    /// # Errors
    ///
    /// [`WriteLayerError::Compress`] for a level that does not exist.
    pub fn new(
        sink: W,
        compression: Compression,
        threads: NonZero<usize>,
    ) -> Result<Self, WriteLayerError> {
        compression.validate().map_err(WriteLayerError::Compress)?;
        Ok(Self {
            state: State::Small(sink),
            compression,
            threads,
            block: Vec::new(),
            tar_bytes: 0,
        })
    }

    fn push_block(&mut self) -> io::Result<()> {
        let block = std::mem::take(&mut self.block);
        if let State::Small(_) = self.state {
            let State::Small(sink) = std::mem::replace(&mut self.state, State::Broken) else {
                return Err(broken());
            };
            self.state = State::Running(Pipeline::start(sink, self.compression, self.threads));
        }
        match &mut self.state {
            State::Running(pipeline) => pipeline.push(block),
            State::Small(_) | State::Broken => Err(broken()),
        }
    }

    /// Ends the blob; returns the sink, not flushed to disk, and what was written.
    ///
    /// # Errors
    ///
    /// [`WriteLayerError`]; also for a failure that a former `write` only hinted at.
    pub fn finish(mut self) -> Result<(W, LayerBlob), WriteLayerError> {
        let is_running = matches!(self.state, State::Running(_));
        if is_running && !self.block.is_empty() {
            // If this fails the writer thread has stopped, and the join below says why.
            drop(self.push_block());
        }
        match self.state {
            State::Running(pipeline) => pipeline.finish(self.tar_bytes),
            State::Small(sink) => finish_small(sink, self.compression, &self.block),
            State::Broken => Err(WriteLayerError::Sink(broken())),
        }
    }
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the layer writer has failed")
}

/// One block at most: the same bytes as the pipeline would make, without threads.
fn finish_small<W: Write>(
    mut sink: W,
    compression: Compression,
    block: &[u8],
) -> Result<(W, LayerBlob), WriteLayerError> {
    let compressed = BlockCompressor::new(compression)
        .and_then(|mut compressor| compressor.compress(block))
        .map_err(WriteLayerError::Compress)?;
    sink.write_all(&compressed).map_err(WriteLayerError::Sink)?;
    let blob = LayerBlob {
        diff_id: DiffId(sha256(block)),
        digest: sha256(&compressed),
        size_bytes: compressed.len() as u64,
        tar_bytes: block.len() as u64,
    };
    Ok((sink, blob))
}

impl<W: Write + Send + 'static> Write for LayerWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let block_bytes = self.compression.block_bytes();
        // A full block is passed on only when more follows, so the last one is never empty.
        if self.block.len() == block_bytes {
            self.push_block()?;
        }
        if self.block.capacity() == 0 {
            let is_first = matches!(self.state, State::Small(_));
            self.block
                .reserve_exact(if is_first { 64 << 10 } else { block_bytes });
        }
        let count = bytes.len().min(block_bytes - self.block.len());
        self.block.extend_from_slice(&bytes[..count]);
        self.tar_bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
