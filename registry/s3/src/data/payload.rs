// SPDX-License-Identifier: Apache-2.0
//! Bytes on their way to the store: those of a buffer, sent from where they are, as often as it
//! takes.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::pool::Buffer;

/// Bytes in pieces; clones share them. A buffer goes back to its pool with the last clone.
#[derive(Clone, Debug)]
pub(super) struct Payload {
    pieces: VecDeque<Bytes>,
}

/// One piece of a buffer, which goes when the last piece does.
struct Part(Arc<Buffer>, usize);

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        let mut pieces = self.0.pieces();
        pieces.nth(self.1).expect("made of a piece that is there")
    }
}

impl Payload {
    /// How many bytes there are.
    pub(super) fn len(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum()
    }

    /// The bytes, in pieces.
    pub(super) fn pieces(&self) -> impl Iterator<Item = &Bytes> {
        self.pieces.iter()
    }

    /// Leaves out the first `count` bytes, which are there.
    pub(super) fn skip(&mut self, mut count: usize) {
        while let Some(first) = self.pieces.front_mut()
            && count > 0
        {
            let now = count.min(first.len());
            drop(first.split_to(now));
            count -= now;
            if first.is_empty() {
                self.pieces.pop_front();
            }
        }
    }

    /// Returns a copy of the bytes.
    pub(super) fn to_vec(&self) -> Vec<u8> {
        self.pieces.iter().flatten().copied().collect()
    }

    /// Returns the body of a request, which the SDK may send several times.
    pub(super) fn body(self) -> ByteStream {
        let fresh = move || SdkBody::from_body_1_x(Sent(self.clone()));
        ByteStream::new(SdkBody::retryable(fresh))
    }
}

impl From<Buffer> for Payload {
    fn from(buffer: Buffer) -> Self {
        let buffer = Arc::new(buffer);
        let part = |index| Bytes::from_owner(Part(Arc::clone(&buffer), index));
        Self {
            pieces: (0..buffer.pieces().len()).map(part).collect(),
        }
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        let pieces = [Bytes::from(bytes)].into_iter();
        Self {
            pieces: pieces.filter(|piece| !piece.is_empty()).collect(),
        }
    }
}

/// A payload being sent.
struct Sent(Payload);

impl Body for Sent {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.0.pieces.pop_front();
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.pieces.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::super::pool::Pool;
    use super::*;

    #[tokio::test]
    async fn a_payload_is_what_is_left_of_the_buffer() {
        let bytes: Vec<u8> = (0..700_000_u32).map(|n| n.to_le_bytes()[1]).collect();
        for skipped in [0, 1, 256 << 10, (256 << 10) + 1, 699_999, 700_000] {
            let pool = Pool::new(4 << 20, 1 << 20);
            let mut buffer = pool.large(1 << 20).await;
            buffer.extend(&bytes).unwrap();
            let mut payload = Payload::from(buffer);
            payload.skip(skipped);
            let rest = &bytes[skipped..];
            assert_eq!(payload.len(), rest.len());
            assert_eq!(payload.to_vec(), rest);
            let body = payload.clone().body();
            assert_eq!(
                body.size_hint(),
                (rest.len() as u64, Some(rest.len() as u64))
            );
            assert_eq!(body.collect().await.unwrap().to_vec(), rest);
            let body = payload.body().into_inner();
            let again = body.try_clone().expect("may be sent again");
            drop(body);
            let again = ByteStream::new(again).collect().await.unwrap();
            assert_eq!(again.to_vec(), rest);
        }
    }

    #[tokio::test]
    async fn memory_comes_back_when_the_last_sender_is_done() {
        use std::time::Duration;
        use tokio::time::timeout;
        let pool = Pool::new(1 << 20, 1 << 20);
        let (_one, mut two) = (pool.large(1 << 20).await, pool.large(1 << 20).await);
        two.extend(b"bytes").unwrap();
        let payload = Payload::from(two);
        let body = payload.clone().body();
        drop(payload);
        let soon = Duration::from_millis(20);
        assert!(timeout(soon, pool.large(1 << 20)).await.is_err());
        drop(body);
        assert!(timeout(soon, pool.large(1 << 20)).await.is_ok());
    }
}
