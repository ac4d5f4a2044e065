// SPDX-License-Identifier: Apache-2.0
//! Is this file an archive, and how is it compressed? By content, never by name.
//!
//! Observed: BuildKit `solver/llbsolver/file/unpack.go` (facts: rules 55, 58).

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use oci::layer::{LayerReader, ReadLayerError};

use crate::tar::{BLOCK_BYTES, is_header};

/// Tells whether the file is a tar, perhaps compressed: whether it decompresses to something that
/// starts with a tar header. An empty tar is none. The position is reset.
pub(crate) fn is_archive(file: &mut File) -> io::Result<bool> {
    let mut start = Vec::new();
    let read = (|| {
        file.seek(SeekFrom::Start(0))?;
        // Anything may fail here: then it is no archive.
        decoder(file.try_clone()?)?
            .take(BLOCK_BYTES as u64)
            .read_to_end(&mut start)
    })();
    file.seek(SeekFrom::Start(0))?;
    Ok(read.is_ok() && is_header(&start))
}

/// Reads the tar in an archive file.
pub(crate) fn archive_reader(file: File) -> Result<LayerReader, ReadLayerError> {
    let source = decoder(file).map_err(ReadLayerError::Decompress)?;
    Ok(LayerReader::uncompressed(source))
}

fn decoder(mut file: File) -> io::Result<Box<dyn Read + Send>> {
    let mut magic = Vec::new();
    (&mut file).take(6).read_to_end(&mut magic)?;
    file.seek(SeekFrom::Start(0))?;
    if magic.starts_with(b"BZh") {
        return Ok(Box::new(bzip2::read::MultiBzDecoder::new(file)));
    }
    if magic == [0xfd, b'7', b'z', b'X', b'Z', 0] {
        return Ok(Box::new(liblzma::read::XzDecoder::new_multi_decoder(file)));
    }
    oci::layer::decoder(file)
}
