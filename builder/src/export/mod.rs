// SPDX-License-Identifier: Apache-2.0
//! Results → something outside the cache: layers for an image, files, archives.
//!
//! Files and directories appear whole or not at all: they are written beside their place and moved
//! there at the end.

pub mod archive;
mod directory;
pub(crate) mod layers;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use oci::{Descriptor, Platform, Reference};

use crate::ops::{Ops, Output as Tree};
use crate::report::StepReport;
use crate::request::{Destination, Output};
use archive::{ArchiveImage, ArchiveKind, WriteArchiveError, WriteDirectoryError};

/// Why an output could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The archive could not be written.
    #[error("cannot write the archive")]
    Archive(#[from] WriteArchiveError),
    /// The layout directory could not be written.
    #[error("cannot write the image layout")]
    Layout(#[from] WriteDirectoryError),
    /// The destination cannot be written.
    #[error("cannot write {}", path.display())]
    Destination {
        /// Where to.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The files of the result cannot be copied.
    #[error("cannot copy the files of the result")]
    Copy(#[source] cache::CopyError),
    /// The destination directory cannot be opened.
    #[error("cannot open the destination")]
    View(#[from] cache::ViewError),
    /// The files of the result cannot be written as an archive.
    #[error("cannot write the files of the result")]
    Diff(#[from] cache::DiffError),
    /// The cache failed.
    #[error("the build cache failed")]
    Snapshot(#[from] cache::SnapshotError),
    /// An archive of the image was asked for, and there is no image.
    #[error("there is no image to write")]
    NoImage,
}

/// What a build has to give away.
#[derive(Debug)]
pub(crate) struct Exported {
    /// Root file system of each platform.
    pub(crate) trees: Vec<(Platform, Tree)>,
    /// Whether the result is of a list of platforms, even a list of one.
    pub(crate) is_index: bool,
    /// Manifest or index of the images, in the store.
    pub(crate) descriptor: Option<Descriptor>,
    /// Names of the image.
    pub(crate) tags: Vec<Reference>,
    /// Bound of times, in seconds since 1970.
    pub(crate) source_date_epoch: Option<i64>,
}

/// Writes one output other than the store.
///
/// # Errors
///
/// [`ExportError`]; the destination is as it was before.
///
/// # Cancellation
///
/// As with an error, but a temporary file beside the destination may stay.
pub(crate) async fn export(
    ops: &Arc<Ops>,
    output: &Output,
    exported: Exported,
    report: &StepReport,
) -> Result<(), ExportError> {
    let name = match output {
        Output::Image { .. } | Output::CacheOnly => return Ok(()),
        Output::Oci { .. } => "exporting to oci image format",
        Output::Docker { .. } => "exporting to docker image format",
        Output::Local { .. } => "exporting to client directory",
        Output::Tar { .. } => "exporting to client tarball",
    };
    let step = report.begin(name, oci::sha256(name.as_bytes()));
    let output = output.clone();
    let result = ops
        .blocking(move |ops| write(ops, &output, &exported))
        .await;
    report.end_with(step, &result);
    result
}

fn write(ops: &Ops, output: &Output, exported: &Exported) -> Result<(), ExportError> {
    match output {
        Output::Image { .. } | Output::CacheOnly => Ok(()),
        Output::Oci {
            destination: Destination::Path(path),
            tar: false,
        } => {
            let images = [archive_image(exported)?];
            archive::write_directory(&ops.layout, &images, &Platform::host(), path)?;
            Ok(())
        }
        Output::Oci { destination, .. } => {
            write_archive(ops, exported, ArchiveKind::Oci, destination)
        }
        Output::Docker { destination } => {
            write_archive(ops, exported, ArchiveKind::Docker, destination)
        }
        Output::Local { directory } => directory::write(ops, exported, directory),
        Output::Tar { destination } => {
            to_destination(destination, |out| directory::write_tar(ops, exported, out))
        }
    }
}

fn archive_image(exported: &Exported) -> Result<ArchiveImage, ExportError> {
    let descriptor = exported.descriptor.clone().ok_or(ExportError::NoImage)?;
    Ok(ArchiveImage {
        descriptor,
        names: exported.tags.clone(),
    })
}

fn write_archive(
    ops: &Ops,
    exported: &Exported,
    kind: ArchiveKind,
    destination: &Destination,
) -> Result<(), ExportError> {
    let images = [archive_image(exported)?];
    to_destination(destination, |out| {
        archive::write(&ops.layout, &images, kind, &Platform::host(), out)?;
        Ok(())
    })
}

/// Lets `write` fill a file that appears at `destination` once it is whole, or standard output.
fn to_destination(
    destination: &Destination,
    write: impl FnOnce(&mut dyn Write) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    let path = match destination {
        Destination::Stdout => {
            let mut out = BufWriter::new(io::stdout().lock());
            write(&mut out)?;
            return out.flush().map_err(|error| at(Path::new("-"), error));
        }
        Destination::Path(path) => path,
    };
    // A pipe or a device is written in place: there is nothing to replace.
    if path.exists() && !path.is_file() {
        let mut out = BufWriter::new(File::create(path).map_err(|error| at(path, error))?);
        write(&mut out)?;
        return out.flush().map_err(|error| at(path, error));
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(directory).map_err(|error| at(directory, error))?;
    let file = tempfile::NamedTempFile::new_in(directory).map_err(|error| at(directory, error))?;
    let mut out = BufWriter::new(file);
    write(&mut out)?;
    let file = out
        .into_inner()
        .map_err(|error| at(path, error.into_error()))?;
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file()
        .set_permissions(permissions)
        .map_err(|error| at(path, error))?;
    file.persist(path).map_err(|error| at(path, error.error))?;
    Ok(())
}

pub(crate) fn at(path: &Path, source: io::Error) -> ExportError {
    ExportError::Destination {
        path: path.into(),
        source,
    }
}
