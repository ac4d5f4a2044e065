// SPDX-License-Identifier: Apache-2.0
//! The content of a download: counted, hashed and written as it comes.
//!
//! What a server compressed for the way only is stored as it was before, and that is what its
//! digest and its limit are of. `Observed:` Go's `net/http`, on which BuildKit relies.

use std::fs::File;
use std::io::{self, Write};

use flate2::write::MultiGzDecoder;
use futures_util::StreamExt;
use oci::{Algorithm, Digest, Hasher};
use reqwest::Response;
use reqwest::header::CONTENT_ENCODING;

use super::super::Ops;
use super::error::{FILE_MAX_BYTES, HttpError};
use super::request::Request;
use crate::step_error::StepError;

/// Writes the body to `file`; returns its digest, which is the one that was asked for.
pub(super) async fn receive(
    ops: &Ops,
    request: &Request<'_>,
    response: Response,
    file: File,
) -> Result<Digest, StepError> {
    let algorithm = request
        .checksum
        .as_ref()
        .map_or(Algorithm::Sha256, Digest::algorithm);
    let encoding = response.headers().get(CONTENT_ENCODING);
    let is_gzip = encoding.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"gzip"));
    let failed = |error: io::Error| {
        request.failed(match error.kind() {
            io::ErrorKind::FileTooLarge => HttpError::TooLarge,
            _ => HttpError::Write(error),
        })
    };
    let mut target = Target::new(Counted::new(file, algorithm), is_gzip);
    let mut body = response.bytes_stream();
    loop {
        let next = tokio::select! {
            next = body.next() => next,
            () = ops.cancel.cancelled() => return Err(StepError::Cancelled),
        };
        let Some(bytes) = next else { break };
        let bytes = bytes.map_err(|error| request.failed(HttpError::request(error)))?;
        target.write(&bytes).map_err(failed)?;
    }
    let actual = target.finish().map_err(failed)?;
    match &request.checksum {
        Some(expected) if *expected != actual => Err(request.failed(HttpError::Checksum {
            expected: expected.clone(),
            actual,
        })),
        _ => Ok(actual),
    }
}

enum Target {
    Plain(Counted),
    Gzip(Box<MultiGzDecoder<Counted>>),
}

impl Target {
    fn new(file: Counted, is_gzip: bool) -> Self {
        if is_gzip {
            Self::Gzip(Box::new(MultiGzDecoder::new(file)))
        } else {
            Self::Plain(file)
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.write_all(bytes),
            Self::Gzip(decoder) => decoder.write_all(bytes),
        }
    }

    fn finish(self) -> io::Result<Digest> {
        let file = match self {
            Self::Plain(file) => file,
            Self::Gzip(decoder) => decoder.finish()?,
        };
        Ok(file.hasher.finish())
    }
}

/// A file that grows to a limit, hashed on the way.
struct Counted {
    file: File,
    hasher: Hasher,
    size_bytes: u64,
}

impl Counted {
    fn new(file: File, algorithm: Algorithm) -> Self {
        Self {
            file,
            hasher: Hasher::new(algorithm),
            size_bytes: 0,
        }
    }
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.size_bytes + bytes.len() as u64 > FILE_MAX_BYTES {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let written = self.file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.size_bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compression_of_the_way_is_undone_and_truncation_is_found() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(b"hello").unwrap();
        let packed = encoder.finish().unwrap();
        let run = |bytes: &[u8], is_gzip| {
            let file = Counted::new(tempfile::tempfile().unwrap(), Algorithm::Sha256);
            let mut target = Target::new(file, is_gzip);
            target.write(bytes)?;
            target.finish()
        };
        assert_eq!(run(&packed, true).unwrap(), oci::sha256(b"hello"));
        assert_eq!(run(&packed, false).unwrap(), oci::sha256(&packed));
        assert!(run(&packed[..packed.len() - 4], true).is_err());
        assert!(run(b"not gzip", true).is_err());
    }
}
