// SPDX-License-Identifier: Apache-2.0
//! A file behind http: fetched once and asked about afterwards.
//!
//! [`request`] reads what the operation says, [`file_name`] finds the name of a file that has none,
//! [`body`] brings the content in.
//!
//! Rules
//! 1. With a checksum nothing is asked: the key is the checksum, and content that is here is used.
//! 2. A file that came with an `ETag` is asked about by HEAD, because some servers send `ETag`s
//!    and answer conditional GETs wrongly; then by a conditional GET. Anything else is fetched anew:
//!    `Last-Modified` alone cannot tell two changes in one second apart.
//! 3. The key is the content with its name, mode, owner and `Last-Modified`, not the address.
//! 4. The file has mode 0600 and the time of `Last-Modified`, else 1970.
//! 5. Secrets `HTTP_AUTH_HEADER_host` and `HTTP_AUTH_TOKEN_host` become `Authorization`.
//!
//! `Observed:` BuildKit 73ed6825 `source/http`. Spec: RFC 9110 §13.1 (conditional requests).

mod body;
mod error;
mod file_name;
mod request;

use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use cache::{CacheKey, Record, SnapshotId, Timestamp};
use graph::VertexId;
use oci::Digest;
use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_DISPOSITION, ETAG, HeaderMap, HeaderName, IF_NONE_MATCH, LAST_MODIFIED,
};
use reqwest::{Method, Response};
use serde::{Deserialize, Serialize};

use super::{Ops, Output};
use crate::result::{self, LayerNote, Origin};
use crate::solver::driver::Ran;
use crate::step_error::StepError;
pub use error::HttpError;
use request::Request;
pub(crate) use request::without_credentials;

/// What is remembered of an address.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Known {
    etag: Option<String>,
    last_modified: Option<String>,
    digest: Digest,
    key: [u8; 32],
}

/// Finds out what the address holds now, fetching it if it changed; returns the key of the content.
pub(crate) async fn identify(ops: &Arc<Ops>, id: VertexId) -> Result<CacheKey, StepError> {
    let request = Request::of(ops, id)?;
    if let Some(checksum) = &request.checksum {
        let name = file_name::of(&request, None);
        return Ok(request.content_key(&name, checksum, None));
    }
    ops.report.started(id);
    let known = recall(ops, &request)?;
    let etag = known.as_ref().and_then(|known| known.etag.clone());
    let (Some(known), Some(etag)) = (known, etag) else {
        return Ok(get(ops, &request, None).await?.0);
    };
    if is_unchanged(ops, &request, &etag).await? {
        return Ok(CacheKey::from_bytes(known.key));
    }
    let response = send(ops, &request, Method::GET, Some(&etag)).await?;
    if response.status() == reqwest::StatusCode::NOT_MODIFIED {
        return Ok(CacheKey::from_bytes(known.key));
    }
    Ok(take(ops, &request, response, None).await?.0)
}

/// Returns the file that [`identify`] gave `key` to, fetching it if it is not here.
pub(crate) async fn run(
    ops: &Arc<Ops>,
    id: VertexId,
    key: CacheKey,
) -> Result<Ran<Output>, StepError> {
    let ran = |snapshot| Ran {
        output: Output::Tree(snapshot),
        cached: false,
    };
    if let Some(record) = ops.store.get(&key)? {
        return Ok(ran(record.snapshot));
    }
    let request = Request::of(ops, id)?;
    let (_, snapshot) = get(ops, &request, Some(key)).await?;
    Ok(ran(Some(snapshot)))
}

/// Returns when the file of a source that was fetched was last modified, in seconds since 1970, if
/// the server said so. A file that was named by its checksum has no such time, because the server
/// need not have been asked.
pub(crate) fn modified(ops: &Ops, id: VertexId) -> Result<Option<i64>, StepError> {
    let request = Request::of(ops, id)?;
    if request.checksum.is_some() {
        return Ok(None);
    }
    let known = recall(ops, &request)?;
    Ok(known.and_then(|known| unix_time(&known.last_modified?)))
}

/// Returns the name of the file of a source.
pub(crate) fn name(ops: &Ops, id: VertexId) -> Result<String, StepError> {
    Ok(file_name::of(&Request::of(ops, id)?, None))
}

fn recall(ops: &Ops, request: &Request<'_>) -> Result<Option<Known>, StepError> {
    let Some(record) = ops.store.get(&request.memory_key())? else {
        return Ok(None);
    };
    let Ok(known) = serde_json::from_slice::<Known>(&record.bytes) else {
        return Ok(None);
    };
    let content = ops.store.get(&CacheKey::from_bytes(known.key))?;
    Ok(content.map(|_| known))
}

