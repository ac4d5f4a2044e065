// SPDX-License-Identifier: Apache-2.0
//! Bodies of uploads, checked against the sums that came with them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256};
use s3s::dto::{Checksum, PutObjectInput, StreamingBlob, UploadPartInput};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result, TrailingHeaders, s3_error};

use crate::content::{Content, Spool};

/// What a client says about a body before it sends it.
#[derive(Debug, Default)]
pub(super) struct Expected {
    /// Sums in the head of the request.
    sums: Checksum,
    /// The MD5 sum in base64.
    md5: Option<String>,
    /// Names of sums that follow the body.
    trailer: String,
}

/// Both kinds of input have the same fields, but no trait for them.
macro_rules! expected {
    ($request:expr) => {
        Expected {
            sums: Checksum {
                checksum_crc32: $request.input.checksum_crc32.clone(),
                checksum_crc32c: $request.input.checksum_crc32c.clone(),
                checksum_crc64nvme: $request.input.checksum_crc64nvme.clone(),
                checksum_sha1: $request.input.checksum_sha1.clone(),
                checksum_sha256: $request.input.checksum_sha256.clone(),
                ..Checksum::default()
            },
            md5: $request.input.content_md5.clone(),
            trailer: $request
                .headers
                .get("x-amz-trailer")
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .to_ascii_lowercase(),
        }
    };
}

impl Expected {
    pub(super) fn of_object(request: &S3Request<PutObjectInput>) -> Self {
        expected!(request)
    }

    pub(super) fn of_part(request: &S3Request<UploadPartInput>) -> Self {
        expected!(request)
    }

    /// A hasher of the sums that are expected.
    fn hasher(&self) -> ChecksumHasher {
        let wanted = |sum: &Option<String>, name| sum.is_some() || self.trailer.contains(name);
        ChecksumHasher {
            crc32: wanted(&self.sums.checksum_crc32, CRC32).then(Crc32::new),
            crc32c: wanted(&self.sums.checksum_crc32c, CRC32C).then(Crc32c::new),
            crc64nvme: wanted(&self.sums.checksum_crc64nvme, CRC64NVME).then(Crc64Nvme::new),
            sha1: wanted(&self.sums.checksum_sha1, SHA1).then(Sha1::new),
            sha256: wanted(&self.sums.checksum_sha256, SHA256).then(Sha256::new),
        }
    }
}

const CRC32: &str = "x-amz-checksum-crc32";
const CRC32C: &str = "x-amz-checksum-crc32c";
const CRC64NVME: &str = "x-amz-checksum-crc64nvme";
const SHA1: &str = "x-amz-checksum-sha1";
const SHA256: &str = "x-amz-checksum-sha256";

/// A body that was received and checked.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) content: Content,
    pub(super) md5: [u8; 16],
}

/// Receives `body` into `spool`.
pub(super) async fn receive(
    spool: &Spool,
    body: Option<StreamingBlob>,
    trailers: Option<TrailingHeaders>,
    expected: Expected,
) -> S3Result<Received> {
    let mut hasher = expected.hasher();
    let mut md5 = Md5::new();
    let content = match body {
        None => Content::default(),
        Some(body) => spool
            .receive(body, |chunk| {
                hasher.update(chunk);
                md5.update(chunk);
            })
            .await
            .map_err(|error| S3Error::with_source(S3ErrorCode::IncompleteBody, error))?,
    };
    let md5 = md5.finalize();
    check(&hasher.finalize(), &expected, trailers.as_ref())?;
    if expected
        .md5
        .is_some_and(|text| text != STANDARD.encode(md5))
    {
        return Err(s3_error!(BadDigest));
    }
    Ok(Received { content, md5 })
}

/// Compares the sums of what came with what was said in the head or after the body.
fn check(sums: &Checksum, expected: &Expected, trailers: Option<&TrailingHeaders>) -> S3Result<()> {
    let head = &expected.sums;
    let pairs = [
        (CRC32, &sums.checksum_crc32, &head.checksum_crc32),
        (CRC32C, &sums.checksum_crc32c, &head.checksum_crc32c),
        (
            CRC64NVME,
            &sums.checksum_crc64nvme,
            &head.checksum_crc64nvme,
        ),
        (SHA1, &sums.checksum_sha1, &head.checksum_sha1),
        (SHA256, &sums.checksum_sha256, &head.checksum_sha256),
    ];
    for (name, actual, in_head) in pairs {
        let value = |headers: &http::HeaderMap| {
            let value = headers.get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        let in_trailer = trailers.and_then(|trailers| trailers.read(value).flatten());
        let said = in_head.clone().or(in_trailer);
        if said.is_some() && said != *actual {
            return Err(s3_error!(BadDigest, "{name} does not match the body"));
        }
    }
    Ok(())
}
