// SPDX-License-Identifier: Apache-2.0
//! The parsers of answers, for fuzzers only.

use http::header::{self, HeaderMap, HeaderValue};
use url::Url;

use super::challenge::Challenge;
use super::tag::next_page;

/// Reads `WWW-Authenticate`.
pub fn challenge(value: &[u8]) {
    if let Ok(value) = HeaderValue::from_bytes(value) {
        let headers = HeaderMap::from_iter([(header::WWW_AUTHENTICATE, value)]);
        drop(Challenge::from_headers(&headers).map(|challenge| format!("{challenge:?}")));
    }
}

/// Reads `Link`.
///
/// # Panics
///
/// A next page at another host.
pub fn link(value: &[u8]) {
    let current: Url = "https://registry.example/v2/a/tags/list?n=1"
        .parse()
        .expect("a URL");
    if let Ok(value) = HeaderValue::from_bytes(value) {
        let headers = HeaderMap::from_iter([(header::LINK, value)]);
        if let Some(next) = next_page(&headers, &current) {
            assert_eq!(next.origin(), current.origin());
        }
    }
}
