// SPDX-License-Identifier: Apache-2.0
//! What a layer directory changes, as the tar of an image layer.
//!
//! The upper directory says what changed, so the trees are not compared: only the entries of the upper
//! directory are looked up in the layers below, to leave out what was copied up and not changed.
//!
//! Rules
//! 1. Entries are in the order of their names, directory by directory, a directory before its
//!    content; a whiteout stands where the name it hides would.
//! 2. The parents of every change are there, once, with their attributes; a directory in which only
//!    the time changed is no change.
//! 3. A directory that hides another becomes explicit whiteouts (image-spec `layer.md` §Whiteouts:
//!    "SHOULD generate layers using explicit whiteout files").
//! 4. Times are whole seconds, as [`Times`] says; no user names; of extended attributes only
//!    `security.capability`, as BuildKit and containerd (facts: rules 92–94, 116–118).
//! 5. Sockets are left out. A name that starts with `.wh.` cannot be represented: an error.
//! 6. Of several names of one inode the first is the file, the others link to it.

mod compare;
mod emit;
#[cfg(test)]
mod tests;
mod walk;

use std::io;
use std::num::NonZero;
use std::path::PathBuf;

use oci::layer::{Compression, LayerBlob, LayerWriter, WriteLayerError};

use crate::file::{FileError, open_path_dir};
use crate::view::{OverlayForm, View, ViewError};
use crate::{Snapshot, Store};
use emit::Emitter;

/// What is asked of a layer beside its files.
#[derive(Clone, Copy, Debug)]
pub struct LayerOptions {
    /// How the blob is compressed.
    pub compression: Compression,
    /// How many threads compress; the blob does not depend on it.
    pub threads: NonZero<usize>,
    /// Which times the files get.
    pub times: Times,
}

/// Times of the files of a layer. Moments are seconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Times {
    /// Those that the files have.
    #[default]
    Keep,
    /// Those that the files have, but none after this moment (`SOURCE_DATE_EPOCH`).
    NotAfter(i64),
    /// This moment for all: files of a checkout, whose times are arbitrary.
    Exactly(i64),
}

/// What a layer has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerStats {
    /// Entries of the tar; 0 means that the layer changes nothing.
    pub entries: u64,
    /// Bytes of file content.
    pub content_bytes: u64,
    /// Sockets left out.
    pub skipped_sockets: u64,
}

/// Why a layer cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DiffError {
    /// A file of the layer cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// A layer below cannot be read.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The blob cannot be written.
    #[error(transparent)]
    Blob(#[from] WriteLayerError),
    /// The tar cannot be written.
    #[error("cannot write the layer's archive")]
    Sink(#[source] io::Error),
    /// A file whose name is a whiteout's.
    #[error("a layer cannot hold {}: names that start with `.wh.` are reserved", .0.display())]
    ReservedName(PathBuf),
    /// A path that no archive holds.
    #[error("a layer cannot hold {}: the path is too long", .0.display())]
    PathTooLong(PathBuf),
    /// A file that became shorter meanwhile.
    #[error("{} changed while it was read", .0.display())]
    Changed(PathBuf),
    /// The snapshot has no such layer.
    #[error("the snapshot has {layers} layers; there is no layer {index}")]
    NoSuchLayer {
        /// What was asked for.
        index: usize,
        /// What there is.
        layers: usize,
    },
}

/// Writes the tar of what `upper` changes on top of `lowers` (topmost first) to `sink`.
///
/// # Errors
///
/// [`DiffError`].
pub fn write_diff(
    upper: &std::path::Path,
    lowers: &[PathBuf],
    form: OverlayForm,
    times: Times,
    sink: &mut impl io::Write,
) -> Result<LayerStats, DiffError> {
    let below = View::layers(lowers, form)?;
    let handle =
        open_path_dir(upper).map_err(|error| FileError::new("open", upper.to_owned(), error))?;
    let mut emitter = Emitter::new(sink, times);
    walk::walk(handle, below.root(), form, &mut emitter)?;
    emitter.finish()
}

impl Store {
    /// Writes one layer of a snapshot as a blob to `sink`: the layer at `index`, counted from the
    /// top, compared with those below it. Returns the sink, not flushed to disk.
    ///
    /// Walking, hashing both sides, compressing and writing overlap; memory is bounded.
    ///
    /// # Errors
    ///
    /// [`DiffError`].
    pub fn write_layer<W: io::Write + Send + 'static>(
        &self,
        snapshot: &Snapshot,
        index: usize,
        options: LayerOptions,
        sink: W,
    ) -> Result<(W, LayerBlob, LayerStats), DiffError> {
        let Some((upper, lowers)) = snapshot
            .lowers
            .get(index..)
            .and_then(<[PathBuf]>::split_first)
        else {
            return Err(DiffError::NoSuchLayer {
                index,
                layers: snapshot.lowers.len(),
            });
        };
        let mut writer = LayerWriter::new(sink, options.compression, options.threads)?;
        let form = self.overlay_form();
        let written = write_diff(upper, lowers, form, options.times, &mut writer);
        match written {
            Ok(stats) => {
                let (sink, blob) = writer.finish()?;
                Ok((sink, blob, stats))
            }
            Err(DiffError::Sink(error)) => {
                // The writer knows why it broke; the walk saw only that it did.
                writer.finish()?;
                Err(DiffError::Sink(error))
            }
            Err(error) => Err(error),
        }
    }
}
