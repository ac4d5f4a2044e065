// SPDX-License-Identifier: Apache-2.0
//! A strict tar reader: what two programs could read differently is an error.
//!
//! Invariants
//! 1. The size of an extended header wins everywhere, and entries without content have none
//!    whatever their header says (as Go's `archive/tar`, which every registry client uses).
//! 2. Memory is bounded by the limits in [`super`].

use std::io::{self, BufRead, Read};

use super::header::{self, Block};
use super::pax::Pax;
use super::sparse::{self, SparseMap, SparsePax};
use super::{
    BLOCK_BYTES, ENTRIES_MAX, EXTENDED_HEADER_BYTES_MAX, PATH_BYTES_MAX, TarError,
    UNPACKED_BYTES_MAX,
};
use crate::Owner;
use crate::file::{Timestamp, XattrMap};

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TarKind {
    File,
    HardLink,
    Symlink,
    Dir,
    CharDevice,
    BlockDevice,
    Fifo,
}

/// One entry. Its content is read from the reader before the next entry.
#[derive(Clone, Debug)]
pub(crate) struct TarEntry {
    /// The name as written; hostile.
    pub(crate) path: Vec<u8>,
    pub(crate) kind: TarKind,
    pub(crate) mode: u32,
    pub(crate) owner: Owner,
    /// Length of the file, holes counted.
    pub(crate) size_bytes: u64,
    pub(crate) mtime: Timestamp,
    /// Target of a link; hostile.
    pub(crate) link: Vec<u8>,
    pub(crate) rdev: u64,
    pub(crate) xattrs: XattrMap,
    pub(crate) sparse: Option<SparseMap>,
}

pub(crate) struct TarReader<R> {
    source: R,
    /// Stored bytes of the current entry not read yet.
    left_bytes: u64,
    padding_bytes: u64,
    entries: u64,
    unpacked_bytes: u64,
    is_done: bool,
}

/// Headers that come before the one they are about.
#[derive(Default)]
struct Before {
    pax: Pax,
    has_pax: bool,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
}

impl<R: BufRead> TarReader<R> {
    pub(crate) fn new(source: R) -> Self {
        Self {
            source,
            left_bytes: 0,
            padding_bytes: 0,
            entries: 0,
            unpacked_bytes: 0,
            is_done: false,
        }
    }

    /// Returns the stream; what follows the end of the archive is still in it.
    pub(crate) fn into_inner(self) -> R {
        self.source
    }

    fn malformed(&self, what: &'static str) -> TarError {
        TarError::Malformed {
            entry: self.entries,
            what,
        }
    }

    fn limit(&self, what: &'static str) -> TarError {
        TarError::Limit {
            entry: self.entries,
            what,
        }
    }

    /// Returns the next entry, or `None` at the end of the archive. Skips what is left of the
    /// content of the one before.
    pub(crate) fn next_entry(&mut self) -> Result<Option<TarEntry>, TarError> {
        let mut before = Before::default();
        loop {
            self.skip_content()?;
            let Some(block) = self.read_header()? else {
                if before.has_pax || before.long_name.is_some() || before.long_link.is_some() {
                    return Err(self.malformed("an extended header is about nothing"));
                }
                return Ok(None);
            };
            match block[header::TYPE] {
                b'x' => {
                    if before.has_pax {
                        return Err(self.malformed("two extended headers for one entry"));
                    }
                    let records = self.read_extended(&block)?;
                    before.pax = Pax::parse(&records).map_err(|what| self.malformed(what))?;
                    before.has_pax = true;
                }
                b'g' => {
                    let records = self.read_extended(&block)?;
                    let pax = Pax::parse(&records).map_err(|what| self.malformed(what))?;
                    if pax.is_about_one_entry() {
                        return Err(self.malformed("a global header gives a path or a size"));
                    }
                }
                b'L' => before.long_name = Some(self.read_long_name(&block)?),
                b'K' => before.long_link = Some(self.read_long_name(&block)?),
                // The name of the volume.
                b'V' => self.begin_content(0)?,
                _ => return self.entry(&block, before).map(Some),
            }
        }
    }

    /// Returns a header block, or `None` at the end: two blocks of zeros, or the end of the stream.
    fn read_header(&mut self) -> Result<Option<Block>, TarError> {
        if self.is_done {
            return Ok(None);
        }
        self.entries += 1;
        if self.entries > ENTRIES_MAX {
            return Err(self.limit("too many entries"));
        }
        let Some(block) = self.read_block_or_end()? else {
            self.is_done = true;
            return Ok(None);
        };
        if block.iter().all(|byte| *byte == 0) {
            self.is_done = true;
            return match self.read_block_or_end()? {
                None => Ok(None),
                Some(second) if second.iter().all(|byte| *byte == 0) => Ok(None),
                Some(_) => Err(self.malformed("one block of zeros is followed by something")),
            };
        }
        if !header::has_right_checksum(&block) {
            return Err(self.malformed("the header's checksum is wrong"));
        }
        Ok(Some(block))
    }

