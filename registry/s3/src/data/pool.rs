// SPDX-License-Identifier: Apache-2.0
//! The memory that all uploads share.
//!
//! An upload gathers at most [`SMALL_BYTES`] in a small buffer. For more it waits for a large one
//! that holds a whole part, or all that is announced. Who holds a large buffer needs nothing else
//! to fill it and send it off, so uploads never wait for each other in a circle; a client that
//! stops sending gives its buffer back. Waiting is in the order of coming, and whoever waits does
//! not read from its client.
//!
//! Buffers are made of segments, all of one size. A segment that comes back serves whoever is
//! next, however long its buffer is, and a new one is made only when none is left over: so there
//! are never more than were promised. They are mapped, because an allocator keeps some of what is
//! freed: with that, 80 MiB stayed when 32 large uploads had ended.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex};

use memmap2::MmapMut;
use registry::storage::StorageError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How much an upload gathers before it asks for a large buffer.
pub(super) const SMALL_BYTES: usize = SEGMENT_BYTES;
/// What memory comes in.
const SEGMENT_BYTES: usize = 256 << 10;
/// Which part of the memory is for small buffers, as a divisor.
const SMALL_SHARE: usize = 4;
/// How few parts fit into the large buffers at least, so that one upload cannot stop all others.
const LARGE_MIN: u32 = 2;

/// All buffers of a process.
pub(super) struct Pool {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
    /// How many segments there may be for small and for large buffers.
    limits: (u32, u32),
    /// Segments that nobody holds, kept while any is in use: a fresh one costs page faults.
    spare: Mutex<Vec<MmapMut>>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Pool {
    /// Returns a pool of about `total_bytes`, but of two parts of `part_bytes` at least.
    pub(super) fn new(total_bytes: usize, part_bytes: usize) -> Arc<Self> {
        let small_bytes = (total_bytes / SMALL_SHARE).max(SMALL_BYTES);
        let large_bytes = total_bytes.saturating_sub(small_bytes);
        let large_least = units(part_bytes).saturating_mul(LARGE_MIN);
        let limits = (units(small_bytes), units(large_bytes).max(large_least));
        let semaphore = |units| Arc::new(Semaphore::new(units as usize));
        Arc::new(Self {
            small: semaphore(limits.0),
            large: semaphore(limits.1),
            limits,
            spare: Mutex::default(),
        })
    }

    /// The largest part that can be buffered.
    pub(super) fn part_max_bytes(&self) -> usize {
        ((self.limits.1 / LARGE_MIN) as usize).saturating_mul(SEGMENT_BYTES)
    }

    /// Waits for a small buffer.
    pub(super) async fn small(self: &Arc<Self>) -> Buffer {
        self.take(&self.small, SMALL_BYTES).await
    }

    /// Waits for a buffer of `limit` bytes, which is at most [`Self::part_max_bytes`].
    pub(super) async fn large(self: &Arc<Self>, limit: usize) -> Buffer {
        self.take(&self.large, limit).await
    }

    async fn take(self: &Arc<Self>, from: &Arc<Semaphore>, limit: usize) -> Buffer {
        let permit = Arc::clone(from).acquire_many_owned(units(limit)).await;
        let permit = permit.expect("the pool is never closed");
        Buffer {
            segments: Vec::with_capacity(permit.num_permits()),
            len: 0,
            limit,
            pool: Arc::clone(self),
            permit: Some(permit),
        }
    }

    /// Returns a segment to somebody whose permit covers it.
    fn segment(&self) -> io::Result<MmapMut> {
        let mut spare = self.spare.lock().expect("no code panics under this lock");
        let segment = spare.pop();
        drop(spare);
        segment.map_or_else(|| MmapMut::map_anon(SEGMENT_BYTES), Ok)
    }

    fn give_back(&self, segments: Vec<MmapMut>, permit: Option<OwnedSemaphorePermit>) {
        let lock = || self.spare.lock().expect("no code panics under this lock");
        lock().extend(segments);
        // Only now: who gets the permit must find the segments.
        drop(permit);
        let free = |semaphore: &Semaphore| semaphore.available_permits();
        let (small, large) = self.limits;
        if free(&self.small) == small as usize && free(&self.large) == large as usize {
            lock().clear();
        }
    }
}

/// The error of a system that has less memory than it was told to use.
pub(super) fn full(cause: io::Error) -> StorageError {
    StorageError::io("find memory for", "part of an upload", cause)
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(SEGMENT_BYTES)).unwrap_or(u32::MAX >> 3)
}

