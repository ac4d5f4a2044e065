// SPDX-License-Identifier: Apache-2.0
//! Archives, honest and hostile.

use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::{ApplyError, UnpackOptions, apply_layer, unpack_archive};
use crate::file::XattrMap;
use crate::tar::{EntryHead, TarError, TarKind, TarWriter};
use crate::testing::{exact_listing, is_root, listing, plant, snapshot, store};
use crate::{Owner, Store, Upper, View};

/// `(path, kind, link or content)`.
type Planned<'a> = (&'a str, TarKind, &'a str);

/// What it tries, the archive, and the tree it may give; `None` if it is refused.
type Attack<'a> = (&'a str, Vec<Planned<'a>>, Option<Vec<&'a str>>);

fn tar(entries: &[Planned<'_>]) -> Vec<u8> {
    let mut writer = TarWriter::new(Vec::new());
    let none = XattrMap::new();
    for (path, kind, text) in entries {
        let is_file = *kind == TarKind::File;
        writer
            .begin(&EntryHead {
                path: path.as_bytes(),
                kind: *kind,
                mode: 0o755,
                owner: Owner::ROOT,
                size_bytes: if is_file { text.len() as u64 } else { 0 },
                mtime_secs: 1000,
                link: if is_file { b"" } else { text.as_bytes() },
                rdev: 0,
                xattrs: &none,
            })
            .unwrap();
        if is_file {
            writer.sink().write_all(text.as_bytes()).unwrap();
        }
    }
    writer.finish().unwrap()
}

fn apply(store: &Store, bytes: Vec<u8>) -> Result<Vec<String>, ApplyError> {
    let active = store.prepare(None).unwrap();
    apply_layer(Cursor::new(bytes), &active.upper().unwrap())?;
    let id = store.commit(active, None).unwrap();
    Ok(listing(&store.view(id).unwrap()))
}

#[expect(clippy::too_many_lines, reason = "a table of attacks")]
#[test]
fn hostile_archives_stay_inside_or_are_refused() {
    use TarKind::{CharDevice, Dir, File, HardLink, Symlink};
    if !is_root("devices") {
        return;
    }
    let (dir, store) = store();
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    let target = outside.to_str().unwrap();
    let secret = format!("{target}/secret");
    let up = "../".repeat(20) + &secret[1..];
    let cases: &[Attack<'_>] = &[
        ("`..` at the start", vec![("../x", File, "x")], None),
        ("`..` in the middle", vec![("a/../../x", File, "x")], None),
        (
            "an absolute name is inside",
            vec![("/x", File, "x")],
            Some(vec!["x=x"]),
        ),
        (
            "a symlink to the outside as parent leads inside",
            vec![("d", Symlink, "/only/inside"), ("d/x", File, "x")],
            Some(vec![
                "d -> /only/inside",
                "only/",
                "only/inside/",
                "only/inside/x=x",
            ]),
        ),
        (
            "a hard link to the outside",
            vec![("h", HardLink, &secret)],
            None,
        ),
        ("a hard link upwards", vec![("h", HardLink, &up)], None),
        (
            "a hard link through a symlink",
            vec![("d", Symlink, target), ("h", HardLink, "d/secret")],
            None,
        ),
        (
            "a hard link to a directory",
            vec![("d/", Dir, ""), ("h", HardLink, "d")],
            None,
        ),
        (
            "a hard link to itself is nothing",
            vec![("f", File, "f"), ("f", HardLink, "f")],
            Some(vec!["f=f"]),
        ),
        (
            "a file replaces a symlink, not its target",
            vec![("l", Symlink, &secret), ("l", File, "new")],
            Some(vec!["l=new"]),
        ),
        (
            "a directory replaces a symlink, not its target",
            vec![("l", Symlink, target), ("l/", Dir, ""), ("l/x", File, "x")],
            Some(vec!["l/", "l/x=x"]),
        ),
        (
            "a whiteout of the parent",
            vec![("a/.wh...", File, "")],
            None,
        ),
        ("a whiteout of nothing", vec![(".wh.", File, "")], None),
        (
            "a whiteout after an escape",
            vec![("a/../../.wh.x", File, "")],
            None,
        ),
        (
            "a file replaces a directory",
            vec![("d/x/y", File, "y"), ("d", File, "f")],
            Some(vec!["d=f"]),
        ),
        (
            "a device that would be a whiteout",
            vec![("w", CharDevice, "")],
            Some(vec![]),
        ),
        ("the root as a file", vec![(".", File, "")], None),
        ("an empty archive", vec![], Some(vec![])),
    ];
    for (attack, entries, expected) in cases {
        let result = apply(&store, tar(entries));
        match expected {
            Some(expected) => assert_eq!(&result.unwrap(), expected, "{attack}"),
            None => assert!(result.is_err(), "{attack}: {result:?}"),
        }
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "{attack}");
        assert_eq!(
            fs::read(outside.join("secret")).unwrap(),
            b"secret",
            "{attack}"
        );
    }
}

#[test]
fn whiteouts_hide_lower_layers_only() {
    use TarKind::{Dir, File};
    if !is_root("whiteouts") {
        return;
    }
    let (_dir, store) = store();
    let base = snapshot(
        &store,
        None,
        &[("a", "1"), ("d/x", "1"), ("o/x", "1"), ("o/y", "1")],
    );
    let active = store.prepare(Some(base)).unwrap();
    let bytes = tar(&[
        (".wh.a", File, ""),
        ("d", File, "now a file"),
        ("o/", Dir, ""),
        ("o/new", File, "n"),
        ("o/.wh..wh..opq", File, ""),
        ("new", File, "n"),
        (".wh.new", File, ""),
        (".wh..wh.plnk", Dir, ""),
    ]);
    apply_layer(Cursor::new(bytes), &active.upper().unwrap()).unwrap();
    let id = store.commit(active, None).unwrap();
    assert_eq!(
        listing(&store.view(id).unwrap()),
        ["d=now a file", "new=n", "o/", "o/new=n"]
    );
}

