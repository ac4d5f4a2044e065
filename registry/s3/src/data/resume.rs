// SPDX-License-Identifier: Apache-2.0
//! What a session's record keeps of a session whose bytes are in a bucket.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use oci::Digest;
use registry::storage::{Resume, StorageError};
use serde::{Deserialize, Serialize};

use super::multipart::Progress;

/// How many bytes are kept in the record: fewer are not worth an object.
pub(super) const INLINE_MAX_BYTES: usize = 64 << 10;

/// Bytes of the tail that are an object of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Scrap {
    pub(super) key: String,
    #[serde(rename = "size")]
    pub(super) size_bytes: u64,
}

/// A session whose bytes only wait to be completed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sealed {
    pub(super) digest: Digest,
    pub(super) location: String,
    /// Whether the bytes are known to have the digest.
    #[serde(rename = "verified")]
    pub(super) is_verified: bool,
}

/// Everything that is needed to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct State {
    /// How many bytes there are; the session's record says the same.
    #[serde(rename = "offset")]
    pub(super) offset_bytes: u64,
    /// How large every part but the last is.
    pub(super) part_bytes: u64,
    /// The hasher after `offset_bytes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) hash: Option<String>,
    /// The parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) upload: Option<Progress>,
    /// What comes after the parts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) scraps: Vec<Scrap>,
    /// What comes after the scraps.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) inline: String,
    /// Objects of ours that nothing needs any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) stale: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sealed: Option<Sealed>,
}

impl State {
    /// Returns the state in `resume`, which belongs to a record with `offset_bytes`; a new one has
    /// none.
    pub(super) fn read(resume: &Resume, offset_bytes: u64) -> Result<Option<Self>, StorageError> {
        if resume.is_empty() && offset_bytes == 0 {
            return Ok(None);
        }
        let state = Self::deserialize(&resume.0).ok();
        let state = state.filter(|state| state.offset_bytes == offset_bytes);
        let missing = || StorageError::Missing("bytes of an upload".into());
        state.map(Some).ok_or_else(missing)
    }

    pub(super) fn write(&self) -> Resume {
        let value = serde_json::to_value(self);
        Resume(value.expect("holds only strings and integers"))
    }

    pub(super) fn set_inline(&mut self, bytes: &[u8]) {
        self.inline = STANDARD.encode(bytes);
    }

    pub(super) fn inline(&self) -> Result<Vec<u8>, StorageError> {
        let bytes = STANDARD.decode(&self.inline);
        bytes.map_err(|_| StorageError::Missing("last bytes of an upload".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_state_fits_into_a_record() {
        let key = format!("d/u/{}/{}", "s".repeat(54), "n".repeat(32));
        let mut state = State {
            upload: Some(Progress {
                key: key.clone(),
                id: "i".repeat(1024),
                tags: vec!["\"0123456789abcdef0123456789abcdef\"".into(); 10_000],
            }),
            scraps: vec![
                Scrap {
                    key: key.clone(),
                    size_bytes: 65_536
                };
                128
            ],
            stale: vec![key; 128],
            ..State::default()
        };
        state.set_inline(&vec![7; INLINE_MAX_BYTES]);
        let text = serde_json::to_vec(&state.write()).unwrap();
        assert!(text.len() < Resume::SIZE_MAX_BYTES, "{}", text.len());
        assert_eq!(State::read(&state.write(), 0).unwrap(), Some(state));
    }

    #[test]
    fn a_state_of_another_offset_is_refused() {
        let state = State::default().write();
        assert!(State::read(&state, 1).is_err());
        assert!(State::read(&Resume::default(), 1).is_err());
        assert_eq!(State::read(&Resume::default(), 0).unwrap(), None);
    }
}
