// SPDX-License-Identifier: Apache-2.0
//! Blobs: whole, in part, and gone (end-2, end-10).

use axum::body::Body;
use http::header::{self, HeaderValue};
use http::{Method, Response, StatusCode};
use oci::Digest;

use super::answer::{Answer, ApiError, CONTENT_DIGEST, empty, set};
use super::condition::{self, Wanted};
use super::pace::paced;
use super::route::{App, Call};
use crate::endpoint::Name;
use crate::error::ErrorCode;
use crate::storage;

/// What is named by its digest never changes; shared caches must not keep what needs a login.
pub(super) const IMMUTABLE: &str = "private, max-age=31536000, immutable";

/// Answers end-2.
pub(super) async fn get(
    app: &App,
    name: &Name,
    digest: &Digest,
    call: &Call,
) -> Result<Answer, ApiError> {
    let blob = app.store.blob(name, digest).await?.ok_or_else(unknown)?;
    let size_bytes = blob.size_bytes;
    if condition::lists(&call.headers, &header::IF_NONE_MATCH, digest) {
        let mut answer = empty(StatusCode::NOT_MODIFIED);
        describe(&mut answer, digest);
        return Ok(answer);
    }
    let is_head = call.method == Method::HEAD;
    let wanted = match condition::wanted(&call.headers, digest, size_bytes) {
        // Spec: RFC 9110 §14.2: ranges are for GET.
        _ if is_head => Wanted::All,
        wanted => wanted,
    };
    let (status, range) = match wanted {
        Wanted::All => (StatusCode::OK, 0..size_bytes),
        Wanted::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Wanted::Nothing => {
            let error = ApiError::new(ErrorCode::RangeInvalid, "the blob has no such range");
            let range = format!("bytes */{size_bytes}");
            return Err(error.with_header(header::CONTENT_RANGE, &range));
        }
    };
    let body = if is_head {
        Body::empty()
    } else if let Some(link) = app.store.blob_link(&blob).await? {
        let mut answer = empty(StatusCode::TEMPORARY_REDIRECT);
        set(answer.headers_mut(), CONTENT_DIGEST, &digest.to_string());
        set(answer.headers_mut(), header::LOCATION, &link);
        // The address is good for a while only.
        let fresh = HeaderValue::from_static("no-store");
        answer.headers_mut().insert(header::CACHE_CONTROL, fresh);
        return Ok(answer);
    } else {
        match app.store.read_blob(&blob, range.clone()).await? {
            storage::Bytes::Whole(bytes) => Body::from(bytes),
            storage::Bytes::Stream(stream) => Body::from_stream(paced(stream)),
        }
    };
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    describe(&mut answer, digest);
    let headers = answer.headers_mut();
    let octets = HeaderValue::from_static("application/octet-stream");
    headers.insert(header::CONTENT_TYPE, octets);
    let length = HeaderValue::from(range.end - range.start);
    headers.insert(header::CONTENT_LENGTH, length);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if status == StatusCode::PARTIAL_CONTENT {
        let text = format!("bytes {}-{}/{size_bytes}", range.start, range.end - 1);
        set(headers, header::CONTENT_RANGE, &text);
    }
    Ok(answer)
}

/// Answers end-10.
pub(super) async fn delete(
    app: &App,
    name: &Name,
    digest: &Digest,
    call: &Call,
) -> Result<Answer, ApiError> {
    if !condition::allows(&call.headers, Some(digest)) {
        let blob = app.store.blob(name, digest).await?;
        return Err(blob.map_or_else(unknown, |_| condition::failed()));
    }
    if app.store.delete_blob(name, digest).await? {
        return Ok(empty(StatusCode::ACCEPTED));
    }
    Err(unknown())
}

fn describe(answer: &mut Answer, digest: &Digest) {
    let headers = answer.headers_mut();
    set(headers, CONTENT_DIGEST, &digest.to_string());
    set(headers, header::ETAG, &condition::entity_tag(digest));
    set(headers, header::CACHE_CONTROL, IMMUTABLE);
}

fn unknown() -> ApiError {
    let message = "the repository does not have this blob";
    ApiError::new(ErrorCode::BlobUnknown, message)
}