#[test]
fn names_resolve_through_the_symlinks_of_lower_layers() {
    let (_dir, store) = store();
    let base = snapshot(&store, None, &[("usr/lib/a", "1"), ("lib", "-> usr/lib")]);
    let active = store.prepare(Some(base)).unwrap();
    let bytes = tar(&[
        ("lib/b", TarKind::File, "2"),
        ("h", TarKind::HardLink, "lib/a"),
    ]);
    apply_layer(Cursor::new(bytes), &active.upper().unwrap()).unwrap();
    let id = store.commit(active, None).unwrap();
    assert_eq!(
        listing(&store.view(id).unwrap()),
        [
            "h=1",
            "lib -> usr/lib",
            "usr/",
            "usr/lib/",
            "usr/lib/a=1",
            "usr/lib/b=2"
        ]
    );
}

#[test]
fn truncated_archives_are_errors() {
    let (_dir, store) = store();
    let whole = tar(&[
        ("a", TarKind::File, "some text"),
        ("b", TarKind::File, "more"),
    ]);
    for cut in [100, 511, 513, 520, 1023, 1030, 1536, 1540] {
        let result = apply(&store, whole[..cut].to_vec());
        let is_truncated = matches!(
            result,
            Err(ApplyError::Tar(
                TarError::Truncated { .. } | TarError::Malformed { .. }
            ))
        );
        assert!(is_truncated || cut % 512 == 0, "{cut}: {result:?}");
    }
}

#[test]
fn diff_id_covers_the_uncompressed_bytes() {
    let (_dir, store) = store();
    let mut bytes = tar(&[("a", TarKind::File, "text")]);
    // What follows the end of the archive counts too.
    bytes.extend_from_slice(&[0; 9000]);
    let active = store.prepare(None).unwrap();
    let applied = apply_layer(Cursor::new(bytes.clone()), &active.upper().unwrap()).unwrap();
    assert_eq!(applied.diff_id.0, oci::sha256(&bytes));
    assert_eq!((applied.entries, applied.unpacked_bytes), (1, 4));
}

/// A tree with everything that archives have, made by GNU tar in every format it has.
#[test]
fn archives_of_gnu_tar_unpack_as_gnu_tar_does() {
    if !is_root("owners") {
        return;
    }
    let dir = TempDir::new().unwrap();
    let tree = dir.path().join("tree");
    let long = format!("{}/{}", "n".repeat(90), "m".repeat(150));
    plant(
        &tree,
        &[
            ("a/b", "text"),
            ("link", "-> a/b"),
            (&long, "x"),
            ("a/empty/", ""),
        ],
    );
    std::os::unix::fs::symlink("t".repeat(200), tree.join("long")).unwrap();
    fs::hard_link(tree.join("a/b"), tree.join("hard")).unwrap();
    let mut sparse = fs::File::create(tree.join("sparse")).unwrap();
    for offset in [0, 1 << 20, 5 << 20] {
        std::io::Seek::seek(&mut sparse, std::io::SeekFrom::Start(offset)).unwrap();
        sparse.write_all(b"data").unwrap();
    }
    sparse.set_len(9 << 20).unwrap();
    std::os::unix::fs::chown(tree.join("a"), Some(5), Some(3_000_000)).unwrap();
    for flags in [
        &["--format=gnu"][..],
        &["--format=gnu", "-S"],
        &["--format=pax"],
        &["--format=pax", "-S", "--sparse-version=0.0"],
        &["--format=pax", "-S", "--sparse-version=0.1"],
        &["--format=pax", "-S", "--sparse-version=1.0"],
        &["--format=gnu", "-z"],
        &["--format=gnu", "--bzip2"],
        &["--format=gnu", "--xz"],
        &["--format=gnu", "--zstd"],
    ] {
        let archive = dir.path().join("archive");
        let made = Command::new("tar")
            .args(flags)
            .arg("-cf")
            .arg(&archive)
            .arg("-C")
            .arg(&tree)
            .arg(".")
            .status()
            .unwrap();
        assert!(made.success(), "{flags:?}");
        let out = dir.path().join("out");
        fs::create_dir(&out).unwrap();
        let target = Upper::plain(&out).unwrap();
        let file = fs::File::open(&archive).unwrap();
        unpack_archive(file, &target, Path::new("/"), UnpackOptions::default()).unwrap();
        assert_eq!(
            exact_listing(&View::directory(&out).unwrap()),
            exact_listing(&View::directory(&tree).unwrap()),
            "{flags:?}"
        );
        fs::remove_dir_all(&out).unwrap();
    }
}

#[test]
fn archives_are_told_by_their_content() {
    let dir = TempDir::new().unwrap();
    let plain = tar(&[("a", TarKind::File, "x")]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let gzip = gzip.finish().unwrap();
    let mut other = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    other.write_all(&[b'x'; 5000]).unwrap();
    for (what, bytes, expected) in [
        ("plain tar", plain.clone(), true),
        ("gzip", gzip.clone(), true),
        ("gzip of something else", other.finish().unwrap(), false),
        ("an empty tar", vec![0; 1024], false),
        ("nothing", vec![], false),
        ("text", b"hello".to_vec(), false),
        ("cut gzip", gzip[..20].to_vec(), false),
    ] {
        let path = dir.path().join("file");
        fs::write(&path, bytes).unwrap();
        let mut file = fs::File::open(&path).unwrap();
        assert_eq!(super::is_archive(&mut file).unwrap(), expected, "{what}");
    }
}
