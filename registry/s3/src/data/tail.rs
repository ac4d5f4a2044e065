// SPDX-License-Identifier: Apache-2.0
//! What was appended after the last whole part: gathered in memory, put away in scraps.
//!
//! A scrap is an object with some bytes of the tail. Scraps are written when a request ends or its
//! client falls silent, and read back when the part is full. Bytes that are in a scrap are not
//! written again, so that chunks of any size cost at most two writes of each byte.

use std::sync::Arc;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use registry::storage::StorageError;

use super::object::{self, Reader};
use super::payload::Payload;
use super::pool::{Buffer, Pool, SMALL_BYTES, full};
use super::resume::{INLINE_MAX_BYTES, Scrap};
use crate::client::Bucket;

/// How many scraps are read at once.
const READS: usize = 8;

/// The bytes after the last part.
#[derive(Debug)]
pub(super) struct Tail {
    pool: Arc<Pool>,
    scraps: Vec<Scrap>,
    /// How many bytes the scraps have.
    scrap_bytes: usize,
    /// What comes after the scraps while no buffer is held.
    inline: Vec<u8>,
    buffer: Option<Buffer>,
    /// Whether the buffer begins with the bytes of the scraps.
    is_loaded: bool,
}

impl Tail {
    pub(super) fn new(pool: &Arc<Pool>, scraps: Vec<Scrap>, inline: Vec<u8>) -> Self {
        let sizes = scraps.iter().map(|scrap| scrap.size_bytes);
        Self {
            pool: Arc::clone(pool),
            scrap_bytes: usize::try_from(sizes.sum::<u64>()).unwrap_or(usize::MAX),
            scraps,
            inline,
            buffer: None,
            is_loaded: false,
        }
    }

    /// How many bytes there are.
    pub(super) fn len(&self) -> usize {
        let fresh = self.buffer.as_ref().map_or(self.inline.len(), Buffer::len);
        let before = if self.is_loaded { 0 } else { self.scrap_bytes };
        before.saturating_add(fresh)
    }

    pub(super) fn scraps(&self) -> &[Scrap] {
        &self.scraps
    }

    pub(super) fn inline(&self) -> &[u8] {
        &self.inline
    }

    /// Returns a buffer with room, to be put back by [`Self::put_back`]. `wanted` is how long the
    /// tail is going to be, as far as is known.
    pub(super) async fn room(
        &mut self,
        bucket: &Bucket,
        wanted: usize,
    ) -> Result<Buffer, StorageError> {
        let is_full = self.buffer.as_ref().is_none_or(|buffer| buffer.room() == 0);
        if is_full {
            let fresh = wanted.saturating_sub(self.scrap_bytes);
            if self.buffer.is_none() && fresh.max(self.inline.len()) < SMALL_BYTES {
                let mut buffer = self.pool.small().await;
                let inline = std::mem::take(&mut self.inline);
                buffer.extend(&inline).map_err(full)?;
                self.buffer = Some(buffer);
            } else {
                self.load(bucket, wanted).await?;
            }
        }
        Ok(self.buffer.take().expect("made just now"))
    }

    pub(super) fn put_back(&mut self, buffer: Buffer) {
        self.buffer = Some(buffer);
    }

    /// Brings everything into one large buffer for `wanted` bytes.
    async fn load(&mut self, bucket: &Bucket, wanted: usize) -> Result<(), StorageError> {
        let limit = wanted.max(self.len()).max(1);
        let mut large = self.pool.large(limit).await;
        if !self.is_loaded {
            // Opened ahead, but read into the one buffer that was waited for.
            let scraps = stream::iter(self.scraps.clone());
            let mut opened = scraps
                .map(|scrap| async move {
                    let range = 0..scrap.size_bytes;
                    Reader::open(bucket, &scrap.key, range).await
                })
                .buffered(READS);
            while let Some(mut reader) = opened.try_next().await? {
                while let Some(bytes) = reader.next().await? {
                    large.extend(&bytes).map_err(full)?;
                }
            }
        }
        if let Some(buffer) = self.buffer.take() {
            for piece in buffer.pieces() {
                large.extend(piece).map_err(full)?;
            }
        }
        let inline = std::mem::take(&mut self.inline);
        large.extend(&inline).map_err(full)?;
        self.is_loaded = true;
        self.buffer = Some(large);
        Ok(())
    }

    /// Takes all bytes away, to be sent; also returns the scraps, which nothing needs once the
    /// bytes are sent and that is recorded.
    pub(super) async fn take(
        &mut self,
        bucket: &Bucket,
    ) -> Result<(Payload, Vec<Scrap>), StorageError> {
        if !self.is_loaded && !self.scraps.is_empty() {
            self.load(bucket, self.len()).await?;
        }
        let inline = Payload::from(std::mem::take(&mut self.inline));
        let bytes = self.buffer.take().map_or(inline, Payload::from);
        self.is_loaded = false;
        self.scrap_bytes = 0;
        Ok((bytes, std::mem::take(&mut self.scraps)))
    }

    /// Gives the memory back: what is in no scrap yet becomes one with the key that `name` makes,
    /// unless it is little.
    pub(super) async fn put_away(
        &mut self,
        bucket: &Bucket,
        name: impl FnOnce() -> String,
    ) -> Result<(), StorageError> {
        let from = if self.is_loaded { self.scrap_bytes } else { 0 };
        self.is_loaded = false;
        let Some(buffer) = self.buffer.take() else {
            return Ok(());
        };
        let mut fresh = Payload::from(buffer);
        fresh.skip(from);
        if fresh.len() <= INLINE_MAX_BYTES {
            self.inline = fresh.to_vec();
            return Ok(());
        }
        let (key, size) = (name(), fresh.len());
        object::put(bucket, &key, fresh).await?;
        self.scrap_bytes += size;
        self.scraps.push(Scrap {
            key,
            size_bytes: size as u64,
        });
        Ok(())
    }
}
