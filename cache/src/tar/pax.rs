// SPDX-License-Identifier: Apache-2.0
//! Extended headers: `length key=value\n`, again and again.
//!
//! Spec: POSIX.1-2017 `pax` §pax Extended Header.

use crate::file::{Timestamp, XattrMap};

use super::XATTR_BYTES_MAX;

/// What the extended header of one entry says.
#[derive(Debug, Default)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) mtime: Option<Timestamp>,
    pub(super) xattrs: XattrMap,
    /// `GNU.sparse.*`, in the order of the records.
    pub(super) sparse: Vec<(Vec<u8>, Vec<u8>)>,
}

const XATTR_PREFIX: &[u8] = b"SCHILY.xattr.";
const SPARSE_PREFIX: &[u8] = b"GNU.sparse.";

impl Pax {
    /// Parses the records; a malformed one is an error, never skipped, because other programs would
    /// see another archive.
    pub(super) fn parse(mut bytes: &[u8]) -> Result<Self, &'static str> {
        let mut pax = Self::default();
        while !bytes.is_empty() {
            let (record, rest) = split_record(bytes)?;
            bytes = rest;
            let equals = record.iter().position(|byte| *byte == b'=');
            let equals = equals.ok_or("an extended record has no `=`")?;
            pax.set(&record[..equals], &record[equals + 1..])?;
        }
        Ok(pax)
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        match key {
            b"path" => self.path = Some(path(value)?),
            b"linkpath" => self.link = Some(path(value)?),
            b"size" => self.size = Some(number(value)?),
            b"uid" => self.uid = Some(id(value)?),
            b"gid" => self.gid = Some(id(value)?),
            b"mtime" => self.mtime = Some(time(value)?),
            _ if key.starts_with(XATTR_PREFIX) => {
                let name = &key[XATTR_PREFIX.len()..];
                if name.is_empty() || name.contains(&0) || value.len() > XATTR_BYTES_MAX {
                    return Err("an extended attribute has no name, or is too large");
                }
                self.xattrs.insert(name.to_vec(), value.to_vec());
            }
            _ if key.starts_with(SPARSE_PREFIX) => {
                self.sparse
                    .push((key[SPARSE_PREFIX.len()..].to_vec(), value.to_vec()));
            }
            // Access times, user names, comments: not part of a layer.
            _ => {}
        }
        Ok(())
    }

    /// Tells whether this moves or renames entries; nothing that may hold for a whole archive.
    pub(super) fn is_about_one_entry(&self) -> bool {
        self.path.is_some() || self.link.is_some() || self.size.is_some() || !self.sparse.is_empty()
    }
}

fn split_record(bytes: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    const BAD: &str = "an extended record has a wrong length";
    let space = bytes.iter().position(|byte| *byte == b' ').ok_or(BAD)?;
    let len = usize::try_from(number(&bytes[..space])?).map_err(|_| BAD)?;
    let record = bytes.get(space + 1..len).ok_or(BAD)?;
    match record.split_last() {
        Some((b'\n', record)) => Ok((record, &bytes[len..])),
        _ => Err(BAD),
    }
}

fn path(value: &[u8]) -> Result<Vec<u8>, &'static str> {
    if value.is_empty() || value.contains(&0) {
        return Err("an extended path is empty or contains a NUL");
    }
    Ok(value.to_vec())
}

/// Parses decimal digits, and nothing else.
pub(super) fn number(value: &[u8]) -> Result<u64, &'static str> {
    let is_number = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    str::from_utf8(value)
        .ok()
        .filter(|_| is_number)
        .and_then(|text| text.parse().ok())
        .ok_or("an extended number is malformed")
}

fn id(value: &[u8]) -> Result<u32, &'static str> {
    u32::try_from(number(value)?).map_err(|_| "a user or group number is too large")
}

/// Parses seconds with an optional sign and fraction; a fraction finer than a nanosecond is cut.
fn time(value: &[u8]) -> Result<Timestamp, &'static str> {
    const BAD: &str = "an extended time is malformed";
    let (is_negative, value) = match value.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, value),
    };
    let mut parts = value.splitn(2, |byte| *byte == b'.');
    let secs = number(parts.next().unwrap_or_default()).map_err(|_| BAD)?;
    let secs = i64::try_from(secs).map_err(|_| BAD)?;
    let fraction = parts.next().unwrap_or_default();
    if !fraction.iter().all(u8::is_ascii_digit) {
        return Err(BAD);
    }
    let mut nanos = 0_u32;
    for place in 0..9 {
        let digit = fraction.get(place).map_or(0, |digit| digit - b'0');
        nanos = nanos * 10 + u32::from(digit);
    }
    Ok(match (is_negative, nanos) {
        (false, _) => Timestamp { secs, nanos },
        (true, 0) => Timestamp { secs: -secs, nanos },
        (true, _) => Timestamp {
            secs: -secs - 1,
            nanos: 1_000_000_000 - nanos,
        },
    })
}

/// Appends one record; its length counts its own digits.
pub(super) fn push_record(records: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut len = rest;
    while len != rest + len.to_string().len() {
        len = rest + len.to_string().len();
    }
    records.extend_from_slice(len.to_string().as_bytes());
    records.push(b' ');
    records.extend_from_slice(key);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}
