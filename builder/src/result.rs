// SPDX-License-Identifier: Apache-2.0
//! What the cache remembers of a step and of a layer, as the bytes of a record.
//!
//! ```text
//! step    key of the record (32 bytes)
//! layer   time made, ns since 1970 (8 bytes, little endian), origin (1 byte)
//! blob    JSON: diff ID and descriptor of a layer in one compression
//! ```
//!
//! Ours: versioned with the keys, see `solver/key.rs`.

use cache::{CacheKey, Record, RecordError, SnapshotId, Store};
use oci::{Descriptor, DiffId};
use serde::{Deserialize, Serialize};

/// Where the files of a layer come from; decides how their times are bounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A process, an archive or another stage: times mean something.
    Step,
    /// A directory of the caller: times are those of a checkout.
    Context,
}

/// What is known of a layer besides its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LayerNote {
    /// When it was made, nanoseconds since 1970.
    pub(crate) created_ns: i64,
    /// Where its files come from.
    pub(crate) origin: Origin,
}

/// A layer as a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LayerBlob {
    /// The digest of its tar.
    pub(crate) diff_id: DiffId,
    /// The compressed layer.
    pub(crate) descriptor: Descriptor,
}

/// Returns the record of a step's result that was first recorded under `key`.
pub(crate) fn step_record(snapshot: Option<SnapshotId>, key: CacheKey) -> Record {
    Record {
        snapshot,
        bytes: key.as_bytes().to_vec(),
    }
}

/// Returns the key under which a step's record was first written; none if the bytes are of another
/// version, which is the same as no record.
pub(crate) fn step_key(record: &Record) -> Option<CacheKey> {
    let bytes: [u8; 32] = record.bytes.as_slice().try_into().ok()?;
    Some(CacheKey::from_bytes(bytes))
}

/// Returns the record of what is known of the topmost layer of a new snapshot.
pub(crate) fn note_record(id: SnapshotId, note: LayerNote) -> (CacheKey, Record) {
    let mut bytes = note.created_ns.to_le_bytes().to_vec();
    bytes.push(match note.origin {
        Origin::Step => 0,
        Origin::Context => 1,
    });
    let record = Record {
        snapshot: Some(id),
        bytes,
    };
    (note_key(id), record)
}

/// Returns what is known of a layer, if it was made by a step.
pub(crate) fn note(store: &Store, layer: SnapshotId) -> Result<Option<LayerNote>, RecordError> {
    let Some(record) = store.get(&note_key(layer))? else {
        return Ok(None);
    };
    let Some((time, origin)) = record.bytes.split_first_chunk::<8>() else {
        return Ok(None);
    };
    Ok(Some(LayerNote {
        created_ns: i64::from_le_bytes(*time),
        origin: match origin {
            [1] => Origin::Context,
            _ => Origin::Step,
        },
    }))
}

/// Returns the record of a layer's blob. `form` names everything that the bytes depend on besides
/// the files.
pub(crate) fn blob_record(layer: SnapshotId, form: &str, blob: &LayerBlob) -> (CacheKey, Record) {
    let record = Record {
        snapshot: Some(layer),
        bytes: serde_json::to_vec(blob).expect("a descriptor holds only JSON values"),
    };
    (blob_key(layer, form), record)
}

/// Returns a layer's blob in one form, if it was made before.
pub(crate) fn blob(
    store: &Store,
    layer: SnapshotId,
    form: &str,
) -> Result<Option<LayerBlob>, RecordError> {
    let record = store.get(&blob_key(layer, form))?;
    Ok(record.and_then(|record| serde_json::from_slice(&record.bytes).ok()))
}

fn note_key(layer: SnapshotId) -> CacheKey {
    CacheKey::of("layer note 1", &[layer.to_string().as_bytes()])
}

fn blob_key(layer: SnapshotId, form: &str) -> CacheKey {
    CacheKey::of(
        "layer blob 1",
        &[layer.to_string().as_bytes(), form.as_bytes()],
    )
}
