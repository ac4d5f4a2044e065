// SPDX-License-Identifier: Apache-2.0
//! Entity tags and ranges: the parts of HTTP's conditional and partial requests that matter here.
//!
//! Pure. Spec: RFC 9110 §13 (conditions), §14 (ranges); distribution-spec §Pushing a blob in chunks
//! for the form of `Content-Range` without unit.

use std::ops::Range;

use http::header::{self, HeaderName};
use http::{HeaderMap, StatusCode};
use oci::Digest;

use super::answer::ApiError;
use crate::error::ErrorCode;

/// Returns the entity tag of content.
pub(super) fn entity_tag(digest: &Digest) -> String {
    format!("\"{digest}\"")
}

/// Tells whether a list of entity tags (`If-Match`, `If-None-Match`) holds `digest`'s, or `*`.
/// Weak comparison: content under one digest never differs.
pub(super) fn lists(headers: &HeaderMap, name: &HeaderName, digest: &Digest) -> bool {
    let values = headers.get_all(name).into_iter();
    let values = values.filter_map(|value| value.to_str().ok());
    let mut tags = values.flat_map(|value| value.split(','));
    let own = entity_tag(digest);
    tags.any(|tag| {
        let tag = tag.trim();
        tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == own
    })
}

/// Tells whether `If-Match` and `If-None-Match` allow a change of what is there: content under
/// `current`, or nothing.
pub(super) fn allows(headers: &HeaderMap, current: Option<&Digest>) -> bool {
    let is_listed = |name| current.is_some_and(|current| lists(headers, name, current));
    let is_met = !headers.contains_key(header::IF_MATCH) || is_listed(&header::IF_MATCH);
    is_met && !is_listed(&header::IF_NONE_MATCH)
}

/// The answer to a request whose conditions do not hold.
pub(super) fn failed() -> ApiError {
    let message = "what is there is not what the request expects";
    let error = ApiError::new(ErrorCode::Denied, message);
    error.with_status(StatusCode::PRECONDITION_FAILED)
}

/// What a `Range` header asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Everything: no header, one that is not understood, or several ranges.
    All,
    /// These bytes.
    Part(Range<u64>),
    /// Nothing that exists.
    Nothing,
}

/// Returns what `headers` ask for of content with `size_bytes`.
///
/// `If-Range` with another tag makes it everything. A range whose end lies before its start is
/// refused although RFC 9110 would ignore it: the conformance tool asks for that.
pub(super) fn wanted(headers: &HeaderMap, digest: &Digest, size_bytes: u64) -> Wanted {
    let Some(range) = headers.get(header::RANGE) else {
        return Wanted::All;
    };
    let fits = headers.get(header::IF_RANGE);
    if fits.is_some_and(|tag| tag.as_bytes() != entity_tag(digest).as_bytes()) {
        return Wanted::All;
    }
    let spec = range.to_str().ok().map(str::trim);
    let spec = spec.and_then(|text| text.strip_prefix("bytes="));
    spec.map_or(Wanted::All, |spec| part(spec.trim(), size_bytes))
}

fn part(spec: &str, size_bytes: u64) -> Wanted {
    let Some((first, last)) = spec.split_once('-') else {
        return Wanted::All;
    };
    let (first, last) = (number(first), number(last));
    let range = match (first, last) {
        (Some(Some(first)), Some(None)) => first..size_bytes,
        (Some(Some(first)), Some(Some(last))) => first..last.saturating_add(1).min(size_bytes),
        (Some(None), Some(Some(suffix))) => size_bytes.saturating_sub(suffix)..size_bytes,
        _ => return Wanted::All,
    };
    if range.is_empty() {
        return Wanted::Nothing;
    }
    Wanted::Part(range)
}

/// Returns the number in `text`: none if it is no number, an inner none if there is nothing. A
/// number that is too large counts as the largest.
#[expect(
    clippy::option_option,
    reason = "absent and malformed mean different things"
)]
fn number(text: &str) -> Option<Option<u64>> {
    let text = text.trim();
    if text.is_empty() {
        return Some(None);
    }
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| Some(text.parse().unwrap_or(u64::MAX)))
}

/// What a request says of the bytes that it carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    /// Where they belong; none: at the end.
    pub(super) start: Option<u64>,
    /// How many there are, if that was said.
    pub(super) length: Option<u64>,
}

