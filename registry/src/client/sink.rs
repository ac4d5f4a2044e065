// SPDX-License-Identifier: Apache-2.0
//! The blocking end of a download: a thread that writes and hashes what the reactor receives.
//!
//! Does not know where bytes come from. Bounded: at most [`PIECES_MAX`] pieces wait for it.

use std::ops::Range;

use bytes::Bytes;
use oci::layout::RangedWriter;
use oci::{BlobError, BlobWriter, Descriptor, Layout};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::task::JoinHandle;

use super::blocking;

/// How many pieces may wait for the disk.
const PIECES_MAX: usize = 32;

/// What the thread is sent.
enum Piece {
    /// The bytes from an offset on. Of a stream each piece follows the one before; of parts those
    /// of the same part do.
    Bytes(u64, Bytes),
    Finish,
}

/// Where a blob goes. Dropping it keeps what was written, to be continued.
pub(super) struct Sink {
    pieces: mpsc::Sender<Piece>,
    thread: JoinHandle<Result<(), BlobError>>,
    /// Bytes that were there at the start.
    pub(super) kept_bytes: u64,
    /// If it comes in parts: what of each was missing at the start.
    pub(super) missing: Vec<Range<u64>>,
}

impl Sink {
    /// Goes on with a blob that comes front to back.
    pub(super) async fn open(layout: &Layout, descriptor: &Descriptor) -> Result<Self, BlobError> {
        let (layout, wanted) = (layout.clone(), descriptor.clone());
        let size_bytes = wanted.size_bytes;
        let descriptor = wanted.clone();
        let writer = blocking(move || layout.resume_blob(&wanted.digest, size_bytes)).await?;
        let kept_bytes = writer.written_bytes();
        let (pieces, received) = mpsc::channel(PIECES_MAX);
        let write = move || write_stream(writer, received, &descriptor);
        Ok(Self {
            pieces,
            thread: tokio::task::spawn_blocking(write),
            kept_bytes,
            missing: Vec::new(),
        })
    }

    /// Goes on with a blob that comes in parts, in any order.
    pub(super) async fn open_parts(
        layout: &Layout,
        descriptor: &Descriptor,
        part_bytes: u64,
    ) -> Result<Self, BlobError> {
        let (layout, descriptor) = (layout.clone(), descriptor.clone());
        let wanted = descriptor.clone();
        let open =
            move || layout.resume_blob_in_parts(&wanted.digest, wanted.size_bytes, part_bytes);
        let writer = blocking(open).await?;
        let (kept_bytes, missing) = (writer.received_bytes(), writer.missing());
        let (pieces, received) = mpsc::channel(PIECES_MAX);
        let write = move || write_parts(writer, received, &descriptor);
        Ok(Self {
            pieces,
            thread: tokio::task::spawn_blocking(write),
            kept_bytes,
            missing,
        })
    }

    /// Returns false if the thread has given up; [`Sink::finish`] then says why.
    pub(super) async fn send(&self, offset: u64, bytes: Bytes) -> bool {
        self.pieces.send(Piece::Bytes(offset, bytes)).await.is_ok()
    }

    /// Keeps what was written; when this returns the next try can continue it.
    pub(super) async fn abandon(self) {
        drop(self.pieces);
        // The error that led here is the one to report.
        self.thread.await.ok();
    }

    pub(super) async fn finish(self) -> Result<(), BlobError> {
        // If nobody takes it, the thread ended with the error that is returned below.
        self.pieces.send(Piece::Finish).await.ok();
        match self.thread.await {
            Ok(result) => result,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

fn write_stream(
    mut writer: BlobWriter,
    mut pieces: mpsc::Receiver<Piece>,
    descriptor: &Descriptor,
) -> Result<(), BlobError> {
    while let Some(piece) = pieces.blocking_recv() {
        match piece {
            Piece::Bytes(_, bytes) => writer.write_bytes(&bytes)?,
            Piece::Finish => {
                let expected = (&descriptor.digest, descriptor.size_bytes);
                return writer.finish_unsynced(Some(expected)).map(drop);
            }
        }
    }
    Ok(())
}

/// Writes first, so that no connection waits for the hasher, and hashes some after each piece, so
/// that the end of the blob does not wait for it either.
fn write_parts(
    mut writer: RangedWriter,
    mut pieces: mpsc::Receiver<Piece>,
    descriptor: &Descriptor,
) -> Result<(), BlobError> {
    loop {
        let piece = match pieces.try_recv() {
            Ok(piece) => piece,
            Err(TryRecvError::Disconnected) => return Ok(()),
            Err(TryRecvError::Empty) => {
                if writer.hash_next()? {
                    continue;
                }
                match pieces.blocking_recv() {
                    Some(piece) => piece,
                    None => return Ok(()),
                }
            }
        };
        match piece {
            Piece::Bytes(offset, bytes) => {
                writer.write_at(offset, &bytes)?;
                writer.hash_next()?;
            }
            Piece::Finish => {
                let expected = (&descriptor.digest, descriptor.size_bytes);
                return writer.finish_unsynced(expected).map(drop);
            }
        }
    }
}
