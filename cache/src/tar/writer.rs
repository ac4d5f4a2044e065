// SPDX-License-Identifier: Apache-2.0
//! A canonical tar writer: one tree, one sequence of bytes.
//!
//! ustar headers, with an extended header only for what does not fit. No user names, access times
//! or process ids.
//!
//! Observed: the same bytes as Go's `archive/tar` with `FormatPAX`, which BuildKit and containerd
//! use; equal trees then have equal diff IDs.

use std::io::{self, Write};

use super::BLOCK_BYTES;
use super::header::{self, Block};
use super::pax::push_record;
use super::reader::TarKind;
use crate::Owner;
use crate::file::XattrMap;

/// What goes into one header.
#[derive(Clone, Debug)]
pub(crate) struct EntryHead<'a> {
    /// Without a slash in front; a directory's ends in one.
    pub(crate) path: &'a [u8],
    pub(crate) kind: TarKind,
    pub(crate) mode: u32,
    pub(crate) owner: Owner,
    pub(crate) size_bytes: u64,
    pub(crate) mtime_secs: i64,
    pub(crate) link: &'a [u8],
    pub(crate) rdev: u64,
    pub(crate) xattrs: &'a XattrMap,
}

pub(crate) struct TarWriter<W> {
    sink: W,
    padding: usize,
}

impl<W: Write> TarWriter<W> {
    pub(crate) fn new(sink: W) -> Self {
        Self { sink, padding: 0 }
    }

    /// Writes a header. Exactly `size_bytes` of content must follow through [`Self::sink`], then
    /// the next header or the end.
    pub(crate) fn begin(&mut self, head: &EntryHead<'_>) -> io::Result<()> {
        self.pad()?;
        let mut block = [0; BLOCK_BYTES];
        let mut records = Vec::new();
        // Go sorts the records by key; these are in that order.
        if !header::GID.set_number(&mut block, head.owner.gid.into()) {
            header::GID.set_number(&mut block, 0);
            push_record(&mut records, b"gid", head.owner.gid.to_string().as_bytes());
        }
        fill_text(
            &mut block,
            &mut records,
            header::LINK,
            (b"linkpath", head.link),
        );
        let mtime = u64::try_from(head.mtime_secs).ok();
        if !mtime.is_some_and(|mtime| header::MTIME.set_number(&mut block, mtime)) {
            header::MTIME.set_number(&mut block, 0);
            push_record(
                &mut records,
                b"mtime",
                head.mtime_secs.to_string().as_bytes(),
            );
        }
        fill_text(&mut block, &mut records, header::NAME, (b"path", head.path));
        let mut xattrs = Vec::new();
        for (name, value) in head.xattrs {
            push_record(
                &mut xattrs,
                &[b"SCHILY.xattr.", name.as_slice()].concat(),
                value,
            );
        }
        // Capital letters sort first.
        records.splice(0..0, xattrs);
        if !header::SIZE.set_number(&mut block, head.size_bytes) {
            header::SIZE.set_number(&mut block, 0);
            push_record(
                &mut records,
                b"size",
                head.size_bytes.to_string().as_bytes(),
            );
        }
        if !header::UID.set_number(&mut block, head.owner.uid.into()) {
            header::UID.set_number(&mut block, 0);
            push_record(&mut records, b"uid", head.owner.uid.to_string().as_bytes());
        }
        header::MODE.set_number(&mut block, head.mode.into());
        block[header::TYPE] = type_flag(head.kind);
        let (major, minor) = (rustix::fs::major(head.rdev), rustix::fs::minor(head.rdev));
        header::DEV_MAJOR.set_number(&mut block, major.into());
        header::DEV_MINOR.set_number(&mut block, minor.into());
        if !records.is_empty() {
            self.extended(head.path, &records)?;
        }
        self.seal(block)?;
        self.padding = padding_of(head.size_bytes);
        Ok(())
    }

    /// Where the content of the entry goes.
    pub(crate) fn sink(&mut self) -> &mut W {
        &mut self.sink
    }

    fn extended(&mut self, path: &[u8], records: &[u8]) -> io::Result<()> {
        let mut block = [0; BLOCK_BYTES];
        header::NAME.set_text(&mut block, &extended_name(path));
        for field in [
            header::MODE,
            header::UID,
            header::GID,
            header::MTIME,
            header::DEV_MAJOR,
            header::DEV_MINOR,
        ] {
            field.set_number(&mut block, 0);
        }
        header::SIZE.set_number(&mut block, records.len() as u64);
        block[header::TYPE] = b'x';
        self.seal(block)?;
        self.sink.write_all(records)?;
        self.padding = padding_of(records.len() as u64);
        self.pad()
    }

    fn seal(&mut self, mut block: Block) -> io::Result<()> {
        header::MAGIC.set_text(&mut block, b"ustar\x0000");
        let sum = format!("{:06o}\0 ", header::checksum(&block));
        header::CHECKSUM.set_text(&mut block, sum.as_bytes());
        self.sink.write_all(&block)
    }

    fn pad(&mut self) -> io::Result<()> {
        let padding = std::mem::take(&mut self.padding);
        self.sink.write_all(&[0; BLOCK_BYTES][..padding])
    }

    /// Writes the end of the archive and returns the sink.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.pad()?;
        self.sink.write_all(&[0; 2 * BLOCK_BYTES])?;
        Ok(self.sink)
    }
}

fn padding_of(size_bytes: u64) -> usize {
    let over = usize::try_from(size_bytes % BLOCK_BYTES as u64).unwrap_or(0);
    (BLOCK_BYTES - over) % BLOCK_BYTES
}

/// Fills a text field, and adds a record if the text is longer than the field or not ASCII.
fn fill_text(
    block: &mut Block,
    records: &mut Vec<u8>,
    field: header::Field,
    (key, text): (&[u8], &[u8]),
) {
    if text.len() > field.1 || !text.is_ascii() {
        push_record(records, key, text);
        let ascii: Vec<u8> = text.iter().copied().filter(u8::is_ascii).collect();
        field.set_text(block, &ascii);
    } else {
        field.set_text(block, text);
    }
}

/// `dir/PaxHeaders.0/name`, cut to the field, ASCII only.
fn extended_name(path: &[u8]) -> Vec<u8> {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    let split = path
        .iter()
        .rposition(|byte| *byte == b'/')
        .map_or(0, |at| at + 1);
    let mut name = [&path[..split], b"PaxHeaders.0/", &path[split..]].concat();
    name.retain(u8::is_ascii);
    name.truncate(header::NAME.1);
    // A name that ends in a slash would be a directory.
    while name.ends_with(b"/") {
        name.pop();
    }
    name
}

fn type_flag(kind: TarKind) -> u8 {
    match kind {
        TarKind::File => b'0',
        TarKind::HardLink => b'1',
        TarKind::Symlink => b'2',
        TarKind::CharDevice => b'3',
        TarKind::BlockDevice => b'4',
        TarKind::Dir => b'5',
        TarKind::Fifo => b'6',
    }
}
