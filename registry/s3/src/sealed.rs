// SPDX-License-Identifier: Apache-2.0
//! The form of a record as an object: its bytes, and behind them a nonce that is fresh on every
//! write.
//!
//! An object's version is its `ETag`, and that is often a digest of its bytes: a record that went
//! from one state to another and back would have its old version again, and a writer that saw the
//! first would not notice the others. With the nonce no two writes have the same bytes, whatever
//! the record is, and a writer whose answer was lost can tell its own write from anybody else's.
//!
//! The nonce is a line with a JSON string, so that an object whose record is JSON stays a sequence
//! of JSON values: `aws s3 cp s3://…/c/sha256/… - | jq`.
//!
//! An object without any bytes is the *tombstone* of a record, see [`crate::meta`].

use registry::storage::nonce;

/// A line feed, a quote, 16 digits, a quote.
pub(crate) const SEAL_BYTES: usize = 19;

/// Returns `record` as an object.
pub(crate) fn seal(mut record: Vec<u8>) -> Vec<u8> {
    record.extend_from_slice(format!("\n\"{}\"", nonce()).as_bytes());
    record
}

/// Returns the record in an object; none if it is not sealed.
pub(crate) fn unseal(mut object: Vec<u8>) -> Option<Vec<u8>> {
    let end = object.len().checked_sub(SEAL_BYTES)?;
    let is_seal = object[end..].starts_with(b"\n\"") && object.ends_with(b"\"");
    object.truncate(end);
    is_seal.then_some(object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_is_fresh_and_comes_off() {
        for record in [&b""[..], b"{}", b"{}\n{\"schemaVersion\":2}\n", b"\"\""] {
            let object = seal(record.to_vec());
            assert_eq!(object.len(), record.len() + SEAL_BYTES);
            assert_ne!(object, seal(record.to_vec()));
            assert_eq!(unseal(object).as_deref(), Some(record));
        }
    }

    #[test]
    fn what_is_not_sealed_is_no_record() {
        for object in [&b""[..], b"{}", b"{\"state\":\"live\",\"size\":12345}"] {
            assert_eq!(unseal(object.to_vec()), None);
        }
    }
}
