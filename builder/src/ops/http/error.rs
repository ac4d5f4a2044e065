// SPDX-License-Identifier: Apache-2.0
//! Why a file could not be downloaded.

use oci::Digest;
use reqwest::StatusCode;

/// The largest file that is fetched, in bytes.
pub(super) const FILE_MAX_BYTES: u64 = 64 << 30;

/// Why a file could not be downloaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// The server cannot be reached, or the connection broke.
    #[error("the request failed")]
    Request(#[source] reqwest::Error),
    /// The server refuses.
    #[error("the server answered {code}{}", reason(*code))]
    Status {
        /// The status code.
        code: u16,
    },
    /// The content is not what `--checksum` says.
    #[error("digest mismatch: expected {expected}, got {actual}")]
    Checksum {
        /// What the instruction says.
        expected: Digest,
        /// What was received.
        actual: Digest,
    },
    /// The file was there under another name or content a moment ago.
    #[error("the file changed during the build")]
    Changed,
    /// The content is too large.
    #[error("the file is larger than {FILE_MAX_BYTES} bytes")]
    TooLarge,
    /// A secret cannot be a header.
    #[error("secret {0} cannot be sent as a header")]
    Secret(String),
    /// The instruction names a secret that was not given.
    #[error("secret {0} is required and was not given")]
    SecretMissing(String),
    /// The file cannot be stored, or is not compressed as the server says.
    #[error("cannot store the file")]
    Write(#[source] std::io::Error),
}

impl HttpError {
    /// Returns the error without the address, which may hold credentials.
    pub(super) fn request(error: reqwest::Error) -> Self {
        Self::Request(error.without_url())
    }

    pub(super) fn status(status: StatusCode) -> Self {
        Self::Status {
            code: status.as_u16(),
        }
    }
}

fn reason(code: u16) -> String {
    let status = StatusCode::from_u16(code).ok();
    let reason = status.and_then(|status| status.canonical_reason());
    reason.map_or_else(String::new, |reason| format!(" ({reason})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_what_a_status_means() {
        let text = HttpError::status(StatusCode::NOT_FOUND).to_string();
        assert_eq!(text, "the server answered 404 (Not Found)");
        let odd = HttpError::Status { code: 599 };
        assert_eq!(odd.to_string(), "the server answered 599");
    }
}