/// Returns what `headers` say of the chunk in the body, or none if they contradict themselves.
///
/// Takes `a-b` as the specification writes it, and `bytes a-b/total` as HTTP does.
pub(super) fn chunk(headers: &HeaderMap) -> Option<Chunk> {
    let length = match headers.get(header::CONTENT_LENGTH) {
        None => None,
        Some(value) => Some(value.to_str().ok()?.parse::<u64>().ok()?),
    };
    let Some(range) = headers.get(header::CONTENT_RANGE) else {
        return Some(Chunk {
            start: None,
            length,
        });
    };
    let text = range.to_str().ok()?.trim();
    let text = text.strip_prefix("bytes").unwrap_or(text);
    let text = text.trim_start_matches([' ', '=']);
    let text = text.split_once('/').map_or(text, |(range, _)| range);
    let (first, last) = text.split_once('-')?;
    let (first, last) = (number(first)??, number(last)??);
    // The end must be a number too: it becomes the offset of the next chunk.
    let claimed = last
        .checked_add(1)?
        .checked_sub(first)
        .filter(|claimed| *claimed > 0)?;
    if length.is_some_and(|length| length != claimed) {
        return None;
    }
    Some(Chunk {
        start: Some(first),
        length: Some(claimed),
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(HeaderName, &str)]) -> HeaderMap {
        let pairs = pairs.iter();
        pairs
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    #[test]
    fn ranges() {
        let digest = oci::sha256(b"x");
        for (range, expected) in [
            ("bytes=500-1499", Wanted::Part(500..1500)),
            ("bytes=500-", Wanted::Part(500..2048)),
            ("bytes=-500", Wanted::Part(1548..2048)),
            ("bytes=-5000", Wanted::Part(0..2048)),
            ("bytes=2000-5000", Wanted::Part(2000..2048)),
            ("bytes=0-18446744073709551615", Wanted::Part(0..2048)),
            ("bytes=0-99999999999999999999", Wanted::Part(0..2048)),
            ("bytes=500-0", Wanted::Nothing),
            ("bytes=5000-10000", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
            ("bytes=2048-", Wanted::Nothing),
            ("bytes=0-1,5-6", Wanted::All),
            ("bytes=-", Wanted::All),
            ("bytes=a-b", Wanted::All),
            ("bytes=+1-2", Wanted::All),
            ("lines=1-2", Wanted::All),
        ] {
            let headers = headers(&[(header::RANGE, range)]);
            assert_eq!(wanted(&headers, &digest, 2048), expected, "{range}");
        }
        let stale = headers(&[(header::RANGE, "bytes=0-1"), (header::IF_RANGE, "\"y\"")]);
        assert_eq!(wanted(&stale, &digest, 2048), Wanted::All);
    }

    #[test]
    fn chunks() {
        let at = |start, length| {
            Some(Chunk {
                start: Some(start),
                length: Some(length),
            })
        };
        for (range, length, expected) in [
            ("0-9", Some("10"), at(0, 10)),
            ("10-19", None, at(10, 10)),
            ("bytes 10-19/20", Some("10"), at(10, 10)),
            ("bytes=10-19", Some("10"), at(10, 10)),
            ("0-9", Some("9"), None),
            ("9-0", None, None),
            ("0-", None, None),
            ("x", None, None),
            ("0-18446744073709551615", None, None),
            ("1-18446744073709551615", Some("18446744073709551615"), None),
        ] {
            let mut pairs = vec![(header::CONTENT_RANGE, range)];
            pairs.extend(length.map(|length| (header::CONTENT_LENGTH, length)));
            assert_eq!(chunk(&headers(&pairs)), expected, "{range} {length:?}");
        }
    }

    #[test]
    fn conditions_on_changes() {
        let digest = oci::sha256(b"x");
        let own = entity_tag(&digest);
        for (name, text, there, absent) in [
            (header::IF_MATCH, &*own, true, false),
            (header::IF_MATCH, "*", true, false),
            (header::IF_MATCH, "\"y\"", false, false),
            (header::IF_NONE_MATCH, &*own, false, true),
            (header::IF_NONE_MATCH, "*", false, true),
            (header::IF_NONE_MATCH, "\"y\"", true, true),
            (header::ACCEPT, "*", true, true),
        ] {
            let headers = headers(&[(name.clone(), text)]);
            assert_eq!(allows(&headers, Some(&digest)), there, "{name}: {text}");
            assert_eq!(allows(&headers, None), absent, "{name}: {text}, nothing");
        }
        let both = headers(&[(header::IF_MATCH, "*"), (header::IF_NONE_MATCH, &own)]);
        assert!(!allows(&both, Some(&digest)));
    }

    #[test]
    fn entity_tags() {
        let digest = oci::sha256(b"x");
        let own = entity_tag(&digest);
        for (text, expected) in [
            (own.as_str(), true),
            ("*", true),
            (&format!("\"y\", W/{own}"), true),
            ("\"y\"", false),
            ("", false),
        ] {
            let headers = headers(&[(header::IF_NONE_MATCH, text)]);
            let found = lists(&headers, &header::IF_NONE_MATCH, &digest);
            assert_eq!(found, expected, "{text}");
        }
    }
}
