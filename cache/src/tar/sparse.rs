// SPDX-License-Identifier: Apache-2.0
//! Sparse files: which pieces of a file are stored, in GNU tar's four notations.
//!
//! Docs: GNU tar manual §"Storing Sparse Files".

use super::SPARSE_PIECES_MAX;
use super::header::{Block, Field};
use super::pax::{Pax, number};

/// Where the stored bytes of a sparse file go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SparseMap {
    /// Length of the whole file.
    pub(crate) size_bytes: u64,
    /// Offset and length of each stored piece, ascending, not overlapping.
    pub(crate) pieces: Vec<(u64, u64)>,
}

const BAD: &str = "a sparse map is malformed";

/// Fields of the old GNU header and of its continuation blocks.
const OLD_PIECES: usize = 386;
const OLD_PIECES_IN_HEADER: usize = 4;
const OLD_PIECES_IN_BLOCK: usize = 21;
const OLD_IS_EXTENDED: usize = 482;
const OLD_IS_EXTENDED_IN_BLOCK: usize = 504;
const OLD_REAL_SIZE: Field = Field(483, 12);

impl SparseMap {
    fn push(&mut self, offset: u64, len: u64) -> Result<(), &'static str> {
        if self.pieces.len() == SPARSE_PIECES_MAX {
            return Err("a sparse map has too many pieces");
        }
        self.pieces.push((offset, len));
        Ok(())
    }

    /// Checks that the pieces ascend, lie inside the file and are `stored_bytes` together.
    pub(super) fn validate(&self, stored_bytes: u64) -> Result<(), &'static str> {
        let mut end = 0;
        let mut total: u64 = 0;
        for (offset, len) in &self.pieces {
            if *offset < end {
                return Err(BAD);
            }
            end = offset.checked_add(*len).ok_or(BAD)?;
            total = total.checked_add(*len).ok_or(BAD)?;
        }
        if end > self.size_bytes || total != stored_bytes {
            return Err(BAD);
        }
        Ok(())
    }

    /// Reads the header of the old format; tells whether continuation blocks follow.
    pub(super) fn old(block: &Block) -> Result<(Self, bool), &'static str> {
        let size = OLD_REAL_SIZE.number(block).ok_or(BAD)?;
        let mut map = Self {
            size_bytes: u64::try_from(size).map_err(|_| BAD)?,
            pieces: Vec::new(),
        };
        map.push_old(block, OLD_PIECES, OLD_PIECES_IN_HEADER)?;
        Ok((map, block[OLD_IS_EXTENDED] != 0))
    }

    /// Reads a continuation block; tells whether another follows.
    pub(super) fn push_continuation(&mut self, block: &Block) -> Result<bool, &'static str> {
        self.push_old(block, 0, OLD_PIECES_IN_BLOCK)?;
        Ok(block[OLD_IS_EXTENDED_IN_BLOCK] != 0)
    }

    fn push_old(&mut self, block: &Block, start: usize, count: usize) -> Result<(), &'static str> {
        for index in 0..count {
            let at = start + index * 24;
            if block[at] == 0 {
                break;
            }
            let offset = Field(at, 12).number(block).ok_or(BAD)?;
            let len = Field(at + 12, 12).number(block).ok_or(BAD)?;
            self.push(
                u64::try_from(offset).map_err(|_| BAD)?,
                u64::try_from(len).map_err(|_| BAD)?,
            )?;
        }
        Ok(())
    }
}

/// What the extended header of an entry says about holes.
#[derive(Debug, Default)]
pub(super) struct SparsePax {
    pub(super) name: Option<Vec<u8>>,
    /// Formats 0.0 and 0.1: the whole map.
    pub(super) map: Option<SparseMap>,
    /// Format 1.0: the map precedes the content; this is the size of the file.
    pub(super) map_in_content: Option<u64>,
}

impl SparsePax {
    pub(super) fn parse(pax: &Pax) -> Result<Self, &'static str> {
        let mut found = Self::default();
        let (mut major, mut size) = (None, None);
        let mut map = SparseMap::default();
        let mut offset = None;
        for (key, value) in &pax.sparse {
            match key.as_slice() {
                b"name" => found.name = Some(value.clone()),
                b"major" => major = Some(number(value)?),
                b"size" | b"realsize" => size = Some(number(value)?),
                b"offset" => offset = Some(number(value)?),
                b"numbytes" => map.push(offset.take().ok_or(BAD)?, number(value)?)?,
                b"map" => {
                    let mut numbers = value.split(|byte| *byte == b',');
                    while let Some(offset) = numbers.next().filter(|text| !text.is_empty()) {
                        map.push(number(offset)?, number(numbers.next().ok_or(BAD)?)?)?;
                    }
                }
                _ => {}
            }
        }
        match (major, size) {
            (Some(1), Some(size)) => found.map_in_content = Some(size),
            (None | Some(0), Some(size)) => {
                map.size_bytes = size;
                found.map = Some(map);
            }
            (None, None) if pax.sparse.is_empty() => {}
            _ => return Err(BAD),
        }
        Ok(found)
    }
}

/// Reads the map that precedes the content in format 1.0: decimal numbers, one a line. `byte` gives the
/// next byte. Returns the map and how many bytes it took.
pub(super) fn read_map_1_0<E>(
    size_bytes: u64,
    mut byte: impl FnMut() -> Result<u8, E>,
    malformed: impl Fn(&'static str) -> E,
) -> Result<(SparseMap, u64), E> {
    let mut taken = 0;
    let mut line = |taken: &mut u64| -> Result<u64, E> {
        let mut digits = Vec::new();
        loop {
            let next = byte()?;
            *taken += 1;
            match next {
                b'\n' => return number(&digits).map_err(&malformed),
                _ if digits.len() == 20 => return Err(malformed(BAD)),
                _ => digits.push(next),
            }
        }
    };
    let count = line(&mut taken)?;
    let mut map = SparseMap {
        size_bytes,
        pieces: Vec::new(),
    };
    for _ in 0..count {
        let offset = line(&mut taken)?;
        let len = line(&mut taken)?;
        map.push(offset, len).map_err(&malformed)?;
    }
    Ok((map, taken))
}
