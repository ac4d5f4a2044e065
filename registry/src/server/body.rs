// SPDX-License-Identifier: Apache-2.0
//! Request bodies: gathered into units that are worth a trip to the blocking pool, while the
//! previous unit is being hashed and written.

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
    idle: Duration,
    /// The largest blob that it may become part of.
    blob_max: Option<u64>,
    /// Whether the client waits to be told to send it.
    expects: bool,
    is_touched: bool,
}

/// The answer of a [`Sink`].
pub(super) type Taken<'a> = Pin<Box<dyn Future<Output = Result<(), UploadError>> + Send + 'a>>;

/// Where a body goes.
pub(super) trait Sink: Send {
    /// Returns how many bytes are there, those of earlier requests included.
    fn offset(&mut self) -> u64;

    /// Takes the next pieces.
    fn append(&mut self, pieces: Vec<Bytes>) -> Taken<'_>;

    /// Makes room for others while nothing comes.
    fn pause(&mut self) -> Taken<'_>;
}

impl Sink for Box<dyn Staged> {
    fn offset(&mut self) -> u64 {
        Staged::offset(&**self)
    }

    fn append(&mut self, pieces: Vec<Bytes>) -> Taken<'_> {
        Box::pin(async { Ok(Staged::append(&mut **self, pieces).await?) })
    }

    fn pause(&mut self) -> Taken<'_> {
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

    async fn unit(&mut self, stop: &mut Pin<&mut impl Future<Output = ()>>) -> Unit {
        let mut unit = Unit {
            pieces: Vec::new(),
            size_bytes: 0,
            end: None,
        };
        while unit.size_bytes < UNIT_BYTES && unit.end.is_none() {
            let piece = tokio::select! {
                biased;
                piece = self.piece() => piece,
                () = stop.as_mut() => {
                    unit.end = Some(End::TakenOver);
                    break;
                }
            };
            match piece {
                Ok(Some(piece)) => {
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
        let mut unit = self.unit(&mut stop).await;
        loop {
            if let Some(limit) = self.blob_max
                && sink.offset() + unit.size_bytes > limit
            {
                return Ok(End::BrokenOff(blob_too_large(limit)));
            }
            if let Some(end) = unit.end {
                if !unit.pieces.is_empty() {
                    sink.append(unit.pieces).await?;
                }
                return Ok(end);
            }
            // The next unit gathers while this one is hashed.
            let mut gathering = std::pin::pin!(self.unit(&mut stop));
            let soon = timeout(SILENCE, gathering.as_mut());
            let (appended, next) = tokio::join!(sink.append(unit.pieces), soon);
            appended?;
            unit = if let Ok(next) = next {
                next
            } else {
                let (paused, next) = tokio::join!(sink.pause(), gathering);
                paused?;
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
