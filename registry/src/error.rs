// SPDX-License-Identifier: Apache-2.0
//! The error codes of the protocol and the JSON they travel in, for both sides.
//!
//! Spec: distribution-spec §Error Codes (code-1 … code-14); the rest is distribution's and seen in
//! the wild.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What went wrong, in the protocol's vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[non_exhaustive]
pub enum ErrorCode {
    /// code-1: the repository has no such blob.
    BlobUnknown,
    /// code-2: the upload cannot go on.
    BlobUploadInvalid,
    /// code-3: no such upload session.
    BlobUploadUnknown,
    /// code-4: bytes and digest differ, or the digest is malformed.
    DigestInvalid,
    /// code-5: a manifest refers to something that the repository does not have.
    ManifestBlobUnknown,
    /// code-6: the manifest is malformed.
    ManifestInvalid,
    /// code-7: the repository has no such manifest.
    ManifestUnknown,
    /// code-8: the repository name breaks the grammar.
    NameInvalid,
    /// code-9: no such repository.
    NameUnknown,
    /// code-10: wrong length.
    SizeInvalid,
    /// code-11: credentials are needed.
    Unauthorized,
    /// code-12: the credentials do not suffice.
    Denied,
    /// code-13: the operation is not supported.
    Unsupported,
    /// code-14: try again later.
    #[serde(rename = "TOOMANYREQUESTS")]
    TooManyRequests,
    /// Docs: distribution; a chunk out of order, or a range outside the blob.
    RangeInvalid,
    /// Docs: distribution; the tag breaks the grammar.
    TagInvalid,
    /// Docs: distribution; `n` is not a number.
    PaginationNumberInvalid,
    /// Docs: distribution; a fault that will pass, such as a full disk.
    Unavailable,
    /// Anything else, and codes that this version does not know.
    #[serde(other)]
    Unknown,
}

impl ErrorCode {
    /// Returns the text on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::BlobUploadInvalid => "BLOB_UPLOAD_INVALID",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Self::ManifestInvalid => "MANIFEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::SizeInvalid => "SIZE_INVALID",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Denied => "DENIED",
            Self::Unsupported => "UNSUPPORTED",
            Self::TooManyRequests => "TOOMANYREQUESTS",
            Self::RangeInvalid => "RANGE_INVALID",
            Self::TagInvalid => "TAG_INVALID",
            Self::PaginationNumberInvalid => "PAGINATION_NUMBER_INVALID",
            Self::Unavailable => "UNAVAILABLE",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// Returns the HTTP status that usually carries the code.
    pub fn status(self) -> u16 {
        match self {
            Self::BlobUnknown
            | Self::BlobUploadUnknown
            | Self::ManifestUnknown
            | Self::NameUnknown => 404,
            Self::BlobUploadInvalid
            | Self::DigestInvalid
            | Self::ManifestBlobUnknown
            | Self::ManifestInvalid
            | Self::NameInvalid
            | Self::SizeInvalid
            | Self::TagInvalid
            | Self::PaginationNumberInvalid => 400,
            Self::Unauthorized => 401,
            Self::Denied => 403,
            Self::Unsupported => 405,
            Self::RangeInvalid => 416,
            Self::TooManyRequests => 429,
            Self::Unavailable => 503,
            Self::Unknown => 500,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One error of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ErrorEntry {
    /// The code.
    pub code: ErrorCode,
    /// A sentence for people.
    #[serde(default)]
    pub message: String,
    /// Whatever helps, unstructured.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub detail: serde_json::Value,
}

/// The body of an answer that failed.
///
/// Spec: distribution-spec §Error Codes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// At least one.
    pub errors: Vec<ErrorEntry>,
}

impl ErrorBody {
    /// Returns a body with one error.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            errors: vec![ErrorEntry {
                code,
                message: message.into(),
                detail: serde_json::Value::Null,
            }],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_the_same_in_json_and_display() {
        use ErrorCode::*;
        for code in [
            BlobUnknown,
            BlobUploadInvalid,
            BlobUploadUnknown,
            DigestInvalid,
            ManifestBlobUnknown,
            ManifestInvalid,
            ManifestUnknown,
            NameInvalid,
            NameUnknown,
            SizeInvalid,
            Unauthorized,
            Denied,
            Unsupported,
            TooManyRequests,
            RangeInvalid,
            TagInvalid,
            PaginationNumberInvalid,
            Unavailable,
            Unknown,
        ] {
            let json = serde_json::to_string(&code).unwrap();
            assert_eq!(json, format!("\"{code}\""));
            assert_eq!(serde_json::from_str::<ErrorCode>(&json).unwrap(), code);
        }
        let foreign = r#"{"errors":[{"code":"QUOTA_EXCEEDED","detail":{"a":1}}]}"#;
        let body: ErrorBody = serde_json::from_str(foreign).unwrap();
        assert_eq!(body.errors[0].code, Unknown);
    }
}
