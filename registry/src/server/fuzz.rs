// SPDX-License-Identifier: Apache-2.0
//! The parsers of requests, for fuzzers only: what must hold for every input is asserted here,
//! where the parts are visible.

use http::Uri;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use oci::Digest;

use super::condition::{self, Wanted};
use super::query::{Query, escape, namespace};
use super::{certificate, manifest};

fn headers(pairs: &[(HeaderName, &[u8])]) -> Option<HeaderMap> {
    let pairs = pairs.iter();
    let pairs = pairs.map(|(name, value)| {
        let value = HeaderValue::from_bytes(value).ok()?;
        Some((name.clone(), value))
    });
    pairs.collect()
}

/// Reads `Range` and `If-Range` for content of some size.
///
/// # Panics
///
/// A part that does not lie inside the content.
pub fn range(range: &[u8], if_range: &[u8], size_bytes: u64) {
    let digest = oci::sha256(b"");
    let pairs = [(header::RANGE, range), (header::IF_RANGE, if_range)];
    for pairs in [&pairs[..1], &pairs] {
        let Some(headers) = headers(pairs) else {
            return;
        };
        if let Wanted::Part(part) = condition::wanted(&headers, &digest, size_bytes) {
            assert!(part.start < part.end && part.end <= size_bytes, "{part:?}");
        }
    }
}

/// Reads `Content-Range` and `Content-Length`.
///
/// # Panics
///
/// Lengths that differ and were not noticed.
pub fn chunk(range: &[u8], length: &[u8]) {
    let pairs = [
        (header::CONTENT_RANGE, range),
        (header::CONTENT_LENGTH, length),
    ];
    let Some(headers) = headers(&pairs) else {
        return;
    };
    if let Some(chunk) = condition::chunk(&headers) {
        let length = str::from_utf8(length)
            .ok()
            .and_then(|text| text.parse().ok());
        assert!(length.is_some() && chunk.length == length, "{chunk:?}");
        let end = chunk
            .start
            .unwrap_or_default()
            .checked_add(chunk.length.unwrap_or_default());
        assert!(end.is_some(), "{chunk:?}");
    }
}

/// Reads a list of entity tags.
///
/// # Panics
///
/// A digest that is found although it is not written there.
pub fn entity_tags(list: &[u8], digest: &Digest) {
    let Some(headers) = headers(&[(header::IF_NONE_MATCH, list)]) else {
        return;
    };
    let own = digest.to_string();
    let is_written = list.windows(own.len()).any(|part| part == own.as_bytes());
    let found = condition::lists(&headers, &header::IF_NONE_MATCH, digest);
    assert!(!found || is_written || list.contains(&b'*'));
}

/// Reads a query.
///
/// # Panics
///
/// A value that is another one after it was escaped.
pub fn query(text: &str) {
    let Ok(uri) = format!("/v2/?{text}").parse::<Uri>() else {
        return;
    };
    drop(namespace(&uri));
    let query = Query::of(&uri);
    drop(
        query
            .digest("digest")
            .map(|digest| digest.map(|one| one.to_string())),
    );
    drop(
        query
            .page_length()
            .map(|length| length.map(|length| length.to_string())),
    );
    // Escaping makes a text three times as long, and a URI ends at 64 KiB.
    for last in query.all("last").filter(|last| last.len() < 16 << 10) {
        let again = format!("/v2/?last={}", escape(last))
            .parse()
            .expect("it is escaped");
        assert_eq!(Query::of(&again).get("last"), Some(last));
    }
}

/// Reads a manifest under a `Content-Type`.
///
/// # Panics
///
/// Bytes that are not kept, or a media type that cannot be sent back.
pub fn manifest(content_type: &[u8], bytes: &[u8]) {
    let Some(headers) = headers(&[(header::CONTENT_TYPE, content_type)]) else {
        return;
    };
    match manifest::parse(bytes.to_vec(), &headers, usize::MAX) {
        Ok((document, media_type)) => {
            assert_eq!(document.bytes(), bytes);
            assert!(HeaderValue::from_str(&media_type).is_ok(), "{media_type:?}");
        }
        Err(error) => assert!(error.status.is_client_error() && !error.json().is_empty()),
    }
}

/// Reads the times of a certificate.
pub fn certificate(der: &[u8]) {
    assert_eq!(certificate::validity(der), certificate::validity(der));
}
