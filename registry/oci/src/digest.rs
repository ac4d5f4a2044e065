// SPDX-License-Identifier: Apache-2.0
//! The digest of some bytes, the hasher that makes one, and the reader that insists on one.
//!
//! Owns the textual form `algorithm:hex` and the limit on what may be a digest. Does not know what
//! the bytes mean.
//!
//! Spec: image-spec `descriptor.md` §Digests, §Verification.

use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

use aws_lc_rs::digest as aws;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A registered digest algorithm.
///
/// Spec: image-spec `descriptor.md` §Registered algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-256, the default everywhere.
    Sha256,
    /// SHA-512, produced only on request.
    Sha512,
}

impl Algorithm {
    /// Returns the algorithm registered under `name` (lower case).
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "sha256" => Some(Self::Sha256),
            "sha512" => Some(Self::Sha512),
            _ => None,
        }
    }

    /// Returns the registered name, e.g. `sha256`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// Returns how many hexadecimal characters a digest of this algorithm has.
    pub fn hex_len(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }

    fn aws(self) -> &'static aws::Algorithm {
        match self {
            Self::Sha256 => &aws::SHA256,
            Self::Sha512 => &aws::SHA512,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The digest of some bytes, e.g. `sha256:6c3c…`.
///
/// Invariant: `hex` is exactly [`Algorithm::hex_len`] characters of `[0-9a-f]`, so it is safe as a
/// file name and equal digests are equal as text. [`FromStr`] and [`Hasher::finish`] are the only
/// ways in.
///
/// Spec: image-spec `descriptor.md` §Digests.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest {
    algorithm: Algorithm,
    hex: Box<str>,
}

impl Digest {
    /// Returns the algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Returns the hexadecimal part, lower case, without the algorithm.
    pub fn hex(&self) -> &str {
        &self.hex
    }

    /// Returns the first twelve hexadecimal characters, as lists show them.
    pub fn short(&self) -> &str {
        &self.hex[..12]
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm.name(), self.hex)
    }
}

