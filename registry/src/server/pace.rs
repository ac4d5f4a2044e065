// SPDX-License-Identifier: Apache-2.0
//! A body that is not read ahead of its client.
//!
//! Observed: hyper 1 takes up to 16 pieces of a body before it writes any, whatever their size, so
//! a client that takes nothing would hold them all.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::{TryStreamExt as _, stream};
use tokio::sync::Notify;

use crate::storage::Stream;

/// How many pieces lie ready at least: one is read while another is written.
const PIECES: usize = 2;
/// How many bytes lie ready at least: stores cut their answers into smaller pieces than we do.
const READY_BYTES: usize = 32 << 10;

/// What was handed over and is not written yet.
#[derive(Debug, Default)]
struct Ready {
    /// The number of pieces, and of their bytes.
    counts: Mutex<(usize, usize)>,
    written: Notify,
}

impl Ready {
    fn is_full(&self) -> bool {
        let counts = self.counts.lock().expect("no code panics under this lock");
        counts.0 >= PIECES && counts.1 >= READY_BYTES
    }

    fn add(self: &Arc<Self>, bytes: Bytes) -> Bytes {
        let mut counts = self.counts.lock().expect("no code panics under this lock");
        counts.0 += 1;
        counts.1 += bytes.len();
        let ready = Arc::clone(self);
        Bytes::from_owner(Piece { bytes, ready })
    }
}

/// A piece on its way; dropped when it was written.
struct Piece {
    bytes: Bytes,
    ready: Arc<Ready>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        {
            let counts = self.ready.counts.lock();
            let mut counts = counts.expect("no code panics under this lock");
            counts.0 -= 1;
            counts.1 -= self.bytes.len();
        }
        self.ready.written.notify_one();
    }
}

/// Returns `stream` so that it goes on only while little of it waits to be written.
///
/// Whoever collects the pieces instead of dropping them waits for ever.
pub(super) fn paced(stream: Stream) -> Stream {
    let state = (stream, Arc::new(Ready::default()));
    Box::pin(stream::try_unfold(
        state,
        |(mut stream, ready)| async move {
            while ready.is_full() {
                ready.written.notified().await;
            }
            let piece = stream.try_next().await?;
            Ok(piece.map(|piece| (ready.add(piece), (stream, ready))))
        },
    ))
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt as _, StreamExt as _};

    use super::*;

    fn pieces(size: usize) -> Stream {
        let pieces = stream::iter(0..100).map(move |_| Ok(Bytes::from(vec![7; size])));
        paced(Box::pin(pieces))
    }

    #[tokio::test]
    async fn what_nobody_takes_is_not_read() {
        for (size, ready) in [(256 << 10, 2), (16 << 10, 2), (8 << 10, 4)] {
            let mut stream = pieces(size);
            let mut held = Vec::new();
            while let Some(piece) = stream.try_next().now_or_never() {
                held.push(piece.unwrap().unwrap());
            }
            assert_eq!(held.len(), ready, "pieces of {size} bytes");
            held.pop();
            let next = stream.try_next().now_or_never();
            assert!(next.is_some(), "one was written: the next is read");
        }
    }

    #[tokio::test]
    async fn what_is_taken_comes_whole() {
        let mut stream = pieces(20_000);
        let mut count = 0;
        while let Some(piece) = stream.try_next().await.unwrap() {
            count += piece.len();
        }
        assert_eq!(count, 100 * 20_000);
    }
}
