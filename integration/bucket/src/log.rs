// SPDX-License-Identifier: Apache-2.0
//! What was asked of the server, in order.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::faults::Fault;

/// Requests that are remembered.
const LOG_REQUESTS_MAX: usize = 1 << 18;

/// An S3 operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// `PutObject`.
    PutObject,
    /// `GetObject`.
    GetObject,
    /// `HeadObject`.
    HeadObject,
    /// `DeleteObject`.
    DeleteObject,
    /// `DeleteObjects`.
    DeleteObjects,
    /// `ListObjectsV2`; its key is the prefix.
    ListObjects,
    /// `CreateMultipartUpload`.
    CreateUpload,
    /// `UploadPart`.
    UploadPart,
    /// `CompleteMultipartUpload`.
    CompleteUpload,
    /// `AbortMultipartUpload`.
    AbortUpload,
    /// `ListMultipartUploads`; its key is the prefix.
    ListUploads,
    /// `ListParts`.
    ListParts,
    /// Another operation, or a request that was refused before it was known.
    Other,
}

impl Operation {
    /// The operation that `s3s` calls `name`.
    pub(crate) fn from_name(name: &str) -> Self {
        match name {
            "PutObject" => Self::PutObject,
            "GetObject" => Self::GetObject,
            "HeadObject" => Self::HeadObject,
            "DeleteObject" => Self::DeleteObject,
            "DeleteObjects" => Self::DeleteObjects,
            "ListObjectsV2" => Self::ListObjects,
            "CreateMultipartUpload" => Self::CreateUpload,
            "UploadPart" => Self::UploadPart,
            "CompleteMultipartUpload" => Self::CompleteUpload,
            "AbortMultipartUpload" => Self::AbortUpload,
            "ListMultipartUploads" => Self::ListUploads,
            "ListParts" => Self::ListParts,
            _ => Self::Other,
        }
    }
}

/// A request that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What it asked for.
    pub operation: Operation,
    /// Its HTTP method.
    pub method: String,
    /// The key that it names; the prefix of a list; empty if there is none.
    pub key: String,
    /// The status it was answered with; none if the connection was closed instead.
    pub status: Option<u16>,
    /// What went wrong with it on purpose, latency apart.
    pub fault: Option<Fault>,
    /// When its head had arrived, on a clock that ticks with every event of the server.
    pub began: u64,
    /// When it was answered, on the same clock. The body of the answer may still be on its way.
    pub ended: u64,
}

/// How many of `requests` waited for one another: the most that can be chosen so that each began
/// after the one before it was answered.
///
/// Requests that are sent at the same time but served one after the other count as waiting: give
/// the server some latency to tell them apart.
pub fn sequential(requests: &[Request]) -> usize {
    let mut by_end: Vec<&Request> = requests.iter().collect();
    by_end.sort_by_key(|request| request.ended);
    let mut chain = 0;
    let mut free_at = 0;
    for request in by_end {
        if chain == 0 || request.began > free_at {
            chain += 1;
            free_at = request.ended;
        }
    }
    chain
}

/// The log and its clock.
#[derive(Debug, Default)]
pub(crate) struct Log {
    inner: Mutex<Inner>,
    enabled: bool,
}

#[derive(Debug, Default)]
struct Inner {
    ticks: u64,
    requests: VecDeque<Request>,
}

impl Log {
    pub(crate) fn new(enabled: bool) -> Self {
        Self {
            inner: Mutex::default(),
            enabled,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next moment.
    pub(crate) fn tick(&self) -> u64 {
        let mut inner = self.lock();
        inner.ticks += 1;
        inner.ticks
    }

    /// Adds a request that ends now.
    pub(crate) fn add(&self, mut request: Request) {
        if !self.enabled {
            return;
        }
        let mut inner = self.lock();
        inner.ticks += 1;
        request.ended = inner.ticks;
        if inner.requests.len() == LOG_REQUESTS_MAX {
            inner.requests.pop_front();
        }
        inner.requests.push_back(request);
    }

    /// What is logged, in the order in which it began.
    pub(crate) fn requests(&self) -> Vec<Request> {
        let mut requests: Vec<Request> = self.lock().requests.iter().cloned().collect();
        requests.sort_by_key(|request| request.began);
        requests
    }

    pub(crate) fn clear(&self) {
        self.lock().requests.clear();
    }
}
