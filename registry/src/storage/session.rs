// SPDX-License-Identifier: Apache-2.0
//! The id of an upload session, which proves by itself where and until when it is good.
//!
//! `<expiry><nonce><tag>` in base64url, where the tag is a truncated HMAC over repository, expiry
//! and nonce. A session that has no bytes yet therefore needs no record: opening one costs no write
//! and survives a restart. Whoever holds the id may go on with the upload until it expires, even if
//! the token that opened it has expired meanwhile; under another repository it is unknown.
//!
//! Spec: distribution-spec §Pushing a blob in chunks (the location must hold a unique id). Ours: the
//! form; no padding, `+` or `/`, because clients decode, sort and encode the URL again.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::endpoint::Name;

/// How many bytes of the HMAC are kept.
const TAG_BYTES: usize = 16;
/// Expiry (seconds, big endian) and nonce.
const HEAD_BYTES: usize = 8 + 16;
/// How many characters an id has.
const TEXT_LEN: usize = (HEAD_BYTES + TAG_BYTES) * 4 / 3 + 1;

/// The id of an upload session.
///
/// Invariant: `[A-Za-z0-9_-]` only, so it is safe in a path of a URL and as a file name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(Box<str>);

impl SessionId {
    /// Returns the id in a file name or key, unverified; none if it has not the form of one.
    pub fn from_text(text: &str) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let fine = text.len() == TEXT_LEN && text.bytes().all(plain);
        fine.then(|| Self(text.into()))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns when the session expires, in seconds since 1970.
    pub fn expires_at(&self) -> u64 {
        let raw = URL_SAFE_NO_PAD.decode(&*self.0).unwrap_or_default();
        let head = raw.first_chunk::<8>().copied().unwrap_or_default();
        u64::from_be_bytes(head)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Makes and checks session ids.
#[derive(Debug)]
pub struct SessionSigner {
    key: hmac::Key,
}

impl SessionSigner {
    /// How many bytes the secret has.
    pub const SECRET_BYTES: usize = 32;

    /// Returns a signer; all replicas of a registry share `secret`.
    pub fn new(secret: &[u8]) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, secret),
        }
    }

    /// Returns a new id for an upload into `name`.
    pub fn issue(&self, name: &Name, expires_at: u64, nonce: [u8; 16]) -> SessionId {
        let mut raw = Vec::with_capacity(HEAD_BYTES + TAG_BYTES);
        raw.extend_from_slice(&expires_at.to_be_bytes());
        raw.extend_from_slice(&nonce);
        let tag = hmac::sign(&self.key, &message(name, &raw));
        raw.extend_from_slice(&tag.as_ref()[..TAG_BYTES]);
        SessionId(URL_SAFE_NO_PAD.encode(raw).into())
    }

    /// Returns the id in `text` if we issued it for `name` and it has not expired at `now`.
    pub fn verify(&self, name: &Name, text: &str, now: u64) -> Option<SessionId> {
        let id = SessionId::from_text(text)?;
        let raw = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (head, tag) = raw.split_at_checked(HEAD_BYTES)?;
        let full = hmac::sign(&self.key, &message(name, head));
        let same =
            aws_lc_rs::constant_time::verify_slices_are_equal(full.as_ref().get(..TAG_BYTES)?, tag);
        (same.is_ok() && id.expires_at() > now).then_some(id)
    }
}

fn message(name: &Name, head: &[u8]) -> Vec<u8> {
    [name.as_str().as_bytes(), b"\0", head].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_good_for_one_repository_until_it_expires() {
        let signer = SessionSigner::new(&[7; 32]);
        let name: Name = "a/b".parse().unwrap();
        let id = signer.issue(&name, 100, [1; 16]);
        assert_eq!(SessionId::from_text(id.as_str()), Some(id.clone()));
        assert_eq!(signer.verify(&name, id.as_str(), 99), Some(id.clone()));
        assert_eq!(signer.verify(&name, id.as_str(), 100), None, "expired");
        let other: Name = "a/c".parse().unwrap();
        assert_eq!(signer.verify(&other, id.as_str(), 99), None, "other name");
        let forger = SessionSigner::new(&[8; 32]);
        assert_eq!(forger.verify(&name, id.as_str(), 99), None, "other key");
        for text in ["", "x", "../../etc/passwd", &"A".repeat(500)] {
            assert_eq!(signer.verify(&name, text, 0), None, "{text}");
        }
    }
}