/// Memory of the pool, given back on drop.
pub(super) struct Buffer {
    /// All but the last are full.
    segments: Vec<MmapMut>,
    len: usize,
    limit: usize,
    pool: Arc<Pool>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Buffer {
    /// How many bytes it still takes.
    pub(super) fn room(&self) -> usize {
        self.limit - self.len
    }

    /// How many bytes it has.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The bytes, in pieces.
    pub(super) fn pieces(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let starts = (0..self.len).step_by(SEGMENT_BYTES);
        let lengths = starts.map(|start| SEGMENT_BYTES.min(self.len - start));
        let pairs = self.segments.iter().zip(lengths);
        pairs.map(|(segment, length)| &segment[..length])
    }

    /// Adds bytes; there is room for them.
    ///
    /// # Errors
    ///
    /// If the system has no memory; some of the bytes may have been added.
    pub(super) fn extend(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        debug_assert!(bytes.len() <= self.room());
        while !bytes.is_empty() {
            let start = self.len % SEGMENT_BYTES;
            if start == 0 {
                self.segments.push(self.pool.segment()?);
            }
            let last = self
                .segments
                .last_mut()
                .expect("pushed with its first byte");
            let room = &mut last[start..];
            let (now, rest) = bytes.split_at(bytes.len().min(room.len()));
            room[..now.len()].copy_from_slice(now);
            self.len += now.len();
            bytes = rest;
        }
        Ok(())
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} of {})", self.len, self.limit)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let segments = std::mem::take(&mut self.segments);
        self.pool.give_back(segments, self.permit.take());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// How many segments exist, held or not.
    fn made(pool: &Pool, held: &[Buffer]) -> usize {
        let held: usize = held.iter().map(|buffer| buffer.segments.len()).sum();
        held + pool.spare.lock().unwrap().len()
    }

    #[tokio::test]
    async fn large_buffers_wait_for_each_other_and_not_for_small_ones() {
        let pool = Pool::new(4 << 20, 1 << 20);
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(pool.large(1 << 20).await);
        }
        let soon = Duration::from_millis(20);
        assert!(timeout(soon, pool.large(1 << 20)).await.is_err(), "is full");
        let small = timeout(soon, pool.small()).await;
        assert!(small.is_ok(), "small buffers are apart");
        let mut last = held.pop().unwrap();
        last.extend(b"x").unwrap();
        drop(last);
        let next = pool.large(1 << 20).await;
        assert_eq!((next.len(), next.room()), (0, 1 << 20), "starts empty");
    }

    #[tokio::test]
    async fn a_pool_smaller_than_two_parts_holds_two() {
        let pool = Pool::new(1 << 20, 5 << 20);
        assert_eq!(pool.part_max_bytes(), 5 << 20);
        let _one = pool.large(5 << 20).await;
        let _two = pool.large(5 << 20).await;
    }

    #[tokio::test]
    async fn memory_of_whole_parts_serves_shorter_ones() {
        // Large uploads that end at the same time end in parts of any length.
        let pool = Pool::new(16 << 20, 2 << 20);
        let full = vec![7; 2 << 20];
        let mut held = Vec::new();
        for length in [2 << 20, (2 << 20) - 9, 300_000, 2 << 20, 1, 1_500_000] {
            while let Ok(mut buffer) = timeout(Duration::from_millis(1), pool.large(length)).await {
                buffer.extend(&full[..length]).unwrap();
                held.push(buffer);
                assert!(made(&pool, &held) <= 12 * 4, "of {length} bytes");
            }
            let kept = held.pop();
            held.clear();
            held.extend(kept);
        }
        held.clear();
        assert_eq!(
            made(&pool, &held),
            0,
            "nothing is kept while nobody uploads"
        );
    }

    #[tokio::test]
    async fn a_buffer_keeps_what_comes_in_pieces_of_any_length() {
        let pool = Pool::new(4 << 20, 1 << 20);
        let bytes: Vec<u8> = (0..1_000_003_u32).map(|n| n.to_le_bytes()[1]).collect();
        let mut buffer = pool.large(bytes.len()).await;
        for piece in bytes.chunks(300_001) {
            buffer.extend(piece).unwrap();
        }
        assert_eq!((buffer.len(), buffer.room()), (bytes.len(), 0));
        assert_eq!(buffer.pieces().collect::<Vec<_>>().concat(), bytes);
    }
}
