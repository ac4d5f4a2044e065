// SPDX-License-Identifier: Apache-2.0
//! The fields of one 512-byte header block.

use super::BLOCK_BYTES;

pub(super) type Block = [u8; BLOCK_BYTES];

/// A field: offset and length.
///
/// Spec: POSIX.1-2017 `pax`, table "ustar Header Block".
#[derive(Clone, Copy)]
pub(super) struct Field(pub(super) usize, pub(super) usize);

pub(super) const NAME: Field = Field(0, 100);
pub(super) const MODE: Field = Field(100, 8);
pub(super) const UID: Field = Field(108, 8);
pub(super) const GID: Field = Field(116, 8);
pub(super) const SIZE: Field = Field(124, 12);
pub(super) const MTIME: Field = Field(136, 12);
pub(super) const CHECKSUM: Field = Field(148, 8);
pub(super) const TYPE: usize = 156;
pub(super) const LINK: Field = Field(157, 100);
pub(super) const MAGIC: Field = Field(257, 8);
pub(super) const DEV_MAJOR: Field = Field(329, 8);
pub(super) const DEV_MINOR: Field = Field(337, 8);
pub(super) const PREFIX: Field = Field(345, 155);

impl Field {
    pub(super) fn of(self, block: &Block) -> &[u8] {
        &block[self.0..self.0 + self.1]
    }

    /// The bytes up to the first NUL.
    pub(super) fn text(self, block: &Block) -> &[u8] {
        let field = self.of(block);
        let end = field.iter().position(|byte| *byte == 0);
        &field[..end.unwrap_or(field.len())]
    }

    /// Parses a number: octal with spaces or NULs around it, or base 256 if the top bit is set.
    /// `None` for anything else.
    pub(super) fn number(self, block: &Block) -> Option<i64> {
        let field = self.of(block);
        if field[0] & 0x80 != 0 {
            return base_256(field);
        }
        let digits = trim(field);
        if digits.is_empty() {
            return Some(0);
        }
        digits.iter().try_fold(0_i64, |value, digit| match digit {
            b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
            _ => None,
        })
    }

    /// Writes an octal number with a NUL at the end; `false` if it does not fit.
    pub(super) fn set_number(self, block: &mut Block, number: u64) -> bool {
        let text = format!("{number:0width$o}\0", width = self.1 - 1);
        let fits = text.len() == self.1;
        if fits {
            block[self.0..self.0 + self.1].copy_from_slice(text.as_bytes());
        }
        fits
    }

    /// Writes text, cut to the field.
    pub(super) fn set_text(self, block: &mut Block, text: &[u8]) {
        let len = text.len().min(self.1);
        block[self.0..self.0 + len].copy_from_slice(&text[..len]);
    }
}

fn trim(field: &[u8]) -> &[u8] {
    let is_filler = |byte: &u8| matches!(byte, b' ' | 0);
    let start = field.iter().position(|byte| *byte != b' ');
    let field = &field[start.unwrap_or(field.len())..];
    // What follows the first NUL or space after the digits is filler, or the number is malformed.
    let end = field.iter().position(is_filler).unwrap_or(field.len());
    if field[end..].iter().all(is_filler) {
        &field[..end]
    } else {
        field
    }
}

/// Docs: GNU tar manual §"Extensions to the archive format": two's complement, top bit as marker.
fn base_256(field: &[u8]) -> Option<i64> {
    let is_negative = field[0] & 0x40 != 0;
    let mut value: i64 = if is_negative { -1 } else { 0 };
    for (index, byte) in field.iter().enumerate() {
        let byte = match index {
            0 if is_negative => *byte,
            0 => byte & 0x7f,
            _ => *byte,
        };
        value = value.checked_mul(256)?.checked_add(i64::from(byte))?;
        if index == 0 && is_negative {
            value = i64::from(byte.cast_signed());
        }
    }
    Some(value)
}

/// Returns the sum of all bytes, the checksum field counted as spaces.
pub(super) fn checksum(block: &Block) -> u64 {
    let field = CHECKSUM.0..CHECKSUM.0 + CHECKSUM.1;
    block
        .iter()
        .enumerate()
        .map(|(index, byte)| {
            if field.contains(&index) {
                32
            } else {
                u64::from(*byte)
            }
        })
        .sum()
}

/// Tells whether the stored checksum is right; some old programs summed signed bytes.
pub(super) fn has_right_checksum(block: &Block) -> bool {
    let Some(stored) = CHECKSUM.number(block) else {
        return false;
    };
    let field = CHECKSUM.0..CHECKSUM.0 + CHECKSUM.1;
    let signed: i64 = block
        .iter()
        .enumerate()
        .map(|(index, byte)| {
            if field.contains(&index) {
                32
            } else {
                i64::from(byte.cast_signed())
            }
        })
        .sum();
    checksum(block).cast_signed() == stored || signed == stored
}
