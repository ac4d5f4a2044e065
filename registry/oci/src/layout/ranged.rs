// SPDX-License-Identifier: Apache-2.0
//! Writing a blob whose parts arrive side by side: each in its place, and a table of what is there.
//!
//! ```text
//! 0 ………………………………………… size   the blob; each part has a beginning and then a hole
//! size …………………… end of file   the table, numbers of 8 bytes, little endian:
//!                            MAGIC, size, bytes of a part, bytes received of part 0, of part 1, …
//! ```
//!
//! One file has both, so that no crash and no collector can separate them. Does not know who sends
//! the parts.
//!
//! Invariants
//! 1. A partial file that is longer than its blob has a table, one that is not is a beginning. The
//!    table is written before the first byte that may leave a hole behind it: a file with holes is
//!    never taken for a beginning.
//! 2. Bytes are written before they are counted, so what a killed process leaves is understated at
//!    most. What a loss of power tears is found by the digest.
//! 3. The digest is that of the file, read front to back as far as it has arrived; nobody can have
//!    the blob before it matches.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::Layout;
use super::blobs::{BlobError, io_error};
use super::writer::{BlobWriter, StoredBlob};
use crate::Digest;

const MAGIC: u64 = u64::from_le_bytes(*b"kilnpart");
const NUMBER_BYTES: u64 = 8;
const HEADER_BYTES: u64 = 3 * NUMBER_BYTES;
/// The most parts of a blob; of larger blobs the parts are larger. Bounds the table.
const PARTS_MAX: u64 = 8192;
/// How much is hashed at a time.
const HASH_BYTES: usize = 512 << 10;

/// What of a blob has been received.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Table {
    size_bytes: u64,
    part_bytes: u64,
    /// Of each part, from its first byte on.
    received: Vec<u64>,
    /// How many parts are complete from the first on.
    front: usize,
}

impl Table {
    /// Returns the table of a blob of which the first `kept_bytes` are there.
    fn new(size_bytes: u64, part_bytes: u64, kept_bytes: u64) -> Self {
        let part_bytes = part_bytes.max(size_bytes.div_ceil(PARTS_MAX)).max(1);
        let count = size_bytes.div_ceil(part_bytes);
        let of_part = |part| {
            let begin = part * part_bytes;
            kept_bytes
                .saturating_sub(begin)
                .min(part_bytes.min(size_bytes - begin))
        };
        let mut table = Self {
            size_bytes,
            part_bytes,
            received: (0..count).map(of_part).collect(),
            front: 0,
        };
        table.advance();
        table
    }

    fn begin(&self, part: usize) -> u64 {
        part as u64 * self.part_bytes
    }

    fn len(&self, part: usize) -> u64 {
        self.part_bytes.min(self.size_bytes - self.begin(part))
    }

    fn advance(&mut self) {
        while self.front < self.received.len() && self.received[self.front] == self.len(self.front)
        {
            self.front += 1;
        }
    }

