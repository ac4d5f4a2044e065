// SPDX-License-Identifier: Apache-2.0
//! Where a list of repositories goes on, if that is a name which the caller may not know.
//!
//! Sealed with a key of the instance: every replica reads it, nobody else.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::endpoint::Name;
use crate::storage::Store;

/// What a sealed name begins with; no repository is called so.
const MARK: char = '~';

/// Seals and opens names.
pub(in crate::server) struct Cursor(RandomizedNonceKey);

impl fmt::Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cursor")
    }
}

impl Cursor {
    pub(in crate::server) fn new(store: &Store) -> Self {
        let key = RandomizedNonceKey::new(&AES_256_GCM, &store.derive("catalog cursor"));
        Self(key.expect("the key has the algorithm's length"))
    }

    /// Returns `name` as nobody else can read it.
    pub(in crate::server) fn seal(&self, name: &str) -> String {
        let mut bytes = name.as_bytes().to_vec();
        let nonce = self.0.seal_in_place_append_tag(Aad::empty(), &mut bytes);
        let nonce = nonce.expect("a name is far shorter than what one key may seal");
        let sealed = [nonce.as_ref().as_slice(), &bytes].concat();
        format!("{MARK}{}", URL_SAFE_NO_PAD.encode(sealed))
    }

    /// Returns the name behind `last`, which is it itself if it is not sealed. What we did not seal
    /// is read as the beginning.
    pub(in crate::server) fn open(&self, last: &str) -> String {
        let Some(sealed) = last.strip_prefix(MARK) else {
            return last.into();
        };
        self.unseal(sealed).unwrap_or_default()
    }

    fn unseal(&self, text: &str) -> Option<String> {
        // Twice the longest name is more than any that we sealed.
        let fits = text.len() <= 2 * Name::MAX_BYTES;
        let sealed = URL_SAFE_NO_PAD.decode(fits.then_some(text)?).ok()?;
        let (nonce, bytes) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut bytes = bytes.to_vec();
        let opened = self.0.open_in_place(nonce, Aad::empty(), &mut bytes);
        String::from_utf8(opened.ok()?.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::storage::memory::{MemoryData, MemoryMeta};
    use crate::storage::{Backend, Clock, SparsePolicy};

    #[tokio::test]
    async fn a_sealed_name_is_read_by_us_alone() {
        let clock = Clock(|| std::time::UNIX_EPOCH);
        let backend = Backend {
            data: Arc::new(MemoryData::default()),
            meta: Arc::new(MemoryMeta::default()),
        };
        let store = Store::open(backend, clock, SparsePolicy::All)
            .await
            .unwrap();
        let cursor = Cursor::new(&store);
        let sealed = cursor.seal("team/secret");
        assert!(!sealed.contains("secret"));
        assert_ne!(sealed, cursor.seal("team/secret"));
        let long = cursor.seal(&"a".repeat(Name::MAX_BYTES));
        for (last, opened) in [
            (&*sealed, "team/secret"),
            (&*long, &"a".repeat(Name::MAX_BYTES)),
            ("team/app", "team/app"),
            ("", ""),
            ("~", ""),
            ("~AAAA", ""),
            ("~é", ""),
            (&sealed[..20], ""),
        ] {
            assert_eq!(cursor.open(last), opened, "{last}");
        }
        let again = Cursor::new(&store);
        assert_eq!(again.open(&sealed), "team/secret", "a replica");
    }
}
