// SPDX-License-Identifier: Apache-2.0
//! What changes a checksum and what does not.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

use super::{ContentDigest, ContentIndex, ContentSelector};
use crate::testing::{is_root, plant, snapshot, store};
use crate::{Source, SourceOwners, Timestamp, Verdict, View};

fn source(view: &View) -> Source<'_> {
    Source {
        view,
        filter: None,
        owners: SourceOwners::Root,
    }
}

fn of(root: &Path, path: &str) -> ContentDigest {
    let view = View::directory(root).unwrap();
    ContentIndex::new(source(&view))
        .checksum(&ContentSelector::new(Path::new(path)))
        .unwrap()
}

const TREE: &[(&str, &str)] = &[
    ("a", "A"),
    ("d/x", "X"),
    ("d/sub/y", "Y"),
    ("d/link", "-> x"),
    ("to-d", "-> d"),
    ("same", "A"),
];

#[test]
fn checksum_changes_with_what_is_copied() {
    // Facts §1.14; rules 104 to 106.
    let tree = TempDir::new().unwrap();
    plant(tree.path(), TREE);
    let root = tree.path();
    let all = || (of(root, "."), of(root, "a"), of(root, "d"));
    let before = all();
    let file = |path: &str| {
        fs::File::options()
            .append(true)
            .open(root.join(path))
            .unwrap()
    };
    crate::file::set_times(file("a"), Timestamp::from_secs(5)).unwrap();
    assert_eq!(all(), before, "times do not count");
    fs::set_permissions(root.join("a"), fs::Permissions::from_mode(0o600)).unwrap();
    let after = all();
    assert!(
        after.0 != before.0 && after.1 != before.1 && after.2 == before.2,
        "modes do"
    );
    fs::write(root.join("d/sub/y"), "Z").unwrap();
    assert_ne!(of(root, "d"), before.2, "bytes do");
    fs::write(root.join("d/sub/y"), "Y").unwrap();
    assert_eq!(of(root, "d"), before.2, "and come back");
    fs::rename(root.join("d/x"), root.join("d/renamed")).unwrap();
    assert_ne!(of(root, "d"), before.2, "names inside do");
    fs::rename(root.join("d/renamed"), root.join("d/x")).unwrap();
    fs::create_dir(root.join("d/empty")).unwrap();
    assert_ne!(of(root, "d"), before.2, "empty directories do");
    fs::remove_dir(root.join("d/empty")).unwrap();
    fs::remove_file(root.join("d/link")).unwrap();
    std::os::unix::fs::symlink("y", root.join("d/link")).unwrap();
    assert_ne!(of(root, "d"), before.2, "link targets do");
}

#[test]
fn names_count_only_for_patterns() {
    let tree = TempDir::new().unwrap();
    plant(tree.path(), TREE);
    let root = tree.path();
    assert_eq!(
        of(root, "a"),
        of(root, "same"),
        "106: one literal file has no name"
    );
    assert_ne!(
        of(root, "a*"),
        of(root, "sam*"),
        "106: what a pattern matches has"
    );
    assert_eq!(of(root, "to-d"), of(root, "d"), "a named link is followed");
    assert_eq!(of(root, "none*"), of(root, "nothing*"));
    let view = View::directory(root).unwrap();
    let index = ContentIndex::new(source(&view));
    assert!(
        index
            .checksum(&ContentSelector::new(Path::new("none")))
            .is_err()
    );
    let whole = ContentSelector {
        contents_only: false,
        ..ContentSelector::new(Path::new("d"))
    };
    let before = index.checksum(&whole).unwrap();
    fs::set_permissions(root.join("d"), fs::Permissions::from_mode(0o700)).unwrap();
    let view = View::directory(root).unwrap();
    let index = ContentIndex::new(source(&view));
    assert_ne!(index.checksum(&whole).unwrap(), before);
    let inside = ContentSelector::new(Path::new("d"));
    assert_eq!(index.checksum(&inside).unwrap(), of(root, "d"));
}

