// SPDX-License-Identifier: Apache-2.0
//! The bytes of one file, by the quickest way that works.
//!
//! Small files are read and written; large ones are cloned where the file system can, else copied in the
//! kernel, hole by hole.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{SeekFrom, copy_file_range, ioctl_ficlone, seek};
use rustix::io::Errno;

/// Files up to this size are read into memory: two calls instead of four.
const SMALL_BYTES: u64 = 256 << 10;

/// How much one call of the kernel copies.
const KERNEL_PIECE_BYTES: usize = 16 << 20;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

pub(super) struct Contents {
    /// Cleared when the file systems turn out not to share blocks.
    can_clone: AtomicBool,
    /// Cleared when the kernel does not copy between them.
    can_copy_range: AtomicBool,
}

impl Contents {
    pub(super) fn new() -> Self {
        Self {
            can_clone: AtomicBool::new(true),
            can_copy_range: AtomicBool::new(true),
        }
    }

    /// Copies all of `source` to the empty file `target`; `size_bytes` is what is expected. Returns
    /// how many bytes it has.
    pub(super) fn copy(&self, source: &File, target: &File, size_bytes: u64) -> io::Result<u64> {
        if size_bytes <= SMALL_BYTES {
            return copy_small(source, target, size_bytes);
        }
        if self.can_clone.load(Ordering::Relaxed) {
            match ioctl_ficlone(target, source) {
                Ok(()) => return Ok(size_bytes),
                Err(_) => self.can_clone.store(false, Ordering::Relaxed),
            }
        }
        let size = source.metadata()?.len();
        target.set_len(size)?;
        let mut at = 0;
        while at < size {
            let (start, end) = next_data(source, at, size);
            self.copy_range(source, target, (start, end))?;
            at = end;
        }
        Ok(size)
    }

    fn copy_range(&self, source: &File, target: &File, (start, end): (u64, u64)) -> io::Result<()> {
        let (mut from, mut to) = (start, start);
        while from < end && self.can_copy_range.load(Ordering::Relaxed) {
            let want = usize::try_from(end - from)
                .map_or(KERNEL_PIECE_BYTES, |left| left.min(KERNEL_PIECE_BYTES));
            match copy_file_range(source, Some(&mut from), target, Some(&mut to), want) {
                // The source became shorter.
                Ok(0) => return Ok(()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::XDEV | Errno::NOSYS | Errno::INVAL | Errno::OPNOTSUPP) => {
                    self.can_copy_range.store(false, Ordering::Relaxed);
                }
                Err(error) => return Err(error.into()),
            }
        }
        if from < end {
            seek(source, SeekFrom::Start(from))?;
            seek(target, SeekFrom::Start(from))?;
            io::copy(&mut source.take(end - from), &mut &*target)?;
        }
        Ok(())
    }
}

/// Returns the next stretch of data at or after `at`; an empty one at the end of the file.
fn next_data(file: &File, at: u64, size: u64) -> (u64, u64) {
    let start = match seek(file, SeekFrom::Data(at)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return (size, size),
        // Not every file system knows about holes.
        Err(_) => return (at, size),
    };
    let end = seek(file, SeekFrom::Hole(start)).unwrap_or(size);
    let start = start.min(size);
    (start, end.min(size).max(start))
}

fn copy_small(mut source: &File, mut target: &File, size_bytes: u64) -> io::Result<u64> {
    BUFFER.with_borrow_mut(|buffer| {
        // One byte more than expected, so that the end shows without another call.
        let len = usize::try_from(size_bytes).unwrap_or(0) + 1;
        if buffer.len() < len {
            buffer.resize(len, 0);
        }
        let mut total = 0;
        loop {
            let count = source.read(&mut buffer[..len])?;
            target.write_all(&buffer[..count])?;
            total += count as u64;
            if count == 0 || (count < len && total == size_bytes) {
                return Ok(total);
            }
        }
    })
}
