// SPDX-License-Identifier: Apache-2.0
//! ADD of a URL: one file, fetched once and asked about afterwards.
//!
//! What was fetched is remembered with its `ETag` and `Last-Modified`; the next build asks whether
//! it has changed. With a checksum there is nothing to ask: content with that digest is used
//! wherever it came from. The key of the result is the content, not the URL.
//!
//! Docs: BuildKit's `source/http`; attribute names as in `solver/pb/attr.go`. Spec: RFC 9110 §13.1
//! (conditional requests).

use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use cache::{CacheKey, Record, Timestamp};
use futures_util::StreamExt;
use graph::{SourceOp, VertexId};
use oci::{Algorithm, Digest, Hasher};
use serde::{Deserialize, Serialize};

use super::{Ops, Output};
use crate::result::{self, LayerNote, Origin};
use crate::solver::driver::Ran;
use crate::step_error::StepError;

/// The largest file that is fetched, in bytes.
const FILE_MAX_BYTES: u64 = 64 << 30;

/// Why a file could not be downloaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The server cannot be reached, or the connection broke.
    #[error("the request failed")]
    Request(#[source] reqwest::Error),
    /// The server refuses.
    #[error("the server answered {0}")]
    Status(u16),
    /// The content is not what `--checksum` says.
    #[error("digest mismatch: expected {expected}, got {actual}")]
    Checksum {
        /// What the instruction says.
        expected: Digest,
        /// What was received.
        actual: Digest,
    },
    /// The content is too large.
    #[error("the file is larger than {FILE_MAX_BYTES} bytes")]
    TooLarge,
    /// The file cannot be stored.
    #[error("cannot store the file")]
    Write(#[source] std::io::Error),
}

/// What is remembered of a URL.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Known {
    etag: Option<String>,
    last_modified: Option<String>,
    digest: Digest,
    key: [u8; 32],
}

/// The parts of a source operation.
struct Request<'a> {
    url: &'a str,
    filename: &'a str,
    checksum: Option<Digest>,
    perm: u32,
    uid: u32,
    gid: u32,
}

impl<'a> Request<'a> {
    fn new(source: &'a SourceOp) -> Result<Self, StepError> {
        let attr = |name: &str| source.attrs.get(name).map(String::as_str);
        let number = |name: &str, radix, default| {
            attr(name).map_or(Ok(default), |text| {
                u32::from_str_radix(text.trim_start_matches("0o"), radix)
            })
        };
        let bad = |_| StepError::BadSource(source.identifier.clone());
        let checksum = attr("http.checksum").map(str::parse::<Digest>).transpose();
        Ok(Self {
            url: &source.identifier,
            filename: attr("http.filename").unwrap_or("download"),
            checksum: checksum.map_err(|_| StepError::BadSource(source.identifier.clone()))?,
            perm: number("http.perm", 8, 0o600).map_err(bad)?,
            uid: number("http.uid", 10, 0).map_err(bad)?,
            gid: number("http.gid", 10, 0).map_err(bad)?,
        })
    }

    /// The key under which what is known of the URL is kept.
    fn memory_key(&self) -> CacheKey {
        let checksum = self
            .checksum
            .as_ref()
            .map_or(String::new(), ToString::to_string);
        let attributes = format!("{} {} {} {checksum}", self.perm, self.uid, self.gid);
        CacheKey::of(
            "http memory 1",
            &[
                self.url.as_bytes(),
                self.filename.as_bytes(),
                attributes.as_bytes(),
            ],
        )
    }

    fn failed(&self, source: HttpError) -> StepError {
        StepError::Http {
            url: without_credentials(self.url),
            source,
        }
    }
}

fn without_credentials(url: &str) -> String {
    match reqwest::Url::parse(url) {
        Ok(mut parsed) => {
            // Both fail only for URLs that cannot have credentials.
            parsed.set_username("").ok();
            parsed.set_password(None).ok();
            parsed.to_string()
        }
        Err(_) => url.to_owned(),
    }
}

/// Finds out what the URL holds now, fetching it if it changed; returns the key of the content.
pub(crate) async fn identify(ops: &Arc<Ops>, id: VertexId) -> Result<CacheKey, StepError> {
    let source = ops
        .source(id)
        .ok_or_else(|| StepError::BadSource(ops.graph.vertex(id).meta.name.clone()))?;
    let request = Request::new(source)?;
    let known = recall(ops, &request)?;
    if let (Some(known), Some(_)) = (&known, &request.checksum) {
        return Ok(CacheKey::from_bytes(known.key));
    }
    ops.report.started(id);
    let mut call = ops.client.web().get(request.url);
    if let Some(known) = &known {
        if let Some(etag) = &known.etag {
            call = call.header("If-None-Match", etag);
        }
        if let Some(modified) = &known.last_modified {
            call = call.header("If-Modified-Since", modified);
        }
    }
    let response = tokio::select! {
        response = call.send() => response,
        () = ops.cancel.cancelled() => return Err(StepError::Cancelled),
    };
    let response =
        response.map_err(|error| request.failed(HttpError::Request(error.without_url())))?;
    match (response.status().as_u16(), known) {
        (304, Some(known)) => Ok(CacheKey::from_bytes(known.key)),
        (200, _) => fetch(ops, &request, response).await,
        (status, _) => Err(request.failed(HttpError::Status(status))),
    }
}