/// Asks without fetching. What goes wrong here is found again by the request that fetches.
async fn is_unchanged(ops: &Ops, request: &Request<'_>, etag: &str) -> Result<bool, StepError> {
    let response = match send(ops, request, Method::HEAD, Some(etag)).await {
        Ok(response) => response,
        Err(StepError::Cancelled) => return Err(StepError::Cancelled),
        Err(_) => return Ok(false),
    };
    let found = header(response.headers(), &ETAG);
    Ok(match (response.status().as_u16(), found) {
        (200 | 304, Some(found)) => strong(&found) == strong(etag),
        // Only one was asked about.
        (304, None) => true,
        _ => false,
    })
}

async fn get(
    ops: &Arc<Ops>,
    request: &Request<'_>,
    expected: Option<CacheKey>,
) -> Result<(CacheKey, SnapshotId), StepError> {
    let response = send(ops, request, Method::GET, None).await?;
    take(ops, request, response, expected).await
}

async fn send(
    ops: &Ops,
    request: &Request<'_>,
    method: Method,
    etag: Option<&str>,
) -> Result<Response, StepError> {
    let mut call = ops
        .client
        .web()
        .request(method, request.url)
        .header(ACCEPT_ENCODING, "gzip");
    for (name, value) in request.headers(&ops.secrets)? {
        call = call.header(name, value);
    }
    if let Some(etag) = etag {
        call = call.header(IF_NONE_MATCH, etag);
    }
    let sent = tokio::select! {
        sent = call.send() => sent,
        () = ops.cancel.cancelled() => return Err(StepError::Cancelled),
    };
    let response = sent.map_err(|error| request.failed(HttpError::request(error)))?;
    let status = response.status();
    if status.is_success() || (etag.is_some() && status == reqwest::StatusCode::NOT_MODIFIED) {
        return Ok(response);
    }
    Err(request.failed(HttpError::status(status)))
}

/// Stores what a server answered.
async fn take(
    ops: &Arc<Ops>,
    request: &Request<'_>,
    response: Response,
    expected: Option<CacheKey>,
) -> Result<(CacheKey, SnapshotId), StepError> {
    let headers = response.headers();
    let (etag, last_modified) = (header(headers, &ETAG), header(headers, &LAST_MODIFIED));
    let disposition = header(headers, &CONTENT_DISPOSITION);
    let name = file_name::of(request, disposition.as_deref());
    let active = ops.store.prepare(None)?;
    let upper = active.upper()?;
    let write = |source| StepError::Write {
        path: name.clone(),
        source,
    };
    let file = upper.root().create_file(OsStr::new(&name)).map_err(write)?;
    let digest = body::receive(ops, request, response, file).await?;
    let modified = last_modified.as_deref().and_then(unix_time);
    let attributes = cache::Attributes {
        mode: Some(request.perm),
        owner: Some(request.owner),
        mtime: Some(Timestamp::from_secs(modified.unwrap_or(0))),
        ..cache::Attributes::default()
    };
    upper
        .set_attributes(Path::new(&name), &attributes)
        .map_err(write)?;
    let counted = last_modified.as_deref().filter(|_| modified.is_some());
    let pinned = request.checksum.is_some();
    let key = request.content_key(&name, &digest, counted.filter(|_| !pinned));
    if expected.is_some_and(|expected| expected != key) {
        return Err(request.failed(HttpError::Changed));
    }
    let known = Known {
        etag,
        last_modified,
        digest,
        key: *key.as_bytes(),
    };
    let present = ops.store.get(&key)?.and_then(|record| record.snapshot);
    let snapshot = match present {
        Some(snapshot) => snapshot,
        None => ops.store.commit(active, None)?,
    };
    remember(ops, request, &known, snapshot)?;
    Ok((key, snapshot))
}

fn remember(
    ops: &Ops,
    request: &Request<'_>,
    known: &Known,
    snapshot: SnapshotId,
) -> Result<(), StepError> {
    let key = CacheKey::from_bytes(known.key);
    let note = LayerNote {
        created_ns: ops.now_ns(),
        origin: Origin::Step,
    };
    let memory = Record {
        snapshot: None,
        bytes: serde_json::to_vec(known).expect("strings and integers"),
    };
    ops.store.put_all(&[
        (key, result::step_record(Some(snapshot), key)),
        (request.memory_key(), memory),
        result::note_record(snapshot, note),
    ])?;
    Ok(())
}

fn header(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?;
    (!text.is_empty()).then(|| text.to_owned())
}

/// Returns an `ETag` as it is compared: weak ones count too.
fn strong(etag: &str) -> &str {
    etag.strip_prefix("W/").unwrap_or(etag)
}

/// Returns seconds since 1970 of an HTTP date. Spec: RFC 9110 §5.6.7.
fn unix_time(date: &str) -> Option<i64> {
    let parsed = jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_zoned(date)
        .ok()?;
    Some(parsed.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_dates_are_read() {
        assert_eq!(unix_time("Thu, 01 Jan 1970 00:01:00 GMT"), Some(60));
        assert_eq!(unix_time("yesterday"), None);
    }

    #[test]
    fn weak_etags_are_equal_to_strong_ones() {
        assert_eq!(strong("W/\"a\""), strong("\"a\""));
        assert_ne!(strong("\"a\""), strong("\"b\""));
    }
}