/// Why a text is not a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseDigestError {
    /// There is no `:` between algorithm and hexadecimal part.
    #[error("digest has no `:`")]
    NoSeparator,
    /// The algorithm is not one of [`Algorithm`].
    #[error("digest algorithm is not supported (sha256 and sha512 are)")]
    UnknownAlgorithm,
    /// Wrong length, or a character outside `[0-9a-f]`.
    #[error("a {algorithm} digest is {} characters of 0-9 and a-f", algorithm.hex_len())]
    BadHex {
        /// The algorithm that the text names.
        algorithm: Algorithm,
    },
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Self, ParseDigestError> {
        let (name, hex) = text.split_once(':').ok_or(ParseDigestError::NoSeparator)?;
        let algorithm = Algorithm::from_name(name).ok_or(ParseDigestError::UnknownAlgorithm)?;
        let is_lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if hex.len() != algorithm.hex_len() || !hex.bytes().all(is_lower_hex) {
            return Err(ParseDigestError::BadHex { algorithm });
        }
        Ok(Self {
            algorithm,
            hex: hex.into(),
        })
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Hashes bytes as they come.
#[derive(Clone)]
pub struct Hasher {
    algorithm: Algorithm,
    context: aws::Context,
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl Hasher {
    /// Returns a hasher that has seen no bytes.
    pub fn new(algorithm: Algorithm) -> Self {
        Self {
            algorithm,
            context: aws::Context::new(algorithm.aws()),
        }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
    }

    /// Returns the digest of all bytes taken.
    pub fn finish(self) -> Digest {
        digest_of(self.algorithm, self.context.finish().as_ref())
    }
}

impl io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn digest_of(algorithm: Algorithm, raw: &[u8]) -> Digest {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut hex = String::with_capacity(raw.len() * 2);
    for byte in raw {
        hex.push(char::from(HEX[usize::from(byte >> 4)]));
        hex.push(char::from(HEX[usize::from(byte & 15)]));
    }
    Digest {
        algorithm,
        hex: hex.into(),
    }
}

/// Returns the sha256 digest of `bytes`.
pub fn sha256(bytes: &[u8]) -> Digest {
    digest_of(Algorithm::Sha256, aws::digest(&aws::SHA256, bytes).as_ref())
}

/// Why bytes are not what their descriptor promised.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The bytes hash to something else.
    #[error("content does not match its digest: expected {expected}, got {actual}")]
    WrongDigest {
        /// What the descriptor says.
        expected: Digest,
        /// What was read.
        actual: Digest,
    },
    /// The stream ended early.
    #[error("content of {digest} is truncated: {actual_bytes} of {expected_bytes} bytes")]
    TooShort {
        /// The content.
        digest: Digest,
        /// What the descriptor says.
        expected_bytes: u64,
        /// What was read.
        actual_bytes: u64,
    },
    /// The stream goes on after the promised size.
    #[error("content of {digest} is longer than {expected_bytes} bytes")]
    TooLong {
        /// The content.
        digest: Digest,
        /// What the descriptor says.
        expected_bytes: u64,
    },
}

/// A reader that fails with [`VerifyError`] *instead of* end of file if what it passed on is not
/// the expected content. A caller that read to the end without error holds verified bytes.
///
/// Spec: image-spec `descriptor.md` §Verification.
#[derive(Debug)]
pub struct VerifyingReader<R> {
    inner: R,
    hasher: Option<Hasher>,
    expected: Digest,
    expected_bytes: u64,
    seen_bytes: u64,
}

impl<R: Read> VerifyingReader<R> {
    /// Wraps `inner`, whose whole content must be `expected_bytes` long and hash to `expected`.
    pub fn new(inner: R, expected: Digest, expected_bytes: u64) -> Self {
        Self {
            hasher: Some(Hasher::new(expected.algorithm())),
            inner,
            expected,
            expected_bytes,
            seen_bytes: 0,
        }
    }

    fn verify_end(&mut self) -> Result<(), VerifyError> {
        let Some(hasher) = self.hasher.take() else {
            return Ok(());
        };
        if self.seen_bytes < self.expected_bytes {
            return Err(VerifyError::TooShort {
                digest: self.expected.clone(),
                expected_bytes: self.expected_bytes,
                actual_bytes: self.seen_bytes,
            });
        }
        let actual = hasher.finish();
        if actual != self.expected {
            return Err(VerifyError::WrongDigest {
                expected: self.expected.clone(),
                actual,
            });
        }
        Ok(())
    }
}

impl<R: Read> Read for VerifyingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = self.inner.read(buffer)?;
        if count == 0 {
            self.verify_end().map_err(invalid_data)?;
            return Ok(0);
        }
        self.seen_bytes += count as u64;
        if self.seen_bytes > self.expected_bytes {
            return Err(invalid_data(VerifyError::TooLong {
                digest: self.expected.clone(),
                expected_bytes: self.expected_bytes,
            }));
        }
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..count]);
        }
        Ok(count)
    }
}

fn invalid_data(error: VerifyError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn hashes_as_fips_180_says() {
        assert_eq!(sha256(b"abc").to_string(), ABC);
        let mut hasher = Hasher::new(Algorithm::Sha512);
        hasher.update(b"abc");
        assert!(
            hasher
                .finish()
                .to_string()
                .starts_with("sha512:ddaf35a193617aba")
        );
    }

    #[test]
    fn digest_grammar() {
        // Spec: image-spec descriptor.md §Digests.
        for (rule, text, ok) in [
            ("a registered algorithm and its full length", ABC, true),
            ("upper case is another text", &ABC.to_uppercase(), false),
            ("a separator is needed", "sha256", false),
            (
                "unknown algorithms are refused",
                "md5:d41d8cd98f00b204e9800998ecf8427e",
                false,
            ),
            ("the length is exact", &ABC[..70], false),
            (
                "no path can hide in it",
                "sha256:../../../../etc/passwd",
                false,
            ),
        ] {
            assert_eq!(text.parse::<Digest>().is_ok(), ok, "{rule}: {text}");
        }
    }

    #[test]
    fn verifying_reader_fails_instead_of_ending() {
        let digest: Digest = ABC.parse().unwrap();
        for (rule, bytes, size_bytes, ok) in [
            ("the right bytes", &b"abc"[..], 3, true),
            ("other bytes", b"abd", 3, false),
            ("truncated", b"ab", 3, false),
            ("too long", b"abcd", 3, false),
            ("wrong size in the descriptor", b"abc", 4, false),
        ] {
            let mut reader = VerifyingReader::new(bytes, digest.clone(), size_bytes);
            let result = io::copy(&mut reader, &mut io::sink());
            assert_eq!(result.is_ok(), ok, "{rule}: {result:?}");
        }
    }
}