/// Returns the file that [`identify`] made sure of.
pub(crate) fn fetched(ops: &Ops, key: CacheKey) -> Result<Ran<Output>, StepError> {
    let record = ops.store.get(&key)?;
    let record = record.ok_or(StepError::Unsupported(
        "a download that was removed during the build",
    ))?;
    Ok(Ran {
        output: Output::Tree(record.snapshot),
        cached: false,
    })
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

async fn fetch(
    ops: &Arc<Ops>,
    request: &Request<'_>,
    response: reqwest::Response,
) -> Result<CacheKey, StepError> {
    let header = |name: &str| {
        let value = response.headers().get(name)?.to_str().ok()?;
        Some(value.to_owned())
    };
    let (etag, last_modified) = (header("etag"), header("last-modified"));
    let active = ops.store.prepare(None)?;
    let upper = active.upper()?;
    let write = |source| StepError::Write {
        path: request.filename.to_owned(),
        source,
    };
    let name = OsStr::new(request.filename);
    let file = upper.root().create_file(name).map_err(write)?;
    let actual = receive(ops, request, response, file).await?;
    let modified = last_modified.as_deref().and_then(unix_time);
    let attributes = cache::Attributes {
        mode: Some(request.perm),
        owner: Some(cache::Owner {
            uid: request.uid,
            gid: request.gid,
        }),
        mtime: Some(Timestamp::from_secs(modified.unwrap_or(0))),
        ..cache::Attributes::default()
    };
    upper
        .set_attributes(Path::new(request.filename), &attributes)
        .map_err(write)?;
    let key = content_key(request, &actual, last_modified.as_deref());
    let snapshot = ops.store.commit(active, None)?;
    let note = LayerNote {
        created_ns: ops.now_ns(),
        origin: Origin::Step,
    };
    let known = Known {
        etag,
        last_modified,
        digest: actual,
        key: *key.as_bytes(),
    };
    let memory = Record {
        snapshot: None,
        bytes: serde_json::to_vec(&known).expect("strings and integers"),
    };
    let records = [
        (key, result::step_record(Some(snapshot), key)),
        (request.memory_key(), memory),
        result::note_record(snapshot, note),
    ];
    ops.store.put_all(&records)?;
    Ok(key)
}

/// Writes the body to `file`; returns its digest, which is the one that was asked for.
async fn receive(
    ops: &Ops,
    request: &Request<'_>,
    response: reqwest::Response,
    mut file: File,
) -> Result<Digest, StepError> {
    let algorithm = request
        .checksum
        .as_ref()
        .map_or(Algorithm::Sha256, Digest::algorithm);
    let mut hasher = Hasher::new(algorithm);
    let mut size_bytes = 0_u64;
    let mut body = response.bytes_stream();
    while let Some(bytes) = body.next().await {
        let bytes =
            bytes.map_err(|error| request.failed(HttpError::Request(error.without_url())))?;
        size_bytes += bytes.len() as u64;
        if size_bytes > FILE_MAX_BYTES {
            return Err(request.failed(HttpError::TooLarge));
        }
        if ops.cancel.is_cancelled() {
            return Err(StepError::Cancelled);
        }
        hasher.update(&bytes);
        file.write_all(&bytes)
            .map_err(|error| request.failed(HttpError::Write(error)))?;
    }
    let actual = hasher.finish();
    if let Some(expected) = &request.checksum
        && *expected != actual
    {
        return Err(request.failed(HttpError::Checksum {
            expected: expected.clone(),
            actual,
        }));
    }
    Ok(actual)
}

fn content_key(request: &Request<'_>, digest: &Digest, last_modified: Option<&str>) -> CacheKey {
    let attributes = format!("{} {} {}", request.perm, request.uid, request.gid);
    CacheKey::of(
        "http content 1",
        &[
            request.filename.as_bytes(),
            attributes.as_bytes(),
            digest.to_string().as_bytes(),
            last_modified.unwrap_or("").as_bytes(),
        ],
    )
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
    fn credentials_never_show() {
        assert_eq!(
            without_credentials("https://user:secret@files.example/a"),
            "https://files.example/a"
        );
    }
}
