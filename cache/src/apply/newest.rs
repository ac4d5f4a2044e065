// SPDX-License-Identifier: Apache-2.0
//! The time of an archive: that of its newest file.

use std::fs::File;
use std::io;

use super::{archive_reader, is_archive};
use crate::Timestamp;
use crate::tar::{TarKind, TarReader};

/// Returns the latest time of a regular file in the archive `file` (tar; plain, gzip, bzip2, xz or
/// zstd); none if it is no archive, or a damaged one, or holds no regular file.
///
/// # Errors
///
/// What reading `file` gave.
pub fn newest_file_time(mut file: File) -> io::Result<Option<Timestamp>> {
    if !is_archive(&mut file)? {
        return Ok(None);
    }
    let Ok(archive) = archive_reader(file) else {
        return Ok(None);
    };
    let mut tar = TarReader::new(io::BufReader::new(archive));
    let mut newest = None;
    loop {
        match tar.next_entry() {
            Ok(Some(entry)) if entry.kind == TarKind::File => {
                newest = newest.max(Some(entry.mtime));
            }
            Ok(Some(_)) => {}
            Ok(None) => return Ok(newest),
            Err(_) => return Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;
    use crate::file::XattrMap;
    use crate::tar::{EntryHead, TarWriter};

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.rewind().unwrap();
        file
    }

    fn archive(entries: &[(TarKind, &str, i64)]) -> Vec<u8> {
        let mut writer = TarWriter::new(Vec::new());
        for (kind, path, mtime) in entries {
            let head = EntryHead {
                path: path.as_bytes(),
                kind: *kind,
                mode: 0o644,
                owner: crate::Owner::ROOT,
                size_bytes: 0,
                mtime_secs: *mtime,
                link: b"",
                rdev: 0,
                xattrs: &XattrMap::new(),
            };
            writer.begin(&head).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn the_newest_regular_file_counts() {
        use TarKind::{Dir, File};
        for (rule, bytes, expected) in [
            (
                "files, not directories",
                archive(&[(Dir, "d/", 9), (File, "d/a", 3), (File, "d/b", 2)]),
                Some(3),
            ),
            ("no files", archive(&[(Dir, "d/", 9)]), None),
            ("no archive", b"FROM scratch\n".to_vec(), None),
            ("nothing", Vec::new(), None),
            (
                "damaged",
                [archive(&[(File, "a", 3)])[..512].to_vec(), vec![7; 512]].concat(),
                None,
            ),
        ] {
            let found = newest_file_time(file(&bytes)).unwrap();
            assert_eq!(found.map(|time| time.secs), expected, "{rule}");
        }
    }
}
