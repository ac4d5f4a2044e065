// SPDX-License-Identifier: Apache-2.0
//! What goes on over one connection, so that one on which nothing does can be told.
//!
//! HTTP/1.1 has limits on the head of a request and on every write. HTTP/2 hides both: a connection
//! may be idle, or send half a head, or hold a hundred answers back by their windows, while pings
//! go to and fro. Counting requests and the pieces of answers sees all of that alike.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep_until};

/// The most that is handed to HTTP/2 in one piece. Ours: a client that takes less than one in
/// [`Limits::write_idle`](super::Limits::write_idle) counts as stalled.
const PIECE_MAX_BYTES: usize = 64 << 10;

/// The state of one connection.
#[derive(Debug)]
pub(super) struct Activity {
    /// What has limits of its own: requests without answer, answers over HTTP/1.1.
    open: AtomicUsize,
    /// Answers over HTTP/2 that are not sent to their end.
    answers: AtomicUsize,
    epoch: Instant,
    /// When something last moved, in milliseconds since `epoch`.
    moved: AtomicU64,
}

/// For how long which kind of quiet is all right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Without any request.
    pub(super) idle: Duration,
    /// With nothing but answers that the client does not take.
    pub(super) stalled: Duration,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            open: AtomicUsize::new(0),
            answers: AtomicUsize::new(0),
            epoch: Instant::now(),
            moved: AtomicU64::new(0),
        })
    }

    fn touch(&self) {
        let now = u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(now, Ordering::Relaxed);
    }

    /// Counts a request until its answer's head is there.
    pub(super) fn request(self: &Arc<Self>) -> Counted {
        Counted::new(Arc::clone(self), |activity| &activity.open)
    }

    /// Counts an answer until its body is sent, and keeps `place` until then.
    ///
    /// Over HTTP/1.1 the limit on writes sees whether the client takes it; that over HTTP/2 must be
    /// seen here.
    pub(super) fn answer(
        self: &Arc<Self>,
        body: Body,
        is_http2: bool,
        place: Option<OwnedSemaphorePermit>,
    ) -> Outgoing {
        let counter: fn(&Self) -> &AtomicUsize = if is_http2 {
            |activity| &activity.answers
        } else {
            |activity| &activity.open
        };
        Outgoing {
            body,
            rest: Bytes::new(),
            is_cut: is_http2,
            counted: Counted::new(Arc::clone(self), counter),
            _place: place,
        }
    }

    /// Is ready once the connection has been quiet for longer than `patience` allows.
    pub(super) async fn quiet(&self, patience: Patience) {
        loop {
            let limit = self.limit(patience);
            let moved = Duration::from_millis(self.moved.load(Ordering::Relaxed));
            let deadline = self.epoch + moved + limit.unwrap_or(patience.stalled);
            if deadline > Instant::now() {
                sleep_until(deadline).await;
            } else if limit.is_some() {
                return;
            } else {
                // A handler is at work, with limits of its own.
                tokio::time::sleep(patience.stalled).await;
            }
        }
    }

    fn limit(&self, patience: Patience) -> Option<Duration> {
        if self.open.load(Ordering::Relaxed) > 0 {
            return None;
        }
        match self.answers.load(Ordering::Relaxed) {
            0 => Some(patience.idle),
            _ => Some(patience.stalled),
        }
    }
}

/// One of the things that are counted.
#[derive(Debug)]
pub(super) struct Counted {
    activity: Arc<Activity>,
    counter: fn(&Activity) -> &AtomicUsize,
}

impl Counted {
    fn new(activity: Arc<Activity>, counter: fn(&Activity) -> &AtomicUsize) -> Self {
        activity.touch();
        counter(&activity).fetch_add(1, Ordering::Relaxed);
        Self { activity, counter }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.activity.touch();
        (self.counter)(&self.activity).fetch_sub(1, Ordering::Relaxed);
    }
}

/// The body of an answer on its way out: while it moves, its connection is not quiet.
#[derive(Debug)]
pub(super) struct Outgoing {
    body: Body,
    /// What is left of the last piece.
    rest: Bytes,
    /// Whether pieces are cut to [`PIECE_MAX_BYTES`].
    is_cut: bool,
    counted: Counted,
    _place: Option<OwnedSemaphorePermit>,
}

impl hyper::body::Body for Outgoing {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
            let frame = match frame.map(|frame| frame.map(Frame::into_data)) {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                Some(Ok(Err(trailers))) => return Poll::Ready(Some(Ok(trailers))),
                Some(Ok(Ok(data))) => data,
            };
            self.rest = frame;
        }
        self.counted.activity.touch();
        let most = if self.is_cut {
            PIECE_MAX_BYTES
        } else {
            usize::MAX
        };
        let length = self.rest.len().min(most);
        let piece = self.rest.split_to(length);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.body.size_hint();
        let rest = self.rest.len() as u64;
        match hint.exact() {
            Some(exact) => hint.set_exact(exact + rest),
            None => hint.set_lower(hint.lower() + rest),
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use hyper::body::Body as _;

    use super::*;

    const PATIENCE: Patience = Patience {
        idle: Duration::from_millis(20),
        stalled: Duration::from_millis(60),
    };

    async fn is_quiet_within(activity: &Activity, limit: Duration) -> bool {
        tokio::time::timeout(limit, activity.quiet(PATIENCE))
            .await
            .is_ok()
    }

    #[tokio::test]
    async fn only_what_does_nothing_is_quiet() {
        let activity = Activity::new();
        let request = activity.request();
        let long = Duration::from_millis(300);
        assert!(
            !is_quiet_within(&activity, long).await,
            "a handler is at work"
        );
        drop(request);
        let answer = activity.answer(Body::from("x"), true, None);
        let started = Instant::now();
        assert!(
            is_quiet_within(&activity, 10 * long).await,
            "nobody takes the answer"
        );
        assert!(started.elapsed() >= PATIENCE.stalled);
        drop(answer);
        assert!(is_quiet_within(&activity, 10 * long).await, "no request");
    }

    #[tokio::test]
    async fn a_body_is_cut_and_stays_whole() {
        let activity = Activity::new();
        let bytes: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let mut body = activity.answer(Body::from(bytes.clone()), true, None);
        let mut got = Vec::new();
        while !body.is_end_stream() {
            let left = bytes.len() - got.len();
            assert_eq!(body.size_hint().exact(), Some(left as u64));
            let frame = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context));
            let piece = frame.await.unwrap().unwrap().into_data().unwrap();
            assert!(piece.len() <= PIECE_MAX_BYTES);
            got.extend_from_slice(&piece);
        }
        assert_eq!(got, bytes);
    }
}
