// SPDX-License-Identifier: Apache-2.0
//! Secrets: values that steps may see and nothing else ever does.
//!
//! Only the id of a secret is part of a graph or a key. Values are held here, mounted on memory
//! and never stored, logged or printed: [`std::fmt::Debug`] shows ids alone.

use std::collections::BTreeMap;
use std::fmt;

/// The secrets of one build, by id.
#[derive(Clone, Default)]
pub struct Secrets(BTreeMap<String, Vec<u8>>);

impl Secrets {
    /// The largest secret, in bytes. Docs: BuildKit's `MaxSecretSize`.
    pub const SIZE_MAX_BYTES: usize = 500 << 10;

    /// Adds or replaces a secret.
    pub fn insert(&mut self, id: String, value: Vec<u8>) {
        self.0.insert(id, value);
    }

    /// Returns all values.
    pub(crate) fn values(&self) -> impl Iterator<Item = &[u8]> {
        self.0.values().map(Vec::as_slice)
    }

    /// Returns the value of a secret.
    pub fn get(&self, id: &str) -> Option<&[u8]> {
        self.0.get(id).map(Vec::as_slice)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let mut secrets = Secrets::default();
        secrets.insert("token".into(), b"hunter2".to_vec());
        assert_eq!(format!("{secrets:?}"), r#"{"token"}"#);
    }
}
