// SPDX-License-Identifier: Apache-2.0
//! Views of planted layers, compared with what overlayfs documents.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{Follow, OverlayForm, View, ViewError, WhiteoutForm, XattrNamespace};
use crate::file::open_path_dir;
use crate::testing::{is_root, listing, plant};
use crate::{Owner, resolve_owner};

fn layer(dir: &TempDir, name: &str, files: &[(&str, &str)]) -> PathBuf {
    let path = dir.path().join(name);
    std::fs::create_dir(&path).unwrap();
    plant(&path, files);
    path
}

fn form(whiteout: WhiteoutForm) -> OverlayForm {
    OverlayForm {
        namespace: XattrNamespace::Trusted,
        whiteout,
    }
}

#[test]
fn upper_entries_hide_lower_ones_and_directories_merge() {
    if !is_root("whiteouts") {
        return;
    }
    for whiteout in [WhiteoutForm::Device, WhiteoutForm::Xattr] {
        let form = form(whiteout);
        let dir = TempDir::new().unwrap();
        let lower = layer(
            &dir,
            "lower",
            &[
                ("both/a", "low a"),
                ("both/b", "low b"),
                ("gone", "x"),
                ("gone-dir/x", "x"),
                ("opaque/old", "x"),
                ("file-over-dir/x", "x"),
                ("dir-over-file", "x"),
            ],
        );
        let upper = layer(
            &dir,
            "upper",
            &[
                ("both/b", "up b"),
                ("both/c", "up c"),
                ("opaque/new", "y"),
                ("file-over-dir", "y"),
                ("dir-over-file/y", "y"),
                ("empty", ""),
            ],
        );
        let opaque = open_path_dir(&upper.join("opaque")).unwrap();
        form.make_opaque(&opaque).unwrap();
        let handle = open_path_dir(&upper).unwrap();
        for name in ["gone", "gone-dir"] {
            let handle = std::os::fd::AsFd::as_fd(&handle);
            form.make_whiteout(handle, name.as_ref()).unwrap();
        }
        let view = View::layers(&[upper, lower], form).unwrap();
        assert_eq!(
            listing(&view),
            [
                "both/",
                "both/a=low a",
                "both/b=up b",
                "both/c=up c",
                "dir-over-file/",
                "dir-over-file/y=y",
                "empty=",
                "file-over-dir=y",
                "opaque/",
                "opaque/new=y",
            ],
            "{whiteout:?}"
        );
        assert_eq!(view.stat("gone").unwrap(), None);
        assert_eq!(view.stat("gone-dir/x").unwrap(), None);
        assert_eq!(view.stat("opaque/old").unwrap(), None);
        assert_eq!(view.read("both/a", 10).unwrap().unwrap(), b"low a");
    }
}

#[test]
fn symlinks_are_resolved_inside_the_root() {
    let dir = TempDir::new().unwrap();
    let root = layer(
        &dir,
        "root",
        &[
            ("etc/passwd", "inside"),
            ("abs", "-> /etc/passwd"),
            ("up", "-> ../../../../etc/passwd"),
            ("etc/here", "-> passwd"),
            ("dir", "-> /etc"),
            ("chain", "-> abs"),
            ("loop", "-> loop"),
            ("dangling", "-> /nowhere/x"),
            ("dots", "-> etc/../etc/./here"),
            ("slash", "-> /"),
        ],
    );
    let view = View::directory(&root).unwrap();
    for (path, expected) in [
        ("abs", "/etc/passwd"),
        ("up", "/etc/passwd"),
        ("etc/here", "/etc/passwd"),
        ("dir/passwd", "/etc/passwd"),
        ("dir/../abs", "/etc/passwd"),
        ("chain", "/etc/passwd"),
        ("dots", "/etc/passwd"),
        ("../../etc/passwd", "/etc/passwd"),
        ("dangling", "/nowhere/x"),
        ("dangling/y", "/nowhere/x/y"),
        ("new/../x", "/x"),
        ("slash", "/"),
        ("slash/etc", "/etc"),
        ("dir", "/etc"),
        ("/", "/"),
    ] {
        let resolved = view.resolve(Path::new(path), Follow::All).unwrap();
        assert_eq!(resolved.path(), Path::new(expected), "{path}");
    }
    let error = view.resolve(Path::new("loop"), Follow::All).unwrap_err();
    assert!(matches!(error, ViewError::TooManySymlinks(_)));
    let error = view.resolve(Path::new("abs/x"), Follow::All).unwrap_err();
    assert!(matches!(error, ViewError::NotADirectory(_)));
    assert_eq!(view.stat("abs/x").unwrap(), None);
    let link = view.resolve(Path::new("dir"), Follow::Parents).unwrap();
    assert_eq!(link.path(), Path::new("/dir"));
    assert_eq!(
        view.read_link("abs").unwrap().unwrap(),
        Path::new("/etc/passwd")
    );
}

#[test]
fn owners_by_name_come_from_the_root_file_system() {
    // Observed: BuildKit, facts rules 47 and 48.
    let dir = TempDir::new().unwrap();
    let root = layer(
        &dir,
        "root",
        &[
            (
                "etc/passwd",
                "root:x:0:0::/:\nbob:x:1001:1002::/:\nbad:x:no\n",
            ),
            ("etc/group", "root:x:0:\nstaff:x:50:bob\n"),
        ],
    );
    let view = View::directory(&root).unwrap();
    for (text, uid, gid) in [
        ("bob", 1001, 1002),
        ("bob:staff", 1001, 50),
        ("bob:7", 1001, 7),
        ("5", 5, 5),
        ("5:6", 5, 6),
        ("5:staff", 5, 50),
        ("nobody-here", 0, 0),
        ("nobody-here:nogroup", 0, 0),
        ("bad", 0, 0),
        ("", 0, 0),
    ] {
        let owner = resolve_owner(&view, text).unwrap();
        assert_eq!(owner, Owner { uid, gid }, "{text:?}");
    }
    let empty = layer(&dir, "empty", &[]);
    let view = View::directory(&empty).unwrap();
    assert_eq!(resolve_owner(&view, "bob").unwrap(), Owner::ROOT);
}

#[test]
fn reading_is_limited_and_never_blocks() {
    let dir = TempDir::new().unwrap();
    let root = layer(&dir, "root", &[("big", "0123456789")]);
    rustix::fs::mknodat(
        rustix::fs::CWD,
        root.join("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let view = View::directory(&root).unwrap();
    assert_eq!(view.read("big", 10).unwrap().unwrap().len(), 10);
    let error = view.read("big", 9).unwrap_err();
    assert!(matches!(error, ViewError::TooLarge { bytes_max: 9, .. }));
    assert!(matches!(view.read("fifo", 9), Err(ViewError::NotAFile(_))));
    assert!(matches!(
        view.read_dir("big"),
        Err(ViewError::NotADirectory(_))
    ));
    assert!(view.read("none", 9).unwrap().is_none());
}