    /// Returns how many bytes are there without a hole before them.
    fn beginning(&self) -> u64 {
        match self.received.get(self.front) {
            Some(received) => self.begin(self.front) + received,
            None => self.size_bytes,
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let numbers = [MAGIC, self.size_bytes, self.part_bytes];
        let numbers = numbers.iter().chain(&self.received);
        numbers.flat_map(|number| number.to_le_bytes()).collect()
    }

    /// Returns the table in `bytes`; none if they are none of a blob of `size_bytes`.
    fn parse(bytes: &[u8], size_bytes: u64) -> Option<Self> {
        let (numbers, rest) = bytes.as_chunks();
        let numbers: Vec<u64> = numbers.iter().copied().map(u64::from_le_bytes).collect();
        let [MAGIC, size, part_bytes, received @ ..] = numbers.as_slice() else {
            return None;
        };
        let whole = rest.is_empty() && *size == size_bytes && *part_bytes > 0;
        if !whole || received.len() as u64 != size_bytes.div_ceil(*part_bytes) {
            return None;
        }
        let mut table = Self {
            size_bytes,
            part_bytes: *part_bytes,
            received: received.to_vec(),
            front: 0,
        };
        let possible = |part| table.received[part] <= table.len(part);
        if !(0..received.len()).all(possible) {
            return None;
        }
        table.advance();
        Some(table)
    }
}

/// What a partial file holds of a blob.
enum Partial {
    Beginning(u64),
    Table(Table),
}

impl Partial {
    fn read(file: &File, size_bytes: u64) -> io::Result<Self> {
        let len = file.metadata()?.len();
        let Some(behind @ 1..) = len.checked_sub(size_bytes) else {
            return Ok(Self::Beginning(len));
        };
        let table = if behind <= HEADER_BYTES + PARTS_MAX * NUMBER_BYTES {
            let mut bytes = vec![0; usize::try_from(behind).unwrap_or_default()];
            file.read_exact_at(&mut bytes, size_bytes)?;
            Table::parse(&bytes, size_bytes)
        } else {
            None
        };
        // What is too long and has no table is nothing of ours.
        Ok(table.map_or(Self::Beginning(0), Self::Table))
    }
}

/// Returns how many bytes of a blob of `size_bytes` a partial file begins with, without a hole.
pub(super) fn beginning(file: &File, size_bytes: u64) -> io::Result<u64> {
    Ok(match Partial::read(file, size_bytes)? {
        Partial::Beginning(len) => len,
        Partial::Table(table) => table.beginning(),
    })
}

/// Takes away what is behind the first `kept` bytes.
pub(super) fn cut(file: &File, kept: u64) -> io::Result<()> {
    // ext4 takes any truncation for the start of a replacement and writes the file back early.
    if file.metadata()?.len() == kept {
        return Ok(());
    }
    file.set_len(kept)
}

impl Layout {
    /// Continues the blob `digest` of `size_bytes` like [`Layout::resume_blob`], but in parts of
    /// `part_bytes` that may arrive in any order. An earlier writer's parts keep their size.
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`].
    pub fn resume_blob_in_parts(
        &self,
        digest: &Digest,
        size_bytes: u64,
        part_bytes: u64,
    ) -> Result<RangedWriter, BlobError> {
        let writer = self.open_partial(digest)?;
        let path = writer.path.clone().unwrap_or_default();
        let partial = Partial::read(&writer.file, size_bytes).map_err(io_error("read", &path))?;
        let (table, is_stored) = match partial {
            Partial::Table(table) => (table, true),
            Partial::Beginning(kept) => {
                cut(&writer.file, kept).map_err(io_error("truncate", &path))?;
                (Table::new(size_bytes, part_bytes, kept), false)
            }
        };
        Ok(RangedWriter {
            writer,
            path,
            table,
            is_stored,
            buffer: vec![0; HASH_BYTES],
        })
    }
}

/// Writes one blob in parts. Dropping it unfinished keeps what was written; see
/// [`Layout::resume_blob_in_parts`].
#[derive(Debug)]
pub struct RangedWriter {
    /// Its hasher is as far as its `written_bytes` say.
    writer: BlobWriter,
    path: PathBuf,
    table: Table,
    /// Whether the table is in the file.
    is_stored: bool,
    buffer: Vec<u8>,
}

impl RangedWriter {
    /// Returns what is missing, in ascending order: at most one range a part, each up to the end
    /// of its part.
    pub fn missing(&self) -> Vec<Range<u64>> {
        let table = &self.table;
        let missing = (table.front..table.received.len()).map(|part| {
            let begin = table.begin(part);
            begin + table.received[part]..begin + table.len(part)
        });
        missing.filter(|range| !range.is_empty()).collect()
    }

    /// Returns how many bytes are there, wherever.
    pub fn received_bytes(&self) -> u64 {
        self.table.received.iter().sum()
    }

    /// Takes bytes of one part, of which they are the next that is missing.
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`].
    ///
    /// # Panics
    ///
    /// If they are not the next of a part, or reach beyond its end.
    pub fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<(), BlobError> {
        let part = usize::try_from(offset / self.table.part_bytes).unwrap_or(usize::MAX);
        let received = self.table.received.get(part).copied();
        let next = received.map(|received| self.table.begin(part) + received);
        assert_eq!(next, Some(offset), "bytes of a part come in order");
        let received = received.unwrap_or_default() + bytes.len() as u64;
        assert!(received <= self.table.len(part), "parts do not overlap");
        self.put(part, offset, received, bytes)
            .map_err(io_error("write", &self.path))
    }

