// SPDX-License-Identifier: Apache-2.0
//! Layers written, read back, and checked with other people's programs.

use std::io::{Read, Write};
use std::num::NonZero;
use std::process::{Command, Stdio};

use super::{Compression, LayerBlob, LayerReader, LayerWriter, WriteLayerError};
use crate::sha256;

const ALL: [Compression; 4] = [
    Compression::None,
    Compression::Gzip { level: 1 },
    Compression::Gzip { level: 6 },
    Compression::Zstd { level: 3 },
];

/// Bytes that compress, but not into nothing.
fn sample(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            b'a' + u8::try_from(state >> 28).unwrap()
        })
        .collect()
}

fn write(bytes: &[u8], compression: Compression, threads: usize) -> (Vec<u8>, LayerBlob) {
    let threads = NonZero::new(threads).unwrap();
    let mut writer = LayerWriter::new(Vec::new(), compression, threads).unwrap();
    for piece in bytes.chunks(70_001) {
        writer.write_all(piece).unwrap();
    }
    writer.finish().unwrap()
}

#[test]
fn blob_reads_back_and_both_digests_are_right() {
    for len in [0, 1, 1 << 20, (1 << 20) + 1, 4_300_000] {
        let tar = sample(len);
        for compression in ALL {
            let (bytes, blob) = write(&tar, compression, 2);
            assert_eq!(blob.digest, sha256(&bytes), "{compression:?} {len}");
            assert_eq!(blob.diff_id.0, sha256(&tar), "{compression:?} {len}");
            assert_eq!(blob.size_bytes, bytes.len() as u64);
            assert_eq!(blob.tar_bytes, len as u64);
            let mut reader = LayerReader::new(std::io::Cursor::new(bytes)).unwrap();
            let mut back = Vec::new();
            reader.read_to_end(&mut back).unwrap();
            assert!(back == tar, "{compression:?} {len}");
            assert_eq!(reader.finish().unwrap(), blob.diff_id);
        }
    }
}

#[test]
fn number_of_threads_does_not_change_the_blob() {
    let tar = sample(4_300_000);
    for compression in ALL {
        let (_, one) = write(&tar, compression, 1);
        for threads in [2, 3, 8] {
            assert_eq!(write(&tar, compression, threads).1, one, "{compression:?}");
        }
    }
}

#[test]
fn other_programs_read_the_blob() {
    let tar = sample(3_000_000);
    for (program, compression) in [
        ("gzip", Compression::default()),
        ("zstd", Compression::Zstd { level: 3 }),
        ("python3", Compression::default()),
    ] {
        let arguments: &[&str] = match program {
            "python3" => &[
                "-c",
                "import gzip,sys; sys.stdout.buffer.write(gzip.decompress(sys.stdin.buffer.read()))",
            ],
            _ => &["-dc"],
        };
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let Ok(mut child) = child else {
            println!("skipped: no {program}");
            continue;
        };
        let (bytes, _) = write(&tar, compression, 2);
        let mut stdin = child.stdin.take().unwrap();
        let feeder = std::thread::spawn(move || stdin.write_all(&bytes).unwrap());
        let output = child.wait_with_output().unwrap();
        feeder.join().unwrap();
        assert!(output.stdout == tar, "{program}");
    }
}

#[test]
fn damaged_blobs_are_errors() {
    let tar = sample(2_500_000);
    for compression in &ALL[1..] {
        let (bytes, _) = write(&tar, *compression, 1);
        for (damage, bytes) in [
            ("cut off", bytes[..bytes.len() - 5].to_vec()),
            ("flipped", {
                let mut flipped = bytes.clone();
                let middle = flipped.len() / 2;
                flipped[middle] ^= 0x55;
                flipped
            }),
        ] {
            let mut reader = LayerReader::new(std::io::Cursor::new(bytes)).unwrap();
            let mut back = Vec::new();
            let read = reader.read_to_end(&mut back).is_ok();
            // A flipped literal of zstd without a checksum reads as other bytes: the diff ID tells.
            assert!(!read || back != tar, "{damage} {compression:?}");
        }
    }
}

#[test]
fn failing_sink_is_reported() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    for len in [10, 20_000_000] {
        let threads = NonZero::new(2).unwrap();
        let mut writer = LayerWriter::new(Full, Compression::None, threads).unwrap();
        let written = writer.write_all(&vec![0; len]);
        assert!(written.is_ok() || len > 10);
        assert!(matches!(writer.finish(), Err(WriteLayerError::Sink(_))));
    }
}

#[test]
fn unknown_levels_are_refused() {
    let threads = NonZero::new(1).unwrap();
    for compression in [
        Compression::Gzip { level: 13 },
        Compression::Zstd { level: 0 },
        Compression::Zstd { level: 23 },
    ] {
        assert!(LayerWriter::new(Vec::new(), compression, threads).is_err());
    }
}
