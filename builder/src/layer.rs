// SPDX-License-Identifier: Apache-2.0
//! A layer that comes as a tar from elsewhere: made a blob of the store, or checked to be one.
//!
//! Does not know what the files mean; `cache` unpacks them when a build or a container needs them.

use std::io::{self, BufReader, Read, Write};
use std::num::NonZero;
use std::thread;

use oci::layer::{Compression, LayerReader, LayerWriter, ReadLayerError, WriteLayerError, decoder};
use oci::layout::{BlobError, Layout};
use oci::{Descriptor, DiffId, MediaType};

/// How much is read at once, in bytes.
const BUFFER_BYTES: usize = 256 << 10;
/// How many bytes tell one compression from another.
const MAGIC_BYTES: usize = 6;

/// Why a layer cannot be taken in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LayerError {
    /// The blob is not there, or the store refuses.
    #[error("cannot read or store the layer")]
    Blob(#[from] BlobError),
    /// The bytes cannot be decompressed.
    #[error("cannot read the layer")]
    Read(#[from] ReadLayerError),
    /// The compressed blob cannot be written.
    #[error("cannot write the layer")]
    Write(#[from] WriteLayerError),
    /// The bytes cannot be read, or not be written.
    #[error("cannot copy the layer")]
    Copy(#[from] io::Error),
    /// The layer is not the one that the config names.
    #[error("layer has diff ID {actual}, but the config names {expected}")]
    WrongDiffId {
        /// By the config.
        expected: DiffId,
        /// By its bytes.
        actual: DiffId,
    },
}

/// A layer of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewLayer {
    pub(crate) descriptor: Descriptor,
    pub(crate) diff_id: DiffId,
}

/// Checks that the stored `blob` is the layer `diff_id`, compresses it if it is not compressed, and
/// returns its descriptor with the right media type.
pub(crate) fn recompress(
    layout: &Layout,
    blob: &Descriptor,
    diff_id: &DiffId,
) -> Result<Descriptor, LayerError> {
    let mut magic = Vec::new();
    let start = layout.open_blob(&blob.digest)?;
    start.take(MAGIC_BYTES as u64).read_to_end(&mut magic)?;
    let media_type = match magic.as_slice() {
        [0x1f, 0x8b, ..] => Some(MediaType::OciLayerGzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(MediaType::OciLayerZstd),
        _ => None,
    };
    let source = layout.open_verified(blob)?;
    let (descriptor, actual) = if let Some(media_type) = media_type {
        let actual = LayerReader::new(source)?.finish()?;
        let descriptor = Descriptor::new(media_type, blob.digest.clone(), blob.size_bytes);
        (descriptor, actual)
    } else {
        // Plain tars, and those with a compression that OCI layers do not have.
        let mut tar = decompressed(source)?;
        let mut writer = writer(layout)?;
        let copied = io::copy(&mut tar, &mut writer);
        // First, because it knows why writing failed.
        let layer = finish(writer)?;
        copied?;
        (layer.descriptor, layer.diff_id)
    };
    if actual != *diff_id {
        return Err(LayerError::WrongDiffId {
            expected: diff_id.clone(),
            actual,
        });
    }
    Ok(descriptor)
}

/// A layer blob being written, compressed by all processors.
pub(crate) type Writer = LayerWriter<oci::layout::BlobWriter>;

/// Returns a writer of a new layer.
pub(crate) fn writer(layout: &Layout) -> Result<Writer, LayerError> {
    let threads = thread::available_parallelism().unwrap_or(NonZero::<usize>::MIN);
    let blob = layout.create_blob()?;
    Ok(LayerWriter::new(blob, Compression::default(), threads)?)
}

/// Makes what was written a layer of the store.
pub(crate) fn finish(writer: Writer) -> Result<NewLayer, LayerError> {
    let (sink, blob) = writer.finish()?;
    sink.finish_unsynced(Some((&blob.digest, blob.size_bytes)))?;
    Ok(NewLayer {
        descriptor: blob.descriptor(Compression::default()),
        diff_id: blob.diff_id,
    })
}

/// Returns the bytes of a file that may be compressed with gzip, zstd, bzip2 or xz.
pub(crate) fn decompressed(file: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let mut file = BufReader::with_capacity(BUFFER_BYTES, file);
    let mut magic = Vec::new();
    (&mut file)
        .take(MAGIC_BYTES as u64)
        .read_to_end(&mut magic)?;
    let is_bzip2 = magic.starts_with(b"BZh");
    let is_xz = magic.starts_with(&[0xfd, b'7', b'z', b'X', b'Z', 0]);
    let whole = io::Cursor::new(magic).chain(file);
    if is_bzip2 {
        return Ok(Box::new(bzip2::read::MultiBzDecoder::new(whole)));
    }
    if is_xz {
        let decoder = liblzma::read::XzDecoder::new_multi_decoder(whole);
        return Ok(Box::new(decoder));
    }
    decoder(whole)
}

/// Passes on what it reads, and writes it to a layer as well.
pub(crate) struct Tee<R> {
    pub(crate) source: R,
    pub(crate) layer: Writer,
    /// Why the layer cannot be written: not the fault of the source.
    pub(crate) broken: Option<io::Error>,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        if let Err(error) = self.layer.write_all(&buffer[..count]) {
            let kind = error.kind();
            self.broken = Some(error);
            return Err(kind.into());
        }
        Ok(count)
    }
}
