// SPDX-License-Identifier: Apache-2.0
//! The id of an upload session, which proves by itself where and until when it is good.
//!
//! `<expiry><nonce><tag>` in base64url, where the tag is a truncated HMAC over repository, owner,
//! expiry and nonce. A session that has no bytes yet therefore needs no record: opening one costs no
//! write and survives a restart. Under another repository, or for another owner, the id is unknown.
//!
//! The id names a session and proves nothing about who sends it. For that there is the *pass*,
//! `<expiry><tag><owner>`: whoever presents it goes on with that one session as its owner, even if
//! the token that opened it has expired meanwhile.
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
/// The longest pass in characters; the name of an owner has at most 255 bytes.
const PASS_MAX_LEN: usize = 512;
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

    /// Returns a new id for an upload of `owner` into `name`.
    pub fn issue(
        &self,
        (name, owner): (&Name, &str),
        expires_at: u64,
        nonce: [u8; 16],
    ) -> SessionId {
        let mut raw = Vec::with_capacity(HEAD_BYTES + TAG_BYTES);
        raw.extend_from_slice(&expires_at.to_be_bytes());
        raw.extend_from_slice(&nonce);
        let tag = hmac::sign(&self.key, &message((name, owner), &raw));
        raw.extend_from_slice(&tag.as_ref()[..TAG_BYTES]);
        SessionId(URL_SAFE_NO_PAD.encode(raw).into())
    }

    /// Returns the id in `text` if we issued it to `owner` for `name` and it has not expired at
    /// `now`.
    pub fn verify(&self, (name, owner): (&Name, &str), text: &str, now: u64) -> Option<SessionId> {
        let id = SessionId::from_text(text)?;
        let raw = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (head, tag) = raw.split_at_checked(HEAD_BYTES)?;
        let full = hmac::sign(&self.key, &message((name, owner), head));
        let same =
            aws_lc_rs::constant_time::verify_slices_are_equal(full.as_ref().get(..TAG_BYTES)?, tag);
        (same.is_ok() && id.expires_at() > now).then_some(id)
    }

    /// Returns a pass for the session `id` of `owner`. It holds only what is safe in a query, however
    /// often that is decoded and encoded.
    pub fn pass(&self, id: &SessionId, owner: &str, expires_at: u64) -> String {
        let mut raw = expires_at.to_be_bytes().to_vec();
        raw.extend_from_slice(self.pass_tag(id, owner, expires_at).as_ref());
        raw.extend_from_slice(owner.as_bytes());
        URL_SAFE_NO_PAD.encode(raw)
    }

    /// Returns the owner of the session `id` if `pass` is for it and has not expired at `now`.
    pub fn passes(&self, id: &str, pass: &str, now: u64) -> Option<String> {
        let id = SessionId::from_text(id)?;
        let fits = pass.len() <= PASS_MAX_LEN;
        let raw = URL_SAFE_NO_PAD.decode(fits.then_some(pass)?).ok()?;
        let (expires_at, rest) = raw.split_first_chunk::<8>()?;
        let expires_at = u64::from_be_bytes(*expires_at);
        let (tag, owner) =
            rest.split_at_checked(hmac::HMAC_SHA256.digest_algorithm().output_len())?;
        let owner = String::from_utf8(owner.to_vec()).ok()?;
        let expected = self.pass_tag(&id, &owner, expires_at);
        let same = aws_lc_rs::constant_time::verify_slices_are_equal(expected.as_ref(), tag);
        (same.is_ok() && expires_at > now).then_some(owner)
    }

    fn pass_tag(&self, id: &SessionId, owner: &str, expires_at: u64) -> hmac::Tag {
        // No repository has a colon in its name, so no id is signed over the same text.
        let text = format!("pass:{id}:{expires_at}:{owner}");
        hmac::sign(&self.key, text.as_bytes())
    }
}

/// What an id is signed over. Owners hold no zero byte, the head has a fixed length.
fn message((name, owner): (&Name, &str), head: &[u8]) -> Vec<u8> {
    let (name, owner) = (name.as_str().as_bytes(), owner.as_bytes());
    [name, b"\0", owner, b"\0", head].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_good_for_one_repository_and_owner_until_it_expires() {
        let signer = SessionSigner::new(&[7; 32]);
        let name: Name = "a/b".parse().unwrap();
        let id = signer.issue((&name, "amy"), 100, [1; 16]);
        assert_eq!(SessionId::from_text(id.as_str()), Some(id.clone()));
        assert_eq!(
            signer.verify((&name, "amy"), id.as_str(), 99),
            Some(id.clone())
        );
        assert_eq!(
            signer.verify((&name, "amy"), id.as_str(), 100),
            None,
            "expired"
        );
        for owner in ["bob", "", "am", "amy\0"] {
            assert_eq!(
                signer.verify((&name, owner), id.as_str(), 99),
                None,
                "{owner}"
            );
        }
        let other: Name = "a/c".parse().unwrap();
        assert_eq!(
            signer.verify((&other, "amy"), id.as_str(), 99),
            None,
            "other name"
        );
        let forger = SessionSigner::new(&[8; 32]);
        assert_eq!(
            forger.verify((&name, "amy"), id.as_str(), 99),
            None,
            "other key"
        );
        for text in ["", "x", "../../etc/passwd", &"A".repeat(500)] {
            assert_eq!(signer.verify((&name, "amy"), text, 0), None, "{text}");
        }
    }

    #[test]
    fn a_pass_is_good_for_one_session_until_it_expires() {
        let signer = SessionSigner::new(&[7; 32]);
        let name: Name = "a/b".parse().unwrap();
        let id = signer.issue((&name, "amy"), 100, [1; 16]);
        let other = signer.issue((&name, "amy"), 100, [2; 16]);
        let pass = signer.pass(&id, "amy", 50);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        assert!(pass.bytes().all(plain), "{pass}");
        assert_eq!(
            signer.passes(id.as_str(), &pass, 49).as_deref(),
            Some("amy")
        );
        assert_eq!(signer.passes(id.as_str(), &pass, 50), None, "expired");
        assert_eq!(
            signer.passes(other.as_str(), &pass, 49),
            None,
            "other session"
        );
        let forger = SessionSigner::new(&[8; 32]);
        assert_eq!(forger.passes(id.as_str(), &pass, 49), None, "other key");
        let longer = format!("{pass}{}", URL_SAFE_NO_PAD.encode("x"));
        for text in ["", "x", &pass[1..], &longer, &"A".repeat(5000)] {
            assert_eq!(signer.passes(id.as_str(), text, 0), None, "{text}");
        }
        let owner = "é".repeat(127);
        let pass = signer.pass(&id, &owner, 50);
        assert_eq!(
            signer.passes(id.as_str(), &pass, 49),
            Some(owner),
            "a long name"
        );
    }
}
