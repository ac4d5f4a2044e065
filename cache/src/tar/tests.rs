// SPDX-License-Identifier: Apache-2.0
//! Headers that two programs could read differently, limits, and garbage.

use std::io::Cursor;

use proptest::prelude::*;

use super::header::{self, Block};
use super::{BLOCK_BYTES, EntryHead, TarError, TarKind, TarReader, TarWriter};
use crate::Owner;
use crate::file::XattrMap;

fn raw(name: &str, type_flag: u8, size: u64) -> Block {
    let mut block = [0; BLOCK_BYTES];
    header::NAME.set_text(&mut block, name.as_bytes());
    for field in [header::MODE, header::UID, header::GID, header::MTIME] {
        field.set_number(&mut block, 0);
    }
    header::SIZE.set_number(&mut block, size);
    block[header::TYPE] = type_flag;
    seal(&mut block);
    block
}

fn seal(block: &mut Block) {
    let sum = format!("{:06o}\0 ", header::checksum(block));
    header::CHECKSUM.set_text(block, sum.as_bytes());
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut padded = bytes.to_vec();
    padded.resize(bytes.len().next_multiple_of(BLOCK_BYTES), 0);
    padded
}

fn extended(records: &[u8]) -> Vec<u8> {
    let mut bytes = raw("pax", b'x', records.len() as u64).to_vec();
    bytes.extend(padded(records));
    bytes
}

/// The names and sizes of all entries.
fn read(bytes: Vec<u8>) -> Result<Vec<(String, u64)>, TarError> {
    let mut reader = TarReader::new(Cursor::new(bytes));
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        let name = String::from_utf8_lossy(&entry.path).into_owned();
        entries.push((name, entry.size_bytes));
    }
    Ok(entries)
}

#[test]
fn pax_size_wins_and_nothing_is_smuggled() {
    // CVE-2025-62518: with the header's size, the content would be read as further entries.
    let hidden = raw("smuggled", b'0', 0);
    let mut bytes = extended(b"12 size=512\n");
    bytes.extend(raw("outer", b'0', 0));
    bytes.extend(hidden);
    bytes.extend([0; 1024]);
    assert_eq!(read(bytes).unwrap(), [("outer".to_owned(), 512)]);
}

#[test]
fn malformed_archives_are_refused() {
    let file = || raw("f", b'0', 0).to_vec();
    let then_file = |mut bytes: Vec<u8>| {
        bytes.extend(file());
        bytes
    };
    let mut bad_sum = file();
    bad_sum[0] ^= 1;
    let mut bad_size = raw("f", b'0', 0);
    header::SIZE.set_text(&mut bad_size, b"12x45678901\0");
    seal(&mut bad_size);
    let mut negative = raw("f", b'0', 0);
    negative[header::SIZE.0..header::SIZE.0 + 12].fill(0xff);
    seal(&mut negative);
    for (rule, bytes) in [
        ("the checksum is right", bad_sum),
        ("a size is a number", bad_size.to_vec()),
        ("a size is not negative", negative.to_vec()),
        (
            "a record has its length",
            then_file(extended(b"99 path=x\n")),
        ),
        (
            "a record has an equals sign",
            then_file(extended(b"7 path\n")),
        ),
        (
            "a record ends in a newline",
            then_file(extended(b"9 path=xx")),
        ),
        ("a path has no NUL", then_file(extended(b"11 path=a\0b\n"))),
        ("a size is decimal", then_file(extended(b"10 size=0x1\n"))),
        (
            "one extended header an entry",
            then_file([extended(b""), extended(b"")].concat()),
        ),
        (
            "an extended header is about something",
            extended(b"10 path=xx\n"),
        ),
        ("an unknown type is refused", raw("f", b'Z', 0).to_vec()),
        ("a global header gives no path", {
            let mut bytes = raw("g", b'g', 10).to_vec();
            bytes.extend(padded(b"10 path=x\n"));
            then_file(bytes)
        }),
        (
            "one zero block is not an end",
            [vec![0; 512], file()].concat(),
        ),
        ("a block is whole", file()[..300].to_vec()),
    ] {
        let result = read(bytes);
        assert!(result.is_err(), "{rule}: {result:?}");
    }
}

