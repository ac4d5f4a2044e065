// SPDX-License-Identifier: Apache-2.0
//! Blobs on their way out, piece by piece.
//!
//! Owns how large the pieces are: large ones for few readers, because each costs a trip to the
//! blocking pool; small ones for many, because a reader that takes nothing keeps his.
//!
//! Does not know where files lie or who reads them.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::stream;

use crate::storage::data;

/// The largest piece. Ours: larger ones made no reader faster.
const PIECE_MAX_BYTES: u64 = 256 << 10;
/// The smallest piece, for any number of readers. Ours: below it the trips to the pool cost more
/// than the bytes.
const PIECE_MIN_BYTES: u64 = 16 << 10;
/// What one piece of every reader fills together, as long as none is the smallest: 128 readers have
/// the largest. Each holds two: one is written, one lies ready.
const PIECES_BYTES: u64 = 32 << 20;

/// How many readers there are.
#[derive(Clone, Debug, Default)]
pub(super) struct Readers(Arc<AtomicU64>);

/// One reader, counted until dropped.
#[derive(Debug)]
struct Reading(Readers);

/// Bytes whose reader counts until they are dropped, which is when they were written.
struct Counted {
    bytes: Vec<u8>,
    _reading: Reading,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Returns the size of a piece while so many read.
fn piece_bytes(readers: u64) -> u64 {
    (PIECES_BYTES / readers.max(1)).clamp(PIECE_MIN_BYTES, PIECE_MAX_BYTES)
}

impl Readers {
    /// Returns `range` of `file`: whole if it is one piece, else a stream. Blocking.
    pub(super) fn read(&self, file: File, range: Range<u64>) -> io::Result<data::Bytes> {
        let count = range.end.saturating_sub(range.start);
        if count <= PIECE_MIN_BYTES {
            return Ok(data::Bytes::Whole(read_piece(&file, &range, count)?.into()));
        }
        let reading = self.enter();
        let piece = self.piece_bytes();
        if count > piece {
            return Ok(data::Bytes::Stream(read_stream(file, range, reading)));
        }
        let bytes = read_piece(&file, &range, piece)?;
        Ok(data::Bytes::Whole(Bytes::from_owner(Counted {
            bytes,
            _reading: reading,
        })))
    }

    fn enter(&self) -> Reading {
        self.0.fetch_add(1, Ordering::Relaxed);
        Reading(self.clone())
    }

    fn piece_bytes(&self) -> u64 {
        piece_bytes(self.0.load(Ordering::Relaxed))
    }
}

fn read_piece(file: &File, range: &Range<u64>, most: u64) -> io::Result<Vec<u8>> {
    let count = range.end.saturating_sub(range.start).min(most);
    let mut buffer = vec![0; usize::try_from(count).unwrap_or_default()];
    file.read_exact_at(&mut buffer, range.start)?;
    Ok(buffer)
}

/// Reads piece by piece; one piece is in memory at a time, and nothing is read for a client that
/// does not take it.
fn read_stream(file: File, range: Range<u64>, reading: Reading) -> data::Stream {
    let state = (Arc::new(file), range, reading);
    Box::pin(stream::try_unfold(
        state,
        |(file, range, reading)| async move {
            if range.is_empty() {
                return Ok(None);
            }
            let (reader, wanted) = (Arc::clone(&file), range.clone());
            let most = reading.0.piece_bytes();
            let task = tokio::task::spawn_blocking(move || read_piece(&reader, &wanted, most));
            let piece = Bytes::from(task.await.map_err(io::Error::other)??);
            let rest = range.start + piece.len() as u64..range.end;
            Ok(Some((piece, (file, rest, reading))))
        },
    ))
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt as _;

    use super::*;

    #[test]
    fn pieces_are_large_for_few_readers_and_small_for_many() {
        for (readers, kib) in [
            (0, 256),
            (1, 256),
            (128, 256),
            (256, 128),
            (2048, 16),
            (1 << 40, 16),
        ] {
            assert_eq!(piece_bytes(readers), kib << 10, "{readers} readers");
        }
    }

    #[tokio::test]
    async fn readers_count_until_they_have_gone() {
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, &vec![7; 1 << 20]).unwrap();
        let readers = Readers::default();
        let read = |range| readers.read(file.try_clone().unwrap(), range).unwrap();
        let mut streams = Vec::new();
        for _ in 0..255 {
            let data::Bytes::Stream(stream) = read(0..1 << 20) else {
                panic!("as large as four pieces");
            };
            streams.push(stream);
        }
        // What was one piece is one no more.
        let data::Bytes::Stream(mut last) = read(0..256 << 10) else {
            panic!("larger than a piece");
        };
        let piece = last.try_next().await.unwrap().unwrap();
        assert_eq!(piece.len(), 128 << 10);
        streams.clear();
        let data::Bytes::Whole(whole) = read(0..256 << 10) else {
            panic!("one piece");
        };
        assert_eq!(whole.len(), 256 << 10);
        assert_eq!(
            readers.0.load(Ordering::Relaxed),
            2,
            "the last and these bytes"
        );
        let rest: Vec<Bytes> = last.try_collect().await.unwrap();
        assert_eq!(rest.concat().len(), 128 << 10);
        drop(whole);
        assert_eq!(readers.0.load(Ordering::Relaxed), 0);
    }
}