#[test]
fn filtered_files_do_not_count() {
    let tree = TempDir::new().unwrap();
    plant(tree.path(), TREE);
    let root = tree.path();
    let ignore = |path: &Path, _: bool| match path.to_str() {
        Some(path) if path.starts_with("d/sub") => Verdict::Skip,
        _ => Verdict::Take,
    };
    let filtered = || {
        let view = View::directory(root).unwrap();
        let source = Source {
            filter: Some(&ignore),
            ..source(&view)
        };
        let index = ContentIndex::new(source);
        index
            .checksum(&ContentSelector::new(Path::new(".")))
            .unwrap()
    };
    let (before, plain) = (filtered(), of(root, "."));
    assert_ne!(before, plain);
    fs::write(root.join("d/sub/y"), "changed").unwrap();
    assert_eq!(filtered(), before, "105: ignored files do not count");
    assert_ne!(of(root, "."), plain);
}

#[test]
fn owners_count_in_snapshots_only() {
    if !is_root("owners") {
        return;
    }
    let tree = TempDir::new().unwrap();
    plant(tree.path(), TREE);
    let checksum = |owners| {
        let view = View::directory(tree.path()).unwrap();
        let source = Source {
            owners,
            ..source(&view)
        };
        let index = ContentIndex::new(source);
        index
            .checksum(&ContentSelector::new(Path::new("a")))
            .unwrap()
    };
    let before = (checksum(SourceOwners::Root), checksum(SourceOwners::Kept));
    std::os::unix::fs::chown(tree.path().join("a"), Some(7), Some(7)).unwrap();
    assert_eq!(checksum(SourceOwners::Root), before.0);
    assert_ne!(checksum(SourceOwners::Kept), before.1);
}

#[test]
fn layers_count_as_what_they_show() {
    let (_dir, store) = store();
    let one = snapshot(&store, None, &[("d/a", "1"), ("d/b", "2")]);
    let base = snapshot(&store, None, &[("d/a", "old"), ("d/b", "2")]);
    let two = snapshot(&store, Some(base), &[("d/a", "1")]);
    let checksum = |id| {
        let view = store.view(id).unwrap();
        let index = ContentIndex::new(source(&view));
        index
            .checksum(&ContentSelector::new(Path::new("d")))
            .unwrap()
    };
    assert_eq!(checksum(one), checksum(two), "107");
}

#[test]
fn remembered_files_are_not_read_again_and_changed_ones_are() {
    let (_dir, store) = store();
    let tree = TempDir::new().unwrap();
    plant(tree.path(), TREE);
    std::thread::sleep(std::time::Duration::from_millis(40));
    let checksum = |hint: &str| {
        let view = View::directory(tree.path()).unwrap();
        let index = ContentIndex::remembered(&store, "tree", source(&view)).unwrap();
        let digest = index
            .checksum(&ContentSelector::new(Path::new(".")))
            .unwrap();
        let read = index.cache.lock().unwrap().inserted();
        index.save().unwrap();
        (digest, format!("{hint}: {read} read"))
    };
    let first = checksum("first");
    assert_eq!(first.1, "first: 6 read");
    let second = checksum("second");
    assert_eq!((second.0, second.1.as_str()), (first.0, "second: 0 read"));
    assert_eq!(first.0, of(tree.path(), "."), "the memory changes nothing");
    // Same size, and the old time put back: the change time tells.
    let path = tree.path().join("a");
    let old = fs::metadata(&path).unwrap().modified().unwrap();
    fs::write(&path, "B").unwrap();
    fs::File::options()
        .append(true)
        .open(&path)
        .unwrap()
        .set_modified(old)
        .unwrap();
    let third = checksum("third");
    assert_ne!(third.0, first.0);
    assert_eq!(third.0, of(tree.path(), "."));
}
