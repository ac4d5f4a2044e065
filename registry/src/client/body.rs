// SPDX-License-Identifier: Apache-2.0
//! Part of a blob's file as the body of a request, read while it is sent.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::Stream;
use http::header::CONTENT_LENGTH;
use oci::Digest;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::error::TransportError;
use super::progress::{Progress, TransferEvent};

/// How much is read at a time.
const PART_BYTES: usize = 256 << 10;
/// How long a registry may take over a blob besides the time to send it: some copy it on commit.
const COMMIT_TIMEOUT: Duration = Duration::from_mins(10);
/// The slowest line that is waited for, in bytes a second.
const SPEED_MIN: u64 = 16 << 10;

/// The bytes of a file from `offset` to `size_bytes`.
#[derive(Clone, Debug)]
pub(super) struct FileBody {
    pub(super) path: PathBuf,
    pub(super) digest: Digest,
    pub(super) offset: u64,
    pub(super) size_bytes: u64,
    pub(super) progress: Progress,
}

impl FileBody {
    /// Returns how long sending and the answer may take together.
    pub(super) fn timeout(&self) -> Duration {
        COMMIT_TIMEOUT + Duration::from_secs((self.size_bytes - self.offset) / SPEED_MIN)
    }

    /// Makes the file the body of `request`.
    pub(super) async fn attach(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<reqwest::RequestBuilder, TransportError> {
        let opened = async {
            let mut file = File::open(&self.path).await?;
            file.seek(io::SeekFrom::Start(self.offset)).await?;
            Ok(file)
        };
        let file = opened.await.map_err(|source| TransportError::Read {
            digest: self.digest.clone(),
            source,
        })?;
        let length = self.size_bytes - self.offset;
        Ok(request
            .header(CONTENT_LENGTH, length)
            .body(reqwest::Body::wrap_stream(self.parts(file))))
    }

    fn parts(&self, file: File) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        let body = self.clone();
        futures_util::stream::try_unfold((file, body.offset), move |(mut file, done)| {
            let body = body.clone();
            async move {
                let left = body.size_bytes - done;
                if left == 0 {
                    return Ok(None);
                }
                let wanted = usize::try_from(left).map_or(PART_BYTES, |left| left.min(PART_BYTES));
                let mut part = BytesMut::with_capacity(wanted);
                let limited = (&mut file).take(wanted as u64).read_buf(&mut part).await?;
                if limited == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                let done = done + part.len() as u64;
                body.progress.tell(TransferEvent::Advanced {
                    digest: body.digest.clone(),
                    done_bytes: done,
                });
                Ok(Some((part.freeze(), (file, done))))
            }
        })
    }
}
