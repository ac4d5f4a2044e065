// SPDX-License-Identifier: Apache-2.0
//! The published bytes that name their digest, `d/k/<algorithm>/<hex>/<id>`, as a listing: the ones
//! that no session's record leads to.

use aws_sdk_s3::primitives::DateTime;
use oci::Digest;
use registry::storage::meta::LIST_MAX;
use registry::storage::{Location, Placed, StorageError};

use crate::client::Bucket;

/// What the locations start with that name their digest. A location is a key of ours.
const KNOWN: &str = "d/k/";

/// Returns the next page of places after `after`; empty at the end.
pub(crate) async fn placed(
    bucket: &Bucket,
    after: Option<&Location>,
) -> Result<Vec<Placed>, StorageError> {
    let mut after = after.map(ToString::to_string);
    loop {
        let asked = bucket.records.list_objects_v2();
        let asked = asked
            .bucket(&bucket.name)
            .prefix(bucket.object(KNOWN))
            .set_start_after(after.as_deref().map(|after| bucket.object(after)))
            .max_keys(i32::try_from(LIST_MAX).unwrap_or(i32::MAX));
        let answer = asked.send().await;
        let answer = answer.map_err(|error| bucket.failed("list", KNOWN, &error))?;
        let objects = answer.contents();
        let placed: Vec<Placed> = objects
            .iter()
            .filter_map(|object| {
                let location = bucket.key(object.key()?)?;
                Some(Placed {
                    digest: digest(location)?,
                    location: Location(location.into()),
                    size_bytes: u64::try_from(object.size()?).ok()?,
                    written_at: u64::try_from(object.last_modified().map_or(0, DateTime::secs))
                        .unwrap_or_default(),
                })
            })
            .collect();
        if !placed.is_empty() || objects.is_empty() || answer.is_truncated() != Some(true) {
            return Ok(placed);
        }
        // A whole page of what is not ours.
        let last = objects.last().and_then(|object| bucket.key(object.key()?));
        after = last.map(str::to_owned);
    }
}

/// Returns the digest in a location.
fn digest(location: &str) -> Option<Digest> {
    let mut parts = location.strip_prefix(KNOWN)?.split('/');
    let (algorithm, hex) = (parts.next()?, parts.next()?);
    format!("{algorithm}:{hex}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_names_its_digest_or_is_left_alone() {
        let hex = "ab".repeat(32);
        let named = digest(&format!("d/k/sha256/{hex}/01J")).unwrap();
        assert_eq!(named.to_string(), format!("sha256:{hex}"));
        for other in ["d/k/sha256/zz/01J", "d/k/sha256", "d/u/session", ""] {
            assert_eq!(digest(other), None, "{other}");
        }
    }
}
