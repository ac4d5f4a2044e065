// SPDX-License-Identifier: Apache-2.0
//! What answers share: headers, and the one shape of every failure.

use axum::body::Body;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use oci::Digest;

use crate::endpoint::ParseResourceError;
use crate::error::{ErrorBody, ErrorCode, ErrorEntry};
use crate::storage::upload::UploadError;
use crate::storage::{PutManifestError, StorageError};

/// Docs: distribution; Docker takes the answer of `/v2/` for a registry's only with this header.
pub(super) const API_VERSION: HeaderName =
    HeaderName::from_static("docker-distribution-api-version");
/// Docs: distribution; required in the development version of the specification.
pub(super) const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// Docs: distribution.
pub(super) const UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");
/// Spec: distribution-spec §Pushing Manifests with Subject.
pub(super) const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
/// Spec: distribution-spec (development) §Pushing Manifests.
pub(super) const TAG: HeaderName = HeaderName::from_static("oci-tag");
/// Spec: distribution-spec §Listing Referrers.
pub(super) const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

/// Spec: distribution-spec (development) §Registry Proxying.
pub(super) const NAMESPACE: HeaderName = HeaderName::from_static("oci-namespace");

/// What a handler returns when it succeeds.
pub(super) type Answer = Response<Body>;

/// A request that failed.
#[derive(Debug)]
pub(super) struct ApiError {
    pub(super) status: StatusCode,
    pub(super) body: ErrorBody,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    /// What is behind it, if the server is at fault.
    pub(super) fault: Option<Box<StorageError>>,
}

impl ApiError {
    /// Returns an error with the status that belongs to `code`.
    pub(super) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(code.status());
        Self {
            status: status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            body: ErrorBody::new(code, message),
            headers: Vec::new(),
            fault: None,
        }
    }

    pub(super) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    pub(super) fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        self.headers
            .extend(HeaderValue::from_str(value).map(|value| (name, value)));
        self
    }

    /// Returns the body.
    pub(super) fn json(&self) -> Vec<u8> {
        serde_json::to_vec(&self.body).expect("errors hold only strings")
    }

    /// Returns the answer; without body if the request was HEAD.
    pub(super) fn into_answer(self) -> Answer {
        let mut answer = Response::new(Body::from(self.json()));
        *answer.status_mut() = self.status;
        answer.headers_mut().extend(self.headers);
        let json = HeaderValue::from_static("application/json");
        answer.headers_mut().insert(header::CONTENT_TYPE, json);
        answer
    }
}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> Self {
        let (code, message) = match &error {
            StorageError::Full(_) => (ErrorCode::Unavailable, "no space left"),
            StorageError::Stopped(_) | StorageError::Contended(_) | StorageError::Conflict(_) => {
                (ErrorCode::Unavailable, "try again later")
            }
            StorageError::WrongDigest { .. } => {
                return Self::new(ErrorCode::DigestInvalid, error.to_string());
            }
            StorageError::Missing(_)
            | StorageError::Io { .. }
            | StorageError::InUse(_)
            | StorageError::UnknownLayout { .. }
            | StorageError::DatabaseLost(_)
            | StorageError::NoRegistry(_)
            | StorageError::Meta(_)
            | StorageError::BadRecord { .. } => (ErrorCode::Unknown, "internal error"),
        };
        let mut answer = Self::new(code, message);
        if matches!(error, StorageError::Full(_)) {
            answer.status = StatusCode::INSUFFICIENT_STORAGE;
        }
        if answer.status == StatusCode::SERVICE_UNAVAILABLE {
            answer = answer.with_header(header::RETRY_AFTER, "5");
        }
        answer.fault = Some(Box::new(error));
        answer
    }
}

impl From<UploadError> for ApiError {
    fn from(error: UploadError) -> Self {
        let code = match error {
            UploadError::Unknown => ErrorCode::BlobUploadUnknown,
            UploadError::OutOfOrder { .. } => ErrorCode::RangeInvalid,
            UploadError::Busy => ErrorCode::BlobUploadInvalid,
            UploadError::Storage(error) => return error.into(),
        };
        Self::new(code, error.to_string())
    }
}

impl From<PutManifestError> for ApiError {
    fn from(error: PutManifestError) -> Self {
        match error {
            PutManifestError::Storage(error) => error.into(),
            PutManifestError::TagChanged => Self::new(ErrorCode::Denied, error.to_string())
                .with_status(StatusCode::PRECONDITION_FAILED),
            PutManifestError::Missing(digests) => {
                let code = ErrorCode::ManifestBlobUnknown;
                // Spec: distribution-spec §Pushing Manifests: one error for each.
                let errors = digests.iter().take(ENTRIES_MAX).map(|digest| ErrorEntry {
                    code,
                    message: "the repository does not have this blob or manifest".into(),
                    detail: serde_json::json!({ "digest": digest.to_string() }),
                });
                let mut answer = Self::new(code, "");
                answer.body.errors = errors.collect();
                answer
            }
        }
    }
}

/// How many errors one answer lists.
const ENTRIES_MAX: usize = 100;

impl From<ParseResourceError> for ApiError {
    fn from(error: ParseResourceError) -> Self {
        let code = match error {
            ParseResourceError::NoSuchPath => {
                return Self::new(ErrorCode::NameUnknown, error.to_string());
            }
            ParseResourceError::BadName => ErrorCode::NameInvalid,
            ParseResourceError::BadTag => ErrorCode::TagInvalid,
            ParseResourceError::BadDigest => ErrorCode::DigestInvalid,
        };
        Self::new(code, error.to_string())
    }
}

/// The answer when no more requests are taken at once.
pub(super) fn too_busy() -> ApiError {
    let error = ApiError::new(ErrorCode::Unavailable, "too many requests at once");
    error.with_header(header::RETRY_AFTER, "1")
}

/// Returns an answer without body.
pub(super) fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = status;
    answer
}

/// Returns an answer with a body of `content_type`; HEAD gets the same headers from the router.
pub(super) fn whole(content_type: &str, bytes: impl Into<bytes::Bytes>) -> Answer {
    let bytes = bytes.into();
    let length = HeaderValue::from(bytes.len());
    let mut answer = Response::new(Body::from(bytes));
    answer.headers_mut().insert(header::CONTENT_LENGTH, length);
    set(answer.headers_mut(), header::CONTENT_TYPE, content_type);
    answer
}

/// Returns "created", with where and under which digest.
pub(super) fn created(location: &str, digest: &Digest) -> Answer {
    let mut answer = empty(StatusCode::CREATED);
    set(answer.headers_mut(), header::LOCATION, location);
    set(answer.headers_mut(), CONTENT_DIGEST, &digest.to_string());
    answer
}

/// Sets a header whose value we made. A value that came from outside and holds what no header may
/// is left out.
pub(super) fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
