// SPDX-License-Identifier: Apache-2.0
//! Snapshots → layer blobs: joint 4.
//!
//! A layer is made once in each form and remembered, so an unchanged build only looks blobs up.
//! Layers of a base image go into the new image as they came.

use std::num::NonZero;
use std::sync::Arc;

use cache::{CacheKey, LayerOptions, Record, SnapshotId, Times};
use oci::layer::Compression as LayerCompression;
use oci::layout::BlobError;

use crate::assemble::ImageLayer;
use crate::ops::image::PULLED;
use crate::ops::{Ops, Output};
use crate::request::Compression;
use crate::result::{self, LayerBlob, LayerNote, Origin};

/// Why a result did not become layers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayersError {
    /// The cache failed.
    #[error("the build cache failed")]
    Record(#[from] cache::RecordError),
    /// A snapshot is gone.
    #[error("the build cache failed")]
    Snapshot(#[from] cache::SnapshotError),
    /// The changes of a step cannot be written as a layer.
    #[error("cannot write the layer of a step")]
    Diff(#[from] cache::DiffError),
    /// The image store could not be written.
    #[error("cannot write the image store")]
    Blob(#[from] BlobError),
}

/// Everything that the bytes of a layer depend on besides its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    compression: LayerCompression,
    source_date_epoch: Option<i64>,
}

impl Form {
    pub(crate) fn new(compression: Compression, source_date_epoch: Option<i64>) -> Self {
        Self {
            compression: match compression {
                Compression::Gzip => LayerCompression::default(),
                Compression::Zstd => LayerCompression::Zstd { level: 3 },
                Compression::Uncompressed => LayerCompression::None,
            },
            source_date_epoch,
        }
    }

    /// How times are written: a checkout has arbitrary ones, so with an epoch all of them are it;
    /// elsewhere older times mean something and only younger ones are bounded.
    fn times(self, origin: Origin) -> Times {
        match (self.source_date_epoch, origin) {
            (None, _) => Times::Keep,
            (Some(epoch), Origin::Step) => Times::NotAfter(epoch),
            (Some(epoch), Origin::Context) => Times::Exactly(epoch),
        }
    }
}

/// Returns the layers of a result, base first, every blob in the image store (not yet synced).
///
/// # Errors
///
/// [`LayersError`].
///
/// # Cancellation
///
/// Finished blobs stay.
pub(crate) async fn export(
    ops: &Arc<Ops>,
    tree: Output,
    form: Form,
) -> Result<Vec<ImageLayer>, LayersError> {
    let Output::Tree(Some(tree)) = tree else {
        return Ok(Vec::new());
    };
    let ids = ops
        .blocking(move |ops| ops.store.snapshot(tree))
        .await?
        .layers;
    let mut layers = Vec::with_capacity(ids.len());
    let mut records = Vec::new();
    for (depth, id) in ids.into_iter().enumerate().rev() {
        let made = ops.blocking(move |ops| layer(ops, tree, (id, depth), form));
        let (layer, record) = made.await?;
        layers.push(layer);
        records.extend(record);
    }
    if !records.is_empty() {
        ops.blocking(move |ops| ops.store.put_all(&records)).await?;
    }
    Ok(layers)
}

/// Returns one layer of `tree`: the one that `id` added, `depth` layers below the top; and what is
/// to be remembered of it, if it was made now.
fn layer(
    ops: &Ops,
    tree: SnapshotId,
    (id, depth): (SnapshotId, usize),
    form: Form,
) -> Result<(ImageLayer, Option<(CacheKey, Record)>), LayersError> {
    let note = result::note(&ops.store, id)?.unwrap_or(LayerNote {
        created_ns: 0,
        origin: Origin::Step,
    });
    let name = format!("{form:?}");
    for form in [PULLED, name.as_str()] {
        if let Some(blob) = result::blob(&ops.store, id, form)? {
            let descriptor = &blob.descriptor;
            if ops
                .layout
                .has_blob(&descriptor.digest, descriptor.size_bytes)?
            {
                return Ok((image_layer(blob, note), None));
            }
        }
    }
    let blob = write_blob(ops, tree, depth, (form, note.origin))?;
    let record = result::blob_record(id, &name, &blob);
    Ok((image_layer(blob, note), Some(record)))
}

fn image_layer(blob: LayerBlob, note: LayerNote) -> ImageLayer {
    ImageLayer {
        descriptor: blob.descriptor,
        diff_id: blob.diff_id,
        created_ns: note.created_ns,
    }
}

fn write_blob(
    ops: &Ops,
    tree: SnapshotId,
    depth: usize,
    (form, origin): (Form, Origin),
) -> Result<LayerBlob, LayersError> {
    let options = LayerOptions {
        compression: form.compression,
        threads: std::thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN),
        times: form.times(origin),
    };
    let snapshot = ops.store.snapshot(tree)?;
    let sink = ops.layout.create_blob()?;
    let (sink, written, _) = ops.store.write_layer(&snapshot, depth, options, sink)?;
    let descriptor = written.descriptor(form.compression);
    sink.finish_unsynced(Some((&descriptor.digest, descriptor.size_bytes)))?;
    Ok(LayerBlob {
        diff_id: written.diff_id,
        descriptor,
    })
}
