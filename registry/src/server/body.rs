// SPDX-License-Identifier: Apache-2.0
//! Request bodies: gathered into units that are worth a trip to the blocking pool, while the
//! previous unit is being hashed and written. While a [`Sink`] has no room, nothing is read.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::StatusCode;
use tokio::time::timeout;

use super::answer::ApiError;
use crate::error::ErrorCode;
use crate::storage::Staged;
use crate::storage::upload::UploadError;

/// How much is gathered before it is hashed and written in one go. Ours: hashing that much takes
/// most of a millisecond, a trip to the pool some microseconds.
const UNIT_BYTES: u64 = 256 << 10;
/// How long a unit may take before what is staged makes room for others. Ours: 50 KB/s.
const SILENCE: Duration = Duration::from_secs(5);
/// How much of a refused body is still read, so that the client gets to see the answer.
const DRAIN_MAX_BYTES: usize = 16 << 20;
/// How long that may take.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// The body of one request.
#[derive(Debug)]
pub(super) struct RequestBody {
    stream: BodyDataStream,
    /// What came with the last unit and belongs to the next.
    rest: Option<Bytes>,
    idle: Duration,
    /// The largest blob that it may become part of.
    blob_max: Option<u64>,
    /// Whether the client waits to be told to send it.
    expects: bool,
    is_touched: bool,
}

/// The answer of a [`Sink`].
pub(super) type Taking<'a, T> = Pin<Box<dyn Future<Output = Result<T, UploadError>> + Send + 'a>>;

/// Where a body goes.
pub(super) trait Sink: Send {
    /// Returns how many bytes are there, those of earlier requests included.
    fn offset(&mut self) -> u64;

    /// Waits until there is room, and returns for how many bytes.
    fn ready(&mut self) -> Taking<'_, u64>;

    /// Takes the next pieces; waits if they are more than there was room for.
    fn append(&mut self, pieces: Vec<Bytes>) -> Taking<'_, ()>;

    /// Makes room for others while nothing comes.
    fn pause(&mut self) -> Taking<'_, ()>;
}

impl Sink for Box<dyn Staged> {
    fn offset(&mut self) -> u64 {
        Staged::offset(&**self)
    }

    fn ready(&mut self) -> Taking<'_, u64> {
        Box::pin(async { Ok(Staged::ready(&mut **self).await?) })
    }

    fn append(&mut self, pieces: Vec<Bytes>) -> Taking<'_, ()> {
        Box::pin(async { Ok(Staged::append(&mut **self, pieces).await?) })
    }

    fn pause(&mut self) -> Taking<'_, ()> {
        Box::pin(async { Ok(Staged::pause(&mut **self).await?) })
    }
}

/// How a copy ended.
#[derive(Debug)]
pub(super) enum End {
    /// With the last byte.
    Complete,
    /// The client went away or was too slow; what came is staged.
    BrokenOff(ApiError),
    /// A newer request wants the session; what came is staged.
    TakenOver,
}

/// Some pieces, and how it goes on.
struct Unit {
    pieces: Vec<Bytes>,
    size_bytes: u64,
    end: Option<End>,
}

impl RequestBody {
    pub(super) fn new(body: Body, idle: Duration, expects: bool) -> Self {
        Self {
            stream: body.into_data_stream(),
            rest: None,
            idle,
            blob_max: None,
            expects,
            is_touched: false,
        }
    }

    /// Bounds the blob that the body may become part of.
    pub(super) fn with_blob_max(mut self, blob_max: Option<u64>) -> Self {
        self.blob_max = blob_max;
        self
    }

    /// Returns the next piece; none at the end.
    async fn piece(&mut self) -> Result<Option<Bytes>, ApiError> {
        self.is_touched = true;
        if let Some(rest) = self.rest.take() {
            return Ok(Some(rest));
        }
        let refused = |message| ApiError::new(ErrorCode::BlobUploadInvalid, message);
        match timeout(self.idle, self.stream.next()).await {
            Ok(None) => Ok(None),
            Ok(Some(Ok(piece))) => Ok(Some(piece)),
            Ok(Some(Err(_))) => Err(refused("the request body broke off")),
            Err(_) => {
                let slow = refused("the request body came too slowly");
                Err(slow.with_status(StatusCode::REQUEST_TIMEOUT))
            }
        }
    }