    fn put(&mut self, part: usize, offset: u64, received: u64, bytes: &[u8]) -> io::Result<()> {
        let file = &self.writer.file;
        if !self.is_stored {
            file.write_all_at(&self.table.to_bytes(), self.table.size_bytes)?;
            self.is_stored = true;
        }
        file.write_all_at(bytes, offset)?;
        let entry = self.table.size_bytes + HEADER_BYTES + part as u64 * NUMBER_BYTES;
        file.write_all_at(&received.to_le_bytes(), entry)?;
        self.table.received[part] = received;
        self.table.advance();
        Ok(())
    }

    /// Hashes some of what has arrived; returns false if there is nothing that could be hashed.
    ///
    /// # Errors
    ///
    /// [`BlobError::Io`].
    pub fn hash_next(&mut self) -> Result<bool, BlobError> {
        let at = self.writer.written_bytes;
        let arrived = self.table.beginning() - at;
        let count = usize::try_from(arrived).map_or(HASH_BYTES, |len| len.min(HASH_BYTES));
        if count == 0 {
            return Ok(false);
        }
        let bytes = &mut self.buffer[..count];
        let read = self.writer.file.read_exact_at(bytes, at);
        read.map_err(io_error("read", &self.path))?;
        self.writer.hasher.update(bytes);
        self.writer.written_bytes += count as u64;
        Ok(true)
    }