#[test]
fn bombs_hit_a_limit() {
    let mut huge = raw("f", b'0', 0);
    header::SIZE.set_text(&mut huge, &[0x80, 0, 0, 0, 0x7f, 0, 0, 0, 0, 0, 0, 0]);
    seal(&mut huge);
    let mut long = raw("long", b'L', 5000).to_vec();
    long.extend(padded(&[b'x'; 5000]));
    long.extend(raw("f", b'0', 0));
    let sparse =
        b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n37 GNU.sparse.realsize=1099511627776\n";
    let mut hole = extended(sparse);
    hole.extend(raw("f", b'0', 512));
    hole.extend(padded(b"0\n"));
    for (bomb, bytes) in [
        ("a file of many terabytes", huge.to_vec()),
        (
            "an extended header of megabytes",
            raw("x", b'x', 2 << 20).to_vec(),
        ),
        ("a path of 5000 bytes", long),
        ("a hole of a terabyte", hole),
    ] {
        let result = read(bytes);
        assert!(
            matches!(result, Err(TarError::Limit { .. })),
            "{bomb}: {result:?}"
        );
    }
}

#[test]
fn numbers_in_headers() {
    for (text, expected) in [
        (&b"0000644\0"[..], Some(0o644)),
        (b"    644 ", Some(0o644)),
        (b"644\0\0\0\0\0", Some(0o644)),
        (b"\0\0\0\0\0\0\0\0", Some(0)),
        (b"        ", Some(0)),
        (b"12 34\0\0\0", None),
        (b"0000089\0", None),
        (b"\x80\0\0\0\0\0\x01\0", Some(256)),
        (b"\xff\xff\xff\xff\xff\xff\xff\xff", Some(-1)),
        (b"\xff\xff\xff\xff\xff\xff\xff\0", Some(-256)),
    ] {
        let mut block = [0; BLOCK_BYTES];
        header::MODE.set_text(&mut block, text);
        assert_eq!(header::MODE.number(&block), expected, "{text:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn garbage_never_panics(mut bytes in prop::collection::vec(any::<u8>(), 0..3000), fix: bool) {
        if fix {
            for block in bytes.chunks_exact_mut(BLOCK_BYTES) {
                seal(block.try_into().unwrap());
            }
        }
        drop(read(bytes));
    }

    #[test]
    fn what_is_written_is_read(
        path in "[a-zö/]{1,300}",
        link in "[a-zö/]{1,300}",
        uid: u32,
        gid: u32,
        mtime in -5_000_000_000_i64..20_000_000_000,
        mode in 0_u32..0o10000,
        value in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let xattrs = XattrMap::from([(b"security.capability".to_vec(), value)]);
        let head = EntryHead {
            path: path.as_bytes(),
            kind: TarKind::Symlink,
            mode,
            owner: Owner { uid, gid },
            size_bytes: 0,
            mtime_secs: mtime,
            link: link.as_bytes(),
            rdev: 0,
            xattrs: &xattrs,
        };
        let mut writer = TarWriter::new(Vec::new());
        writer.begin(&head).unwrap();
        let bytes = writer.finish().unwrap();
        let entry = TarReader::new(Cursor::new(bytes)).next_entry().unwrap().unwrap();
        prop_assert_eq!(entry.path, path.as_bytes());
        prop_assert_eq!(entry.link, link.as_bytes());
        prop_assert_eq!(entry.owner, Owner { uid, gid });
        prop_assert_eq!((entry.mtime.secs, entry.mode), (mtime, mode));
        prop_assert_eq!(entry.xattrs, xattrs);
    }
}