    /// Returns the whole body.
    ///
    /// # Errors
    ///
    /// 413 if it has more than `limit` bytes.
    pub(super) async fn whole(&mut self, limit: usize) -> Result<Vec<u8>, ApiError> {
        let mut bytes = BytesMut::new();
        while let Some(piece) = self.piece().await? {
            if bytes.len() + piece.len() > limit {
                return Err(too_large(limit));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes.into())
    }

    /// Gathers `least` bytes, or more up to `most`.
    async fn unit(
        &mut self,
        (least, most): (u64, u64),
        stop: &mut Pin<&mut impl Future<Output = ()>>,
    ) -> Unit {
        let mut unit = Unit {
            pieces: Vec::new(),
            size_bytes: 0,
            end: None,
        };
        while unit.size_bytes < least && unit.end.is_none() {
            let piece = tokio::select! {
                biased;
                piece = self.piece() => piece,
                () = stop.as_mut() => {
                    unit.end = Some(End::TakenOver);
                    break;
                }
            };
            match piece {
                Ok(Some(mut piece)) => {
                    let room = usize::try_from(most - unit.size_bytes).unwrap_or(usize::MAX);
                    if piece.len() > room {
                        self.rest = Some(piece.split_off(room));
                    }
                    unit.size_bytes += piece.len() as u64;
                    unit.pieces.push(piece);
                }
                Ok(None) => unit.end = Some(End::Complete),
                Err(error) => unit.end = Some(End::BrokenOff(error)),
            }
        }
        unit
    }

    /// Appends the body to `sink` until it ends, breaks off, or `stop` is ready.
    ///
    /// # Errors
    ///
    /// Of the sink; what was appended is of no further use then.
    pub(super) async fn copy_to(
        &mut self,
        sink: &mut dyn Sink,
        stop: impl Future<Output = ()>,
    ) -> Result<End, UploadError> {
        let mut stop = std::pin::pin!(stop);
        // Not more, before it is known for how much there is room.
        let mut unit = self.unit((1, u64::MAX), &mut stop).await;
        let mut room = 0;
        loop {
            if let Some(limit) = self.blob_max
                && sink.offset() + unit.size_bytes > limit
            {
                return Ok(End::BrokenOff(blob_too_large(limit)));
            }
            let mut pieces = unit.pieces;
            if unit.end.is_some() || room == 0 {
                append(sink, std::mem::take(&mut pieces)).await?;
                if let Some(end) = unit.end {
                    return Ok(end);
                }
                room = sink.ready().await?;
            }
            // The next unit gathers while this one is hashed.
            let mut gathering = std::pin::pin!(self.unit((UNIT_BYTES.min(room), room), &mut stop));
            let soon = timeout(SILENCE, gathering.as_mut());
            let (appended, next) = tokio::join!(append(sink, pieces), soon);
            appended?;
            unit = if let Ok(next) = next {
                room -= next.size_bytes;
                next
            } else {
                let (paused, next) = tokio::join!(sink.pause(), gathering);
                paused?;
                // Others have it.
                room = 0;
                next
            };
        }
    }

    /// Reads a little of what nobody wants, so that a client which is still sending sees the answer
    /// and not a reset connection. One that waits to be asked is not asked.
    pub(super) async fn drain(&mut self) {
        if self.expects && !self.is_touched {
            return;
        }
        let mut left = DRAIN_MAX_BYTES;
        let draining = async {
            while let Ok(Some(piece)) = self.piece().await {
                left = left.saturating_sub(piece.len());
                if left == 0 {
                    break;
                }
            }
        };
        // A client that is slower gets its reset.
        drop(timeout(DRAIN_MAX, draining).await);
    }
}

/// Appends `pieces`, if there are any.
async fn append(sink: &mut dyn Sink, pieces: Vec<Bytes>) -> Result<(), UploadError> {
    if pieces.is_empty() {
        return Ok(());
    }
    sink.append(pieces).await
}

/// The answer to a blob above `limit`.
fn blob_too_large(limit: u64) -> ApiError {
    let message = format!("blob is larger than {limit} bytes");
    let error = ApiError::new(ErrorCode::SizeInvalid, message);
    error.with_status(StatusCode::PAYLOAD_TOO_LARGE)
}

/// The answer to a manifest above `limit`.
pub(super) fn too_large(limit: usize) -> ApiError {
    let message = format!("manifest is larger than {limit} bytes");
    let error = ApiError::new(ErrorCode::SizeInvalid, message);
    error.with_status(StatusCode::PAYLOAD_TOO_LARGE)
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures_util::stream;

    use super::*;

    /// A sink with room for `room` bytes at a time, which notes what it saw.
    struct Narrow {
        room: u64,
        left: u64,
        came: Vec<u8>,
        /// How many bytes were read from the client.
        read: Arc<AtomicU64>,
        /// The most that were read and not appended while it made room.
        ahead: u64,
    }

    impl Sink for Narrow {
        fn offset(&mut self) -> u64 {
            self.came.len() as u64
        }

        fn ready(&mut self) -> Taking<'_, u64> {
            Box::pin(async {
                let came = self.came.len() as u64;
                for _ in 0..10 {
                    tokio::task::yield_now().await;
                }
                let read = self.read.load(Ordering::Relaxed);
                self.ahead = self.ahead.max(read - came);
                self.left = self.room;
                Ok(self.room)
            })
        }

        fn append(&mut self, pieces: Vec<Bytes>) -> Taking<'_, ()> {
            Box::pin(async move {
                tokio::task::yield_now().await;
                let is_first = self.came.is_empty();
                for piece in pieces {
                    let size = piece.len() as u64;
                    assert!(is_first || size <= self.left, "{size} > {}", self.left);
                    self.left = self.left.saturating_sub(size);
                    self.came.extend_from_slice(&piece);
                }
                Ok(())
            })
        }

        fn pause(&mut self) -> Taking<'_, ()> {
            Box::pin(async { Ok(()) })
        }
    }

    #[tokio::test]
    async fn what_waits_waits_with_the_client() {
        const PIECE: usize = 100_000;
        let bytes: Vec<u8> = (0..3_000_001_u32).map(|n| n.to_le_bytes()[1]).collect();
        for room in [1_000_u64, 99_999, 100_000, 700_000, 2 << 20, u64::MAX] {
            let read = Arc::new(AtomicU64::new(0));
            let count = Arc::clone(&read);
            let pieces: Vec<_> = bytes.chunks(PIECE).map(Bytes::copy_from_slice).collect();
            let body = stream::iter(pieces).map(move |piece| {
                count.fetch_add(piece.len() as u64, Ordering::Relaxed);
                Ok::<_, std::io::Error>(piece)
            });
            let idle = Duration::from_secs(10);
            let mut body = RequestBody::new(Body::from_stream(body), idle, false);
            let mut sink = Narrow {
                room,
                left: 0,
                came: Vec::new(),
                read,
                ahead: 0,
            };
            let end = body.copy_to(&mut sink, pending()).await;
            assert!(matches!(end, Ok(End::Complete)), "{end:?}");
            assert!(sink.came == bytes, "room for {room}");
            assert!(sink.ahead < PIECE as u64, "{} for {room}", sink.ahead);
        }
    }
}