    /// Makes the blob part of the layout; durable only after [`Layout::sync`].
    ///
    /// # Errors
    ///
    /// As [`BlobWriter::finish`], also if something is missing.
    pub fn finish_unsynced(mut self, expected: (&Digest, u64)) -> Result<StoredBlob, BlobError> {
        while self.hash_next()? {}
        // No part is missing or the digest is wrong; either way there is nothing left to resume.
        let path: &Path = &self.path;
        let end = self.writer.written_bytes;
        cut(&self.writer.file, end).map_err(io_error("truncate", path))?;
        self.writer.finish_unsynced(Some(expected))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sha256;

    const PART: u64 = 10;

    fn store() -> (tempfile::TempDir, Layout) {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::create(directory.path().join("images")).unwrap();
        (directory, layout)
    }

    fn bytes(len: u8) -> Vec<u8> {
        (0..len).map(|byte| byte.wrapping_mul(7)).collect()
    }

    fn piece(bytes: &[u8], range: Range<u64>) -> &[u8] {
        let at = |offset| usize::try_from(offset).unwrap();
        &bytes[at(range.start)..at(range.end)]
    }

    #[test]
    fn parts_in_any_order_make_the_blob_and_nothing_is_seen_before() {
        for len in [0_u8, 1, 9, 10, 11, 25, 30] {
            let (_directory, layout) = store();
            let bytes = bytes(len);
            let (digest, size) = (sha256(&bytes), u64::from(len));
            let mut writer = layout.resume_blob_in_parts(&digest, size, PART).unwrap();
            for range in writer.missing().into_iter().rev() {
                assert_eq!(layout.stat_blob(&digest).unwrap(), None);
                let middle = u64::midpoint(range.start, range.end);
                for range in [range.start..middle, middle..range.end] {
                    let begin = range.start;
                    writer.write_at(begin, piece(&bytes, range)).unwrap();
                }
            }
            assert_eq!(writer.missing(), []);
            writer.finish_unsynced((&digest, size)).unwrap();
            assert_eq!(std::fs::read(layout.blob_path(&digest)).unwrap(), bytes);
        }
    }

    #[test]
    fn what_a_writer_left_is_continued_from_parts_and_from_a_beginning() {
        let (_directory, layout) = store();
        let bytes = bytes(35);
        let digest = sha256(&bytes);
        let mut writer = layout.resume_blob(&digest, 35).unwrap();
        writer.write_bytes(&bytes[..13]).unwrap();
        drop(writer);
        let mut writer = layout.resume_blob_in_parts(&digest, 35, PART).unwrap();
        assert_eq!(writer.received_bytes(), 13);
        assert_eq!(writer.missing(), [13..20, 20..30, 30..35]);
        writer.write_at(20, &bytes[20..24]).unwrap();
        writer.write_at(30, &bytes[30..35]).unwrap();
        drop(writer);
        // Somebody who likes other parts keeps to these.
        let mut writer = layout.resume_blob_in_parts(&digest, 35, 7).unwrap();
        assert_eq!(writer.missing(), [13..20, 24..30]);
        writer.write_at(13, &bytes[13..15]).unwrap();
        drop(writer);
        // A stream goes on before the first hole; the hole is never taken for content.
        let mut writer = layout.resume_blob(&digest, 35).unwrap();
        assert_eq!(writer.written_bytes(), 15);
        writer.write_bytes(&bytes[15..]).unwrap();
        writer.finish_unsynced(Some((&digest, 35))).unwrap();
        assert_eq!(std::fs::read(layout.blob_path(&digest)).unwrap(), bytes);
    }

    #[test]
    fn a_file_that_is_too_long_and_has_no_table_is_given_up() {
        let bytes = bytes(25);
        let digest = sha256(&bytes);
        let table = Table::new(25, PART, 25);
        let mut impossible = table.clone();
        impossible.received[2] = 6;
        let mut missing = table.clone();
        missing.received.pop();
        for (rule, behind) in [
            ("other bytes", b"something".to_vec()),
            ("half a table", table.to_bytes()[..30].to_vec()),
            ("more than a part can have", impossible.to_bytes()),
            ("too few parts", missing.to_bytes()),
            (
                "of a blob of another size",
                Table::new(24, PART, 24).to_bytes(),
            ),
            ("too long for any table", vec![0; 100_000]),
        ] {
            let (_directory, layout) = store();
            let writer = layout.open_partial(&digest).unwrap();
            writer.file.write_all_at(&bytes, 0).unwrap();
            writer.file.write_all_at(&behind, 25).unwrap();
            drop(writer);
            let writer = layout.resume_blob_in_parts(&digest, 25, PART).unwrap();
            assert_eq!(writer.received_bytes(), 0, "{rule}");
            drop(writer);
            let written = layout.resume_blob(&digest, 25).unwrap().written_bytes();
            assert_eq!(written, 0, "{rule}");
        }
    }

    #[test]
    fn wrong_parts_are_thrown_away_and_so_is_an_unfinished_blob_that_is_finished() {
        let (_directory, layout) = store();
        let bytes = bytes(25);
        let digest = sha256(&bytes);
        for (rule, last) in [("other bytes", &[0; 5][..]), ("a hole", &[])] {
            let mut writer = layout.resume_blob_in_parts(&digest, 25, PART).unwrap();
            assert_eq!(writer.received_bytes(), 0, "{rule}");
            writer.write_at(0, &bytes[..10]).unwrap();
            writer.write_at(20, last).unwrap();
            writer.write_at(10, &bytes[10..20]).unwrap();
            let result = writer.finish_unsynced((&digest, 25));
            assert!(matches!(result, Err(BlobError::Mismatch { .. })), "{rule}");
            assert_eq!(layout.stat_blob(&digest).unwrap(), None, "{rule}");
        }
    }

    #[test]
    fn blobs_of_any_announced_size_have_a_small_table() {
        for size in [0, 1, u64::MAX / 2, u64::MAX] {
            let table = Table::new(size, PART, 0);
            assert!(table.to_bytes().len() as u64 <= HEADER_BYTES + PARTS_MAX * NUMBER_BYTES);
            assert_eq!(Table::parse(&table.to_bytes(), size), Some(table));
        }
        let (_directory, layout) = store();
        let digest = sha256(b"");
        let mut writer = layout
            .resume_blob_in_parts(&digest, u64::MAX, PART)
            .unwrap();
        let written = writer.write_at(0, b"x");
        assert!(matches!(written, Err(BlobError::Io { .. })), "{written:?}");
    }
}
