// SPDX-License-Identifier: Apache-2.0
//! A value that is never shown.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

/// What is shown in its place.
pub(super) const STARS: &str = "***";
/// The keys that hold one.
pub(super) const KEYS: [&str; 1] = ["storage.s3.secret_access_key"];

/// A secret. `Debug` and the serialized form are stars.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Returns `text` as a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the text, for the one who needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(STARS)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(STARS)
    }
}
