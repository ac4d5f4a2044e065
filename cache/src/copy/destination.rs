// SPDX-License-Identifier: Apache-2.0
//! Where a source goes: into a directory, or under a new name.
//!
//! Observed: BuildKit `fsutil/copy` `Copy` and `prepareTargetDir` (facts: rules 32, 36, 37, 40).

use std::path::{Path, PathBuf};

use super::{CopyError, CopyRequest};
use crate::Owner;
use crate::source::Chosen;
use crate::upper::{NewDir, Upper, WriteError};
use crate::view::ViewError;

/// Where one source goes.
#[derive(Debug)]
pub(super) struct Destination {
    /// The path of the copy, symlinks resolved.
    pub(super) path: PathBuf,
    /// How directories are made that the source does not describe.
    pub(super) new_dir: NewDir,
}

impl Destination {
    pub(super) fn prepare(
        target: &Upper,
        request: &CopyRequest<'_>,
        chosen: &Chosen,
    ) -> Result<Self, CopyError> {
        let new_dir = NewDir {
            mode: request.chmod.map_or(0o755, super::Chmod::for_parents),
            owner: request.owner.unwrap_or(Owner::ROOT),
            mtime: request.mtime,
        };
        let text = request.dest;
        let dest = Path::new("/").join(text.trim_start_matches('/'));
        let is_dir_by_name =
            text.is_empty() || text.ends_with('/') || text.ends_with("/.") || text == ".";
        // What must be a directory before anything is copied.
        let above = if is_dir_by_name {
            dest.as_path()
        } else {
            dest.parent().unwrap_or(Path::new("/"))
        };
        if request.create_dest_path {
            target.make_dirs(above, &new_dir)?;
        } else if target.view().stat(above)?.is_none() {
            return Err(CopyError::NoDestination(text.to_owned()));
        }
        let mut path = match target.resolve(&dest) {
            Err(ViewError::NotADirectory(at)) => {
                return Err(WriteError::IsNotADirectory(at).into());
            }
            other => other?,
        };
        let is_contents = chosen.is_dir() && request.contents_only;
        let is_existing_dir = target
            .view()
            .lstat(&path)?
            .is_some_and(|meta| meta.is_dir());
        if !is_contents
            && is_existing_dir
            && let Some(name) = chosen.named.file_name()
        {
            path.push(name);
        }
        Ok(Self { path, new_dir })
    }
}
