// SPDX-License-Identifier: Apache-2.0
//! `type=local` and `type=tar`: the files of the result, without image.
//!
//! With a list of platforms each has a directory of its own, `linux_amd64/…`, as buildx does.

use std::io::Write;
use std::path::Path;

use cache::{Times, View};

use super::{ExportError, Exported, at};
use crate::ops::{Ops, Output as Tree, file};

/// Copies the files of the result into `directory`, over what is there.
///
/// # Errors
///
/// [`ExportError`]; files that were copied stay.
pub(super) fn write(ops: &Ops, exported: &Exported, directory: &Path) -> Result<(), ExportError> {
    std::fs::create_dir_all(directory).map_err(|error| at(directory, error))?;
    for (platform, tree) in &exported.trees {
        let own = if exported.is_index {
            directory.join(platform.to_string().replace('/', "_"))
        } else {
            directory.to_path_buf()
        };
        std::fs::create_dir_all(&own).map_err(|error| at(&own, error))?;
        if let Some(view) = view(ops, tree)? {
            file::copy_tree(&view, &own).map_err(ExportError::Copy)?;
        }
    }
    Ok(())
}

/// Writes the files of the result as one uncompressed tar.
///
/// # Errors
///
/// [`ExportError`].
pub(super) fn write_tar(
    ops: &Ops,
    exported: &Exported,
    out: &mut dyn Write,
) -> Result<(), ExportError> {
    // Flattened into a directory of its own first: the layers may hide each other's files.
    let scratch = ops.store.prepare(None)?;
    write(ops, exported, scratch.upper_dir())?;
    let times = exported
        .source_date_epoch
        .map_or(Times::Keep, Times::NotAfter);
    let mut out = out;
    cache::write_diff(
        scratch.upper_dir(),
        &[],
        ops.store.overlay_form(),
        times,
        &mut out,
    )?;
    Ok(())
}

fn view(ops: &Ops, tree: &Tree) -> Result<Option<View>, ExportError> {
    match tree {
        Tree::Tree(Some(id)) => Ok(Some(ops.store.view(*id)?)),
        Tree::Tree(None) | Tree::Local(_) => Ok(None),
    }
}
