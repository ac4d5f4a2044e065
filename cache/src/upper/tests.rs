// SPDX-License-Identifier: Apache-2.0
//! Writes into a stack, seen through its view.

use std::path::Path;

use super::{Attributes, NewDir, WriteError};
use crate::testing::{is_root, listing, plant, snapshot, store, view_of};
use crate::{Owner, Upper};

#[test]
fn writes_go_to_the_upper_directory_and_are_seen() {
    if !is_root("overlay writes") {
        return;
    }
    let (_dir, store) = store();
    let base = snapshot(
        &store,
        None,
        &[
            ("usr/lib/a", "a"),
            ("lib", "-> usr/lib"),
            ("etc/x", "x"),
            ("data/old/1", "1"),
        ],
    );
    let active = store.prepare(Some(base)).unwrap();
    let upper = active.upper().unwrap();
    let plain = Attributes::default();
    upper.write_file(Path::new("/lib/b"), b"b", &plain).unwrap();
    upper.remove(Path::new("etc/x"), false).unwrap();
    upper.remove(Path::new("data/old"), false).unwrap();
    upper
        .make_dir(Path::new("data/old"), &NewDir::default(), false)
        .unwrap();
    upper
        .symlink(Path::new("ln"), Path::new("/etc"), &plain)
        .unwrap();
    upper
        .make_dir(Path::new("ln/deep/er"), &NewDir::default(), true)
        .unwrap();
    assert_eq!(
        listing(upper.view()),
        [
            "data/",
            "data/old/",
            "etc/",
            "etc/deep/",
            "etc/deep/er/",
            "lib -> usr/lib",
            "ln -> /etc",
            "usr/",
            "usr/lib/",
            "usr/lib/a=a",
            "usr/lib/b=b",
        ]
    );
    assert!(
        !active.upper_dir().join("lib").exists(),
        "the link is resolved, not copied up"
    );
    // Again from the disk: nothing depended on open handles.
    assert_eq!(listing(&view_of(&active)), listing(upper.view()));
}

#[test]
fn errors_name_what_is_in_the_way() {
    if !is_root("overlay writes") {
        return;
    }
    let (_dir, store) = store();
    let base = snapshot(&store, None, &[("dir/x", "x"), ("file", "f")]);
    let active = store.prepare(Some(base)).unwrap();
    let upper = active.upper().unwrap();
    let plain = Attributes::default();
    let error = upper.write_file(Path::new("dir"), b"", &plain).unwrap_err();
    assert!(matches!(error, WriteError::IsADirectory(_)), "{error}");
    let error = upper
        .make_dirs(Path::new("file/x"), &NewDir::default())
        .unwrap_err();
    assert!(matches!(error, WriteError::IsNotADirectory(_)), "{error}");
    let error = upper.remove(Path::new("none"), false).unwrap_err();
    assert!(matches!(error, WriteError::NotFound(_)), "{error}");
    upper.remove(Path::new("none"), true).unwrap();
    let error = upper.remove(Path::new("/"), false).unwrap_err();
    assert!(matches!(error, WriteError::Root), "{error}");
    let error = upper
        .make_dir(Path::new("dir"), &NewDir::default(), false)
        .unwrap_err();
    assert!(matches!(error, WriteError::File(_)), "{error}");
}

#[test]
fn directories_are_copied_up_with_their_attributes() {
    if !is_root("owners") {
        return;
    }
    let (_dir, store) = store();
    let active = store.prepare(None).unwrap();
    let upper = active.upper().unwrap();
    let new = NewDir {
        mode: 0o2750,
        owner: Owner { uid: 7, gid: 8 },
        mtime: Some(crate::Timestamp::from_secs(1000)),
    };
    upper.make_dir(Path::new("d"), &new, false).unwrap();
    let base = store.commit(active, None).unwrap();
    let active = store.prepare(Some(base)).unwrap();
    let upper = active.upper().unwrap();
    upper.make_dirs(Path::new("d"), &NewDir::default()).unwrap();
    let meta = upper.view().stat("d").unwrap().unwrap();
    assert_eq!((meta.mode, meta.owner), (0o2750, Owner { uid: 7, gid: 8 }));
    assert_eq!(meta.mtime.secs, 1000);
    assert!(active.upper_dir().join("d").is_dir());
}

#[test]
fn attributes_of_a_lower_file_are_changed_on_a_copy() {
    if !is_root("owners") {
        return;
    }
    let (_dir, store) = store();
    let base = snapshot(&store, None, &[("f", "content")]);
    let active = store.prepare(Some(base)).unwrap();
    let upper = active.upper().unwrap();
    let attributes = Attributes {
        mode: Some(0o600),
        owner: Some(Owner { uid: 3, gid: 4 }),
        ..Attributes::default()
    };
    upper.set_attributes(Path::new("f"), &attributes).unwrap();
    let meta = upper.view().stat("f").unwrap().unwrap();
    assert_eq!((meta.mode, meta.owner.uid), (0o600, 3));
    assert_eq!(upper.view().read("f", 100).unwrap().unwrap(), b"content");
    let below = store.view(base).unwrap();
    assert_eq!(below.stat("f").unwrap().unwrap().owner, Owner::ROOT);
}

#[test]
fn plain_directory_has_no_whiteouts() {
    let dir = tempfile::TempDir::new().unwrap();
    plant(dir.path(), &[("a/b", "1")]);
    let upper = Upper::plain(dir.path()).unwrap();
    upper.remove(Path::new("a"), false).unwrap();
    upper
        .write_file(Path::new("c"), b"2", &Attributes::default())
        .unwrap();
    assert_eq!(listing(upper.view()), ["c=2"]);
}

#[test]
fn rule_44_attributes_that_the_kernel_refuses_are_left_out() {
    let (_dir, store) = store();
    let active = store.prepare(None).unwrap();
    let upper = active.upper().unwrap();
    let attributes = |name: &[u8]| Attributes {
        mode: Some(0o600),
        xattrs: [(name.to_vec(), b"x".to_vec())].into(),
        ..Attributes::default()
    };
    upper
        .write_file(Path::new("a"), b"", &attributes(b"no-namespace.name"))
        .unwrap();
    // What is no refusal is not passed over.
    let too_long = [b"user.".as_slice(), &[b'n'; 300]].concat();
    upper
        .write_file(Path::new("b"), b"", &attributes(&too_long))
        .unwrap_err();
}