    fn read_block_or_end(&mut self) -> Result<Option<Block>, TarError> {
        if self.source.fill_buf().map_err(TarError::Read)?.is_empty() {
            return Ok(None);
        }
        self.read_block().map(Some)
    }

    fn read_block(&mut self) -> Result<Block, TarError> {
        let mut block = [0; BLOCK_BYTES];
        self.read_exact(&mut block)?;
        Ok(block)
    }

    fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), TarError> {
        self.source
            .read_exact(buffer)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => TarError::Truncated {
                    entry: self.entries,
                },
                _ => TarError::Read(error),
            })
    }

    fn begin_content(&mut self, size_bytes: u64) -> Result<(), TarError> {
        let block = BLOCK_BYTES as u64;
        if size_bytes > UNPACKED_BYTES_MAX {
            return Err(self.limit("too many bytes"));
        }
        self.left_bytes = size_bytes;
        self.padding_bytes = (block - size_bytes % block) % block;
        Ok(())
    }

    fn header_size(&self, block: &Block) -> Result<u64, TarError> {
        header::SIZE
            .number(block)
            .and_then(|size| u64::try_from(size).ok())
            .ok_or_else(|| self.malformed("the size is no number"))
    }

    fn read_extended(&mut self, block: &Block) -> Result<Vec<u8>, TarError> {
        let size_bytes = self.header_size(block)?;
        if size_bytes > EXTENDED_HEADER_BYTES_MAX {
            return Err(self.limit("an extended header is too large"));
        }
        self.begin_content(size_bytes)?;
        let mut bytes = Vec::new();
        self.read_content(&mut bytes)?;
        Ok(bytes)
    }

    fn read_long_name(&mut self, block: &Block) -> Result<Vec<u8>, TarError> {
        let mut name = self.read_extended(block)?;
        if let Some(end) = name.iter().position(|byte| *byte == 0) {
            if name[end..].iter().any(|byte| *byte != 0) {
                return Err(self.malformed("a long name contains a NUL"));
            }
            name.truncate(end);
        }
        Ok(name)
    }

    fn read_content(&mut self, bytes: &mut Vec<u8>) -> Result<(), TarError> {
        let expected = self.left_bytes;
        let mut source = (&mut self.source).take(expected);
        let count = source.read_to_end(bytes).map_err(TarError::Read)?;
        self.left_bytes -= count as u64;
        if self.left_bytes > 0 {
            return Err(TarError::Truncated {
                entry: self.entries,
            });
        }
        Ok(())
    }

    /// Returns the next bytes of the content; empty at its end. Follow with [`Self::consume`].
    pub(crate) fn content(&mut self) -> Result<&[u8], TarError> {
        if self.left_bytes == 0 {
            return Ok(&[]);
        }
        let entry = self.entries;
        let available = self.source.fill_buf().map_err(TarError::Read)?;
        if available.is_empty() {
            return Err(TarError::Truncated { entry });
        }
        let left = usize::try_from(self.left_bytes).unwrap_or(usize::MAX);
        Ok(&available[..available.len().min(left)])
    }

    /// Takes `count` bytes of what [`Self::content`] returned.
    pub(crate) fn consume(&mut self, count: usize) {
        self.source.consume(count);
        self.left_bytes -= count as u64;
    }

    fn skip_content(&mut self) -> Result<(), TarError> {
        self.left_bytes += std::mem::take(&mut self.padding_bytes);
        loop {
            let count = self.content()?.len();
            if count == 0 {
                return Ok(());
            }
            self.consume(count);
        }
    }

    fn entry(&mut self, block: &Block, before: Before) -> Result<TarEntry, TarError> {
        let Before {
            pax,
            long_name,
            long_link,
            ..
        } = before;
        let sparse_pax = SparsePax::parse(&pax).map_err(|what| self.malformed(what))?;
        let path = sparse_pax
            .name
            .clone()
            .or(pax.path)
            .or(long_name)
            .unwrap_or_else(|| header_name(block));
        let link = pax
            .link
            .or(long_link)
            .unwrap_or_else(|| header::LINK.text(block).to_vec());
        if path.is_empty() || path.len() > PATH_BYTES_MAX || link.len() > PATH_BYTES_MAX {
            return Err(self.limit("a name is empty or too long"));
        }
        let kind = self.kind(block, &path)?;
        let mode = self.number(block, header::MODE, "the mode is no number")? & 0o7777;
        let owner = Owner {
            uid: match pax.uid {
                Some(uid) => uid,
                None => self.number(block, header::UID, "the user is no number")?,
            },
            gid: match pax.gid {
                Some(gid) => gid,
                None => self.number(block, header::GID, "the group is no number")?,
            },
        };
        let mtime = match pax.mtime {
            Some(mtime) => mtime,
            None => header::MTIME
                .number(block)
                .map(Timestamp::from_secs)
                .ok_or_else(|| self.malformed("the time is no number"))?,
        };
        let rdev = self.rdev(block, kind)?;
        let mut entry = TarEntry {
            path,
            kind,
            mode,
            owner,
            size_bytes: 0,
            mtime,
            link,
            rdev,
            xattrs: pax.xattrs,
            sparse: None,
        };
        if kind == TarKind::File {
            let stored_bytes = match pax.size {
                Some(size) => size,
                None => self.header_size(block)?,
            };
            self.begin_file(block, &mut entry, stored_bytes, sparse_pax)?;
        }
        Ok(entry)
    }

    fn number(
        &self,
        block: &Block,
        field: header::Field,
        what: &'static str,
    ) -> Result<u32, TarError> {
        field
            .number(block)
            .and_then(|number| u32::try_from(number).ok())
            .ok_or_else(|| self.malformed(what))
    }

    fn rdev(&self, block: &Block, kind: TarKind) -> Result<u64, TarError> {
        const BAD: &str = "the device is no number";
        match kind {
            TarKind::CharDevice | TarKind::BlockDevice => Ok(rustix::fs::makedev(
                self.number(block, header::DEV_MAJOR, BAD)?,
                self.number(block, header::DEV_MINOR, BAD)?,
            )),
            _ => Ok(0),
        }
    }

    /// Finds out what is stored of a file, and where it goes.
    fn begin_file(
        &mut self,
        block: &Block,
        entry: &mut TarEntry,
        stored_bytes: u64,
        pax: SparsePax,
    ) -> Result<(), TarError> {
        let mut map = pax.map;
        if block[header::TYPE] == b'S' {
            let (mut old, mut more) = SparseMap::old(block).map_err(|what| self.malformed(what))?;
            while more {
                let block = self.read_block()?;
                more = old
                    .push_continuation(&block)
                    .map_err(|what| self.malformed(what))?;
            }
            map = Some(old);
        }
        self.begin_content(stored_bytes)?;
        if let Some(size_bytes) = pax.map_in_content {
            map = Some(self.read_map_in_content(size_bytes)?);
        }
        if let Some(map) = &map {
            map.validate(self.left_bytes)
                .map_err(|what| self.malformed(what))?;
        }
        entry.size_bytes = map.as_ref().map_or(stored_bytes, |map| map.size_bytes);
        entry.sparse = map;
        self.unpacked_bytes = self.unpacked_bytes.saturating_add(entry.size_bytes);
        if self.unpacked_bytes > UNPACKED_BYTES_MAX {
            return Err(self.limit("too many bytes"));
        }
        Ok(())
    }

    fn read_map_in_content(&mut self, size_bytes: u64) -> Result<SparseMap, TarError> {
        let entry = self.entries;
        let malformed = |what| TarError::Malformed { entry, what };
        let next = || {
            let first = self.content()?.first().copied();
            let byte = first.ok_or(TarError::Truncated { entry })?;
            self.consume(1);
            Ok(byte)
        };
        let (map, taken) = sparse::read_map_1_0(size_bytes, next, malformed)?;
        // The map is padded to a whole block.
        let mut padding = (BLOCK_BYTES as u64 - taken % BLOCK_BYTES as u64) % BLOCK_BYTES as u64;
        while padding > 0 {
            let available = self.content()?.len() as u64;
            if available == 0 {
                return Err(malformed("a sparse map is malformed"));
            }
            let count = available.min(padding);
            self.consume(usize::try_from(count).unwrap_or(BLOCK_BYTES));
            padding -= count;
        }
        Ok(map)
    }

    fn kind(&self, block: &Block, path: &[u8]) -> Result<TarKind, TarError> {
        Ok(match block[header::TYPE] {
            // Before POSIX a directory was a file whose name ends in a slash.
            0 | b'0' if path.ends_with(b"/") => TarKind::Dir,
            0 | b'0' | b'7' | b'S' => TarKind::File,
            b'1' => TarKind::HardLink,
            b'2' => TarKind::Symlink,
            b'3' => TarKind::CharDevice,
            b'4' => TarKind::BlockDevice,
            b'5' => TarKind::Dir,
            b'6' => TarKind::Fifo,
            other => {
                return Err(TarError::UnsupportedType {
                    entry: self.entries,
                    type_flag: char::from(other),
                });
            }
        })
    }
}

/// The name field, after the prefix if the header is a POSIX one.
fn header_name(block: &Block) -> Vec<u8> {
    let name = header::NAME.text(block);
    let prefix = header::PREFIX.text(block);
    // GNU's magic is `ustar  \0`, and its headers have other things where the prefix is.
    if header::MAGIC.of(block).starts_with(b"ustar\0") && !prefix.is_empty() {
        return [prefix, b"/", name].concat();
    }
    name.to_vec()
}
