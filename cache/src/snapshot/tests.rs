// SPDX-License-Identifier: Apache-2.0
//! The life of snapshots, in one process and after its death.

use std::fs;
use std::path::Path;

use oci::{ChainId, sha256};

use super::{SnapshotError, SnapshotId};
use crate::testing::{listing, reopen, snapshot, store};
use crate::{CacheKey, PruneRequest, Record};

#[test]
fn committed_snapshot_survives_and_active_does_not() {
    let (dir, store) = store();
    let base = snapshot(&store, None, &[("a", "1")]);
    let child = snapshot(&store, Some(base), &[("b", "2")]);
    let active = store.prepare(Some(child)).unwrap();
    assert!(active.upper_dir().is_dir() && active.work_dir().is_dir());
    assert_eq!(active.lowers().len(), 2);
    let aborted = active.id();
    active.abort();
    drop(store);
    let store = reopen(dir.path(), "boot-1");
    assert_eq!(listing(&store.view(child).unwrap()), ["a=1", "b=2"]);
    assert!(matches!(
        store.snapshot(aborted),
        Err(SnapshotError::NotFound(_))
    ));
    let names: Vec<_> = fs::read_dir(dir.path().join("root/snapshots"))
        .unwrap()
        .collect();
    assert_eq!(names.len(), 2);
    assert!(
        !dir.path()
            .join(format!("root/snapshots/{child}/work"))
            .exists()
    );
}

#[test]
fn what_a_killed_process_left_is_swept() {
    let (dir, store) = store();
    let active = store.prepare(None).unwrap();
    let stray = dir.path().join(format!("root/snapshots/{}", active.id()));
    // A second process sees the lock of the first.
    drop(reopen(dir.path(), "boot-1"));
    assert!(stray.exists());
    // As kill -9 leaves it: no drop, but the lock gone. The owner file of a copy is unlocked.
    let copy = dir.path().join("root/snapshots/00000000000000aa");
    fs::create_dir_all(copy.join("fs/deep")).unwrap();
    fs::write(copy.join("owner"), "").unwrap();
    let unowned = dir.path().join("root/snapshots/00000000000000ab");
    fs::create_dir_all(unowned.join("fs")).unwrap();
    let store = reopen(dir.path(), "boot-1");
    assert!(!copy.exists() && !unowned.exists() && stray.exists());
    store.empty_trash().unwrap();
    assert_eq!(fs::read_dir(store.trash_dir()).unwrap().count(), 0);
}

#[test]
fn unsynced_snapshots_are_dropped_after_a_reboot() {
    let (dir, store) = store();
    let synced = snapshot(&store, None, &[("a", "1")]);
    store.sync().unwrap();
    let unsynced = snapshot(&store, Some(synced), &[("b", "2")]);
    let key = CacheKey::of("test", &[b"k"]);
    let record = Record {
        snapshot: Some(unsynced),
        bytes: vec![1],
    };
    store.put(&key, &record).unwrap();
    drop(store);
    let store = reopen(dir.path(), "boot-1");
    assert!(store.snapshot(unsynced).is_ok(), "the same boot");
    drop(store);
    let store = reopen(dir.path(), "boot-2");
    assert!(store.snapshot(synced).is_ok());
    assert!(matches!(
        store.snapshot(unsynced),
        Err(SnapshotError::NotFound(_))
    ));
    assert_eq!(store.get(&key).unwrap(), None);
}

#[test]
fn chains_are_found_and_unpacked_once() {
    let (_dir, store) = store();
    let chain = ChainId(sha256(b"chain"));
    assert_eq!(store.by_chain_id(&chain).unwrap(), None);
    let (first, second) = (store.prepare(None).unwrap(), store.prepare(None).unwrap());
    let second_dir = second.upper_dir().to_owned();
    let id = store.commit(first, Some(&chain)).unwrap();
    assert_eq!(store.commit(second, Some(&chain)).unwrap(), id);
    assert!(!second_dir.exists(), "the second is dropped");
    assert_eq!(store.by_chain_id(&chain).unwrap(), Some(id));
}

#[test]
fn merge_stacks_without_copying() {
    let (_dir, store) = store();
    let base = snapshot(&store, None, &[("a", "base"), ("b", "base")]);
    let link = snapshot(&store, None, &[("b", "link"), ("c", "link")]);
    let merged = store.merge(&[base, link]).unwrap();
    assert_eq!(
        listing(&store.view(merged).unwrap()),
        ["a=base", "b=link", "c=link"]
    );
    let again = store.merge(&[merged, link]).unwrap();
    assert_eq!(
        store.snapshot(again).unwrap().layers,
        [link, base],
        "a layer counts once"
    );
    let without = store.without_top(merged, 1).unwrap();
    assert_eq!(listing(&store.view(without).unwrap()), ["a=base", "b=base"]);
}

#[test]
fn parents_outlive_children() {
    let (dir, store) = store();
    let base = snapshot(&store, None, &[("a", "1")]);
    let child = snapshot(&store, Some(base), &[("b", "2")]);
    store.remove_snapshot(base).unwrap();
    assert_eq!(listing(&store.view(child).unwrap()), ["a=1", "b=2"]);
    store.remove_snapshot(child).unwrap();
    assert!(matches!(store.view(child), Err(SnapshotError::NotFound(_))));
    assert_eq!(
        fs::read_dir(dir.path().join("root/snapshots"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn prune_keeps_what_is_needed() {
    let (dir, store) = store();
    let chain = ChainId(sha256(b"chain"));
    let active = store.prepare(None).unwrap();
    let image = store.commit(active, Some(&chain)).unwrap();
    let recorded = snapshot(&store, None, &[("a", "1")]);
    let loose = snapshot(&store, None, &[("b", "2")]);
    let key = CacheKey::of("test", &[b"k"]);
    let record = Record {
        snapshot: Some(recorded),
        bytes: Vec::new(),
    };
    store.put(&key, &record).unwrap();
    let keep = PruneRequest {
        keep_chains: std::slice::from_ref(&chain),
        keep_records_since: Some(store.now()),
    };
    let other = reopen(dir.path(), "boot-1");
    let pruned = other.prune(&keep).unwrap();
    assert_eq!(
        (pruned.records, pruned.snapshots),
        (0, 0),
        "the first process holds all"
    );
    drop(store);
    let pruned = other.prune(&keep).unwrap();
    assert_eq!((pruned.records, pruned.snapshots), (0, 1));
    assert!(pruned.freed_bytes > 0);
    assert_eq!(other.snapshots().unwrap(), {
        let mut kept: Vec<SnapshotId> = vec![image, recorded];
        kept.sort_unstable();
        kept
    });
    assert!(other.snapshot(loose).is_err());
    let pruned = other.prune(&PruneRequest::default()).unwrap();
    assert_eq!((pruned.records, pruned.snapshots), (1, 2));
}

#[test]
fn names_of_snapshots_have_one_text() {
    for (text, ok) in [
        ("00000000000000aa", true),
        ("00000000000000AA", false),
        ("aa", false),
        ("+0000000000000aa", false),
        ("../../etc/passwd", false),
    ] {
        assert_eq!(
            SnapshotId::parse(Path::new(text).as_os_str()).is_some(),
            ok,
            "{text}"
        );
    }
}
