// SPDX-License-Identifier: Apache-2.0
//! `kiln import`: an image of one layer from a tar file with a root file system.
//!
//! The way to a base image where there is no registry. The tar is read once: checked, hashed,
//! compressed and stored in one pass.
//!
//! Docs: `docker import`.

use std::io::{self, Read};

use oci::layout::{BlobError, IndexError, Layout};
use oci::{
    ContainerConfig, Descriptor, History, Image, ImageConfig, ImageError, Manifest, MediaType,
    Platform, Reference, RootFs,
};

use crate::layer::{LayerError, Tee, decompressed, finish, writer};

/// What the image is besides its files.
#[derive(Clone, Debug)]
pub struct ImportRequest {
    /// What it runs on.
    pub platform: Platform,
    /// Defaults of containers.
    pub config: ContainerConfig,
    /// Remark in the history.
    pub message: String,
    /// When it is made, RFC 3339.
    pub created: String,
    /// Its name, if it gets one.
    pub name: Option<Reference>,
}

/// Why no image was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The file is no tar, is damaged, or cannot be read.
    #[error("cannot read the tar file")]
    Tar(#[source] io::Error),
    /// The layer cannot be stored.
    #[error("cannot store the layer")]
    Layer(#[from] LayerError),
    /// The layer cannot be written.
    #[error("cannot write the layer")]
    Write(#[source] io::Error),
    /// The documents don't make an image.
    #[error("cannot make an image")]
    Image(#[from] ImageError),
    /// The documents cannot be stored.
    #[error("cannot store the image")]
    Store(#[from] BlobError),
    /// The name cannot be written.
    #[error("cannot name the image")]
    Name(#[from] IndexError),
}

/// Makes an image of the tar file `tar`, which may be compressed, and returns it.
///
/// # Errors
///
/// See [`ImportError`]; no image has been made then.
pub fn import(
    layout: &Layout,
    tar: impl Read + Send + 'static,
    request: &ImportRequest,
) -> Result<(Descriptor, Image), ImportError> {
    let source = decompressed(tar).map_err(ImportError::Tar)?;
    let mut tee = Tee {
        source,
        layer: writer(layout)?,
        broken: None,
    };
    if let Err(error) = read_through(&mut tee) {
        let Some(broken) = tee.broken else {
            return Err(ImportError::Tar(error));
        };
        // The end knows why writing failed.
        finish(tee.layer)?;
        return Err(ImportError::Write(broken));
    }
    let layer = finish(tee.layer)?;
    let config = ImageConfig {
        created: Some(request.created.clone()),
        architecture: request.platform.architecture.clone(),
        variant: request.platform.variant.clone(),
        os: request.platform.os.clone(),
        config: request.config.clone(),
        rootfs: RootFs {
            diff_ids: vec![layer.diff_id],
            ..RootFs::default()
        },
        history: vec![History {
            created: Some(request.created.clone()),
            comment: Some(request.message.clone()),
            ..History::default()
        }],
        ..ImageConfig::default()
    }
    .to_bytes();
    let descriptor = Descriptor::new(
        MediaType::OciConfig,
        oci::sha256(&config),
        config.len() as u64,
    );
    let manifest = Manifest::new(descriptor, vec![layer.descriptor]);
    let image = Image::new(manifest.to_bytes(), config)?;
    let descriptor = image.write(layout)?;
    match &request.name {
        Some(name) => drop(layout.tag(name, &descriptor)?),
        None => layout.add(&descriptor)?,
    }
    Ok((descriptor, image))
}

/// Reads a tar to its end and what follows it, which is part of the layer too.
fn read_through(source: &mut impl Read) -> io::Result<()> {
    let mut archive = tar::Archive::new(&mut *source);
    let mut entries = 0_u64;
    for entry in archive.entries()? {
        // Pathless entries are what other bytes look like.
        entry?.path()?;
        entries += 1;
    }
    io::copy(source, &mut io::sink())?;
    if entries == 0 {
        let message = "it has no entries";
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> ImportRequest {
        ImportRequest {
            platform: Platform::new("linux", "amd64", None),
            config: ContainerConfig {
                cmd: Some(vec!["/bin/sh".into()]),
                ..ContainerConfig::default()
            },
            message: "Imported from -".into(),
            created: "2026-01-02T03:04:05Z".into(),
            name: Some("base:1".parse().unwrap()),
        }
    }

    fn tarball() -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(5);
        header.set_mode(0o644);
        builder
            .append_data(&mut header, "etc/motd", &b"hello"[..])
            .unwrap();
        builder.into_inner().unwrap()
    }

    #[test]
    fn a_tar_becomes_an_image_of_one_layer() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::create(directory.path()).unwrap();
        let tar = tarball();
        let (descriptor, image) =
            import(&layout, io::Cursor::new(tar.clone()), &request()).unwrap();
        assert_eq!(image.config().rootfs.diff_ids[0].0, oci::sha256(&tar));
        assert_eq!(
            image.config().history[0].comment.as_deref(),
            Some("Imported from -")
        );
        assert_eq!(
            layout.find("base:1").unwrap().descriptor.digest,
            descriptor.digest
        );
        let layer = &image.manifest().layers[0];
        assert_eq!(layer.media_type, MediaType::OciLayerGzip);
        let blob = layout.open_verified(layer).unwrap();
        let mut unpacked = Vec::new();
        decompressed(blob)
            .unwrap()
            .read_to_end(&mut unpacked)
            .unwrap();
        assert_eq!(unpacked, tar);
    }

    #[test]
    fn what_is_no_tar_makes_no_image() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::create(directory.path()).unwrap();
        let mut cut = tarball();
        cut.truncate(600);
        for (rule, bytes) in [
            ("text", b"hello ".repeat(200)),
            ("nothing", Vec::new()),
            ("cut off", cut),
            ("gzip of nothing good", vec![0x1f, 0x8b, 8, 0, 1, 2, 3]),
        ] {
            let result = import(&layout, io::Cursor::new(bytes), &request());
            assert!(
                matches!(result, Err(ImportError::Tar(_))),
                "{rule}: {result:?}"
            );
        }
        assert!(layout.entries().unwrap().is_empty());
    }
}
