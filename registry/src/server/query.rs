// SPDX-License-Identifier: Apache-2.0
//! The query of a request, decoded; unknown parameters are ignored.

use std::fmt;

use http::{HeaderValue, Uri};
use oci::Digest;

use super::answer::ApiError;
use crate::error::ErrorCode;

/// How many parameters are looked at.
const PARAMETERS_MAX: usize = 256;

/// Decoded parameters in their order.
#[derive(Default)]
pub(super) struct Query(Vec<(String, String)>);

impl fmt::Debug for Query {
    /// Shows no values: they may be a password, or a pass for an upload.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|(name, _)| name);
        f.debug_set().entries(names).finish()
    }
}

impl Query {
    pub(super) fn of(uri: &Uri) -> Self {
        let Some(text) = uri.query() else {
            return Self::default();
        };
        // Observed: clients that append `?digest=` to an upload's address as text, whatever it has
        // already. None of our values holds a question mark.
        Self::of_form(text.replace('?', "&").as_bytes())
    }

    /// Reads a form in the body of a request, which is written the same way.
    pub(super) fn of_form(bytes: &[u8]) -> Self {
        let pairs = url::form_urlencoded::parse(bytes);
        Self(pairs.into_owned().take(PARAMETERS_MAX).collect())
    }

    /// Returns the first value of `name`.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Returns every value of `name`.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let pairs = self.0.iter().filter(move |(key, _)| key == name);
        pairs.map(|(_, value)| value.as_str())
    }

    /// Returns the digest in `name`.
    ///
    /// # Errors
    ///
    /// `DIGEST_INVALID` if it is none, or if there are two that differ.
    pub(super) fn digest(&self, name: &str) -> Result<Option<Digest>, ApiError> {
        let invalid = |message: String| ApiError::new(ErrorCode::DigestInvalid, message);
        let mut found: Option<Digest> = None;
        for text in self.all(name) {
            let digest = text.parse::<Digest>();
            let digest = digest.map_err(|error| invalid(error.to_string()))?;
            if found.as_ref().is_some_and(|first| *first != digest) {
                return Err(invalid("two different digests are given".into()));
            }
            found = Some(digest);
        }
        Ok(found)
    }

    /// Returns `n`, the length of a page.
    ///
    /// # Errors
    ///
    /// `PAGINATION_NUMBER_INVALID` if it is not a number of that kind.
    pub(super) fn page_length(&self) -> Result<Option<usize>, ApiError> {
        let Some(text) = self.get("n") else {
            return Ok(None);
        };
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits {
            let code = ErrorCode::PaginationNumberInvalid;
            return Err(ApiError::new(code, "n must be a number of entries"));
        }
        // A number that does not fit is more than any page holds.
        Ok(Some(text.parse().unwrap_or(usize::MAX)))
    }
}

/// The longest namespace that is looked at. Spec: RFC 1035 §2.3.4, and a port.
const NAMESPACE_MAX_BYTES: usize = 255 + 6;

/// Returns the registry on whose behalf a mirror is asked (`ns`), if it looks like one.
///
/// Spec: distribution-spec (development) §Registry Proxying.
pub(super) fn namespace(uri: &Uri) -> Option<HeaderValue> {
    uri.query()?;
    let query = Query::of(uri);
    let text = query.get("ns")?;
    let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-:[]_".contains(&byte);
    let fits = !text.is_empty() && text.len() <= NAMESPACE_MAX_BYTES && text.bytes().all(is_host);
    HeaderValue::from_str(text).ok().filter(|_| fits)
}

/// Returns `text` escaped for the value of a parameter.
pub(super) fn escape(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
