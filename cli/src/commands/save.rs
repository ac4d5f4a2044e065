// SPDX-License-Identifier: Apache-2.0
//! `kiln save`.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;

use builder::export::archive::{self, ArchiveImage, ArchiveKind};
use oci::layout::Layout;
use oci::{Platform, Reference, Repository};

use crate::args::images::SaveArgs;
use crate::report::{Exit, Failure};
use crate::session::Session;

/// Writes images into one archive. A file appears whole or not at all.
pub(crate) fn run(args: &SaveArgs, session: &Session) -> Result<(), Failure> {
    let layout = session.layout()?;
    let mut images: Vec<ArchiveImage> = Vec::new();
    for text in &args.images {
        for image in named(&layout, text)? {
            let known = images
                .iter_mut()
                .find(|one| one.descriptor.digest == image.descriptor.digest);
            match known {
                Some(known) => {
                    let new = image.names.into_iter();
                    let new: Vec<Reference> =
                        new.filter(|name| !known.names.contains(name)).collect();
                    known.names.extend(new);
                }
                None => images.push(image),
            }
        }
    }
    let kind = match args.format.as_str() {
        "oci-archive" => ArchiveKind::Oci,
        _ => ArchiveKind::Docker,
    };
    let platform = args.platform.clone().unwrap_or_else(Platform::host);
    let write = |out: &mut dyn Write| {
        archive::write(&layout, &images, kind, &platform, out).map_err(Failure::from)
    };
    match &args.output {
        Some(path) if path != Path::new("-") => to_file(path, write),
        _ => to_stdout(write),
    }
}

/// Returns what `text` means: an ID one image, a name without tag all of its repository.
fn named(layout: &Layout, text: &str) -> Result<Vec<ArchiveImage>, Failure> {
    let is_bare = |reference: &Reference| {
        text.parse::<Repository>()
            .is_ok_and(|repository| repository == *reference.repository())
    };
    if let Ok(reference) = text.parse::<Reference>()
        && is_bare(&reference)
    {
        let mut images = Vec::new();
        for entry in layout.entries()? {
            if let Some(name) = entry.reference()
                && name.repository() == reference.repository()
            {
                images.push(ArchiveImage {
                    descriptor: entry.descriptor,
                    names: vec![name],
                });
            }
        }
        if !images.is_empty() {
            return Ok(images);
        }
    }
    let entry = layout.find(text)?;
    let is_id = text.parse::<Reference>().ok() != entry.reference();
    let names = if is_id {
        Vec::new()
    } else {
        entry.reference().into_iter().collect()
    };
    Ok(vec![ArchiveImage {
        descriptor: entry.descriptor,
        names,
    }])
}

fn to_stdout(write: impl FnOnce(&mut dyn Write) -> Result<(), Failure>) -> Result<(), Failure> {
    if io::stdout().is_terminal() {
        return Err(Failure::usage("an archive is not written to a terminal")
            .hint("use -o FILE or redirect stdout"));
    }
    write(&mut BufWriter::new(io::stdout().lock()))
}

fn to_file(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let failed = |error: &dyn std::error::Error| {
        let message = format!("cannot write {}", path.display());
        Failure::new(Exit::Failed, message).because(Some(error))
    };
    // A pipe or a device cannot be replaced by a file.
    if path.exists() && !path.is_file() {
        let mut file = File::options()
            .write(true)
            .open(path)
            .map_err(|error| failed(&error))?;
        return write(&mut file);
    }
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let mut file = tempfile::Builder::new()
        .prefix(".kiln-save-")
        .tempfile_in(parent.unwrap_or(Path::new(".")))
        .map_err(|error| failed(&error))?;
    write(&mut BufWriter::new(file.as_file_mut()))?;
    file.as_file().sync_all().map_err(|error| failed(&error))?;
    file.persist(path).map_err(|error| failed(&error.error))?;
    Ok(())
}
