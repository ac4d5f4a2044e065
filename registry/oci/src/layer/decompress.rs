// SPDX-License-Identifier: Apache-2.0
//! A layer blob in, the bytes of the tar out, with the diff ID at the end.
//!
//! Decompression and hashing run in threads of their own, so that whoever reads the tar pays for
//! neither.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use crate::{Algorithm, DiffId, Digest, Hasher};

/// How much is decompressed at a time, and how many such pieces may wait.
const PIECE_BYTES: usize = 256 << 10;
const PIECES_QUEUED: usize = 16;

/// The largest zstd window that is accepted, as a power of two.
///
/// Spec: RFC 8878 §3.1.1.1.2 recommends support of at least 8 MiB. Ours: 128 MiB is what
/// `zstd --long` makes and decoders accept by default; a hostile frame may ask for gigabytes.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

/// Why a layer blob cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadLayerError {
    /// The blob could not be read or decompressed, or has bytes after its end.
    #[error("cannot decompress the layer")]
    Decompress(#[source] io::Error),
}

type Piece = io::Result<Arc<Vec<u8>>>;

/// Reads the uncompressed tar of a layer blob; finds out by itself how it is compressed.
#[derive(Debug)]
pub struct LayerReader {
    pieces: Option<Receiver<Piece>>,
    current: Arc<Vec<u8>>,
    position: usize,
    hasher: Option<JoinHandle<Digest>>,
    is_at_end: bool,
}

impl LayerReader {
    /// Starts to decompress `blob`: gzip (any number of members), zstd (any number of frames), or
    /// plain.
    ///
    /// # Errors
    ///
    /// [`ReadLayerError::Decompress`] if the first bytes cannot be read.
    pub fn new(blob: impl Read + Send + 'static) -> Result<Self, ReadLayerError> {
        let source = decoder(blob).map_err(ReadLayerError::Decompress)?;
        Ok(Self::uncompressed(source))
    }

    /// Reads a tar that is not compressed, or that somebody else decompresses.
    pub fn uncompressed(source: Box<dyn Read + Send>) -> Self {
        let (to_reader, pieces) = sync_channel::<Piece>(PIECES_QUEUED);
        let (to_hasher, to_hash) = sync_channel::<Arc<Vec<u8>>>(PIECES_QUEUED);
        thread::spawn(move || pump(source, &to_reader, &to_hasher));
        let hasher = thread::spawn(move || {
            let mut diff_id = Hasher::new(Algorithm::Sha256);
            for piece in to_hash {
                diff_id.update(&piece);
            }
            diff_id.finish()
        });
        Self {
            pieces: Some(pieces),
            current: Arc::default(),
            position: 0,
            hasher: Some(hasher),
            is_at_end: false,
        }
    }

    /// Reads what is left and returns the diff ID: the digest of all uncompressed bytes, those
    /// after the end of the tar too.
    ///
    /// # Errors
    ///
    /// [`ReadLayerError::Decompress`].
    pub fn finish(mut self) -> Result<DiffId, ReadLayerError> {
        while !self.is_at_end {
            self.next_piece().map_err(ReadLayerError::Decompress)?;
        }
        self.pieces = None;
        let hasher = self.hasher.take().ok_or_else(|| {
            ReadLayerError::Decompress(io::Error::other("the layer's hasher has stopped"))
        })?;
        let digest = hasher
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        Ok(DiffId(digest))
    }

    fn next_piece(&mut self) -> io::Result<()> {
        let received = self.pieces.as_ref().and_then(|pieces| pieces.recv().ok());
        self.position = 0;
        self.is_at_end = received.is_none();
        self.current = received.transpose()?.unwrap_or_default();
        Ok(())
    }
}

impl BufRead for LayerReader {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.position == self.current.len() && !self.is_at_end {
            self.next_piece()?;
        }
        Ok(&self.current[self.position..])
    }

    fn consume(&mut self, amount: usize) {
        self.position = (self.position + amount).min(self.current.len());
    }
}

impl Read for LayerReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(buffer.len());
        buffer[..count].copy_from_slice(&available[..count]);
        self.consume(count);
        Ok(count)
    }
}

/// Decompresses until the end, or until nobody wants more.
fn pump(
    mut source: Box<dyn Read + Send>,
    to_reader: &SyncSender<Piece>,
    to_hasher: &SyncSender<Arc<Vec<u8>>>,
) {
    loop {
        let mut piece = Vec::with_capacity(PIECE_BYTES);
        match (&mut source)
            .take(PIECE_BYTES as u64)
            .read_to_end(&mut piece)
        {
            Ok(0) => return,
            Ok(_) => {
                let piece = Arc::new(piece);
                if to_hasher.send(Arc::clone(&piece)).is_err() || to_reader.send(Ok(piece)).is_err()
                {
                    return;
                }
            }
            Err(error) => {
                drop(to_reader.send(Err(error)));
                return;
            }
        }
    }
}

/// Returns the uncompressed bytes of `blob`: gzip, zstd or plain, by its first bytes.
///
/// # Errors
///
/// What reading the first bytes gave.
pub fn decoder(blob: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let mut blob = BufReader::with_capacity(PIECE_BYTES, blob);
    // A reader may give its first bytes one by one; the longest magic number has four.
    let mut start = Vec::new();
    (&mut blob).take(4).read_to_end(&mut start)?;
    let magic = start.clone();
    let whole = io::Cursor::new(start).chain(blob);
    if magic.starts_with(&[0x1f, 0x8b]) {
        let buffered = BufReader::with_capacity(PIECE_BYTES, whole);
        return Ok(Box::new(flate2::bufread::MultiGzDecoder::new(buffered)));
    }
    let is_skippable = matches!(magic[..], [0x50..=0x5f, 0x2a, 0x4d, 0x18]);
    if magic == [0x28, 0xb5, 0x2f, 0xfd] || is_skippable {
        let mut decoder = zstd::stream::read::Decoder::new(whole)?;
        decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
        return Ok(Box::new(decoder));
    }
    Ok(Box::new(whole))
}
