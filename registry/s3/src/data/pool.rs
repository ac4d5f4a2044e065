// SPDX-License-Identifier: Apache-2.0
//! The memory that all uploads share.
//!
//! An upload gathers at most [`SMALL_BYTES`] in a small buffer. For more it waits for a large one
//! that holds a whole part, or all that is announced. Who holds a large buffer needs nothing else
//! to fill it and send it off, so uploads never wait for each other in a circle; a client that
//! stops sending gives its buffer back. Waiting is in the order of coming, and whoever waits does
//! not read from its client.

use std::fmt;
use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How much an upload gathers before it asks for a large buffer.
pub(super) const SMALL_BYTES: usize = 256 << 10;
/// What is counted.
const UNIT_BYTES: usize = 64 << 10;
/// Which part of the memory is for small buffers, as a divisor.
const SMALL_SHARE: usize = 4;
/// How few parts fit into the large buffers at least, so that one upload cannot stop all others.
const LARGE_MIN: usize = 2;

/// All buffers of a process.
pub(super) struct Pool {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
    large_bytes: usize,
    part_bytes: usize,
    /// Buffers of the usual size, kept while any is in use: a fresh one costs page faults.
    spare: Mutex<Vec<Vec<u8>>>,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("large_bytes", &self.large_bytes)
            .finish_non_exhaustive()
    }
}

impl Pool {
    /// Returns a pool of about `total_bytes`, but of two parts of `part_bytes` at least.
    pub(super) fn new(total_bytes: usize, part_bytes: usize) -> Arc<Self> {
        let small_bytes = (total_bytes / SMALL_SHARE).max(SMALL_BYTES);
        let large_bytes = total_bytes.saturating_sub(small_bytes);
        let large_bytes = large_bytes.max(part_bytes.saturating_mul(LARGE_MIN));
        Arc::new(Self {
            small: Arc::new(Semaphore::new(units(small_bytes) as usize)),
            large: Arc::new(Semaphore::new(units(large_bytes) as usize)),
            large_bytes,
            part_bytes,
            spare: Mutex::default(),
        })
    }

    /// The largest part that can be buffered.
    pub(super) fn part_max_bytes(&self) -> usize {
        self.large_bytes / LARGE_MIN
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
        let spare = (limit == self.part_bytes).then(|| self.spare());
        Buffer {
            bytes: spare.flatten().unwrap_or_else(|| Vec::with_capacity(limit)),
            limit,
            pool: Arc::clone(self),
            permit: Some(permit),
        }
    }

    fn spare(&self) -> Option<Vec<u8>> {
        let mut spare = self.spare.lock().expect("no code panics under this lock");
        spare.pop()
    }

    fn give_back(&self, mut bytes: Vec<u8>, permit: Option<OwnedSemaphorePermit>) {
        drop(permit);
        let is_idle = self.large.available_permits() == units(self.large_bytes) as usize;
        let mut spare = self.spare.lock().expect("no code panics under this lock");
        if is_idle {
            spare.clear();
        } else if bytes.capacity() == self.part_bytes {
            bytes.clear();
            spare.push(bytes);
        }
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX >> 3)
}

/// Memory of the pool, given back on drop.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    limit: usize,
    pool: Arc<Pool>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Buffer {
    /// How many bytes it still takes.
    pub(super) fn room(&self) -> usize {
        self.limit - self.bytes.len()
    }

    /// How many bytes it has.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Adds bytes; there is room for them.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        debug_assert!(bytes.len() <= self.room());
        self.bytes.extend_from_slice(bytes);
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} of {})", self.bytes.len(), self.limit)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.pool.give_back(bytes, self.permit.take());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

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
        last.extend(b"x");
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
}
