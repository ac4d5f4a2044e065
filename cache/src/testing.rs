// SPDX-License-Identifier: Apache-2.0
//! What the tests of several modules need: a store, trees, and trees as text.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::{
    ActiveSnapshot, Clock, Kind, MergedDir, SnapshotId, Store, StoreOptions, Timestamp, View,
};

/// Tells whether the tests run as root; prints a line if not.
pub(crate) fn is_root(test: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        println!("skipped: {test} needs root");
    }
    is_root
}

pub(crate) fn store() -> (TempDir, Store) {
    let dir = TempDir::new().unwrap();
    let store = reopen(dir.path(), "boot-1");
    (dir, store)
}

pub(crate) fn reopen(path: &Path, boot_id: &str) -> Store {
    Store::open(StoreOptions {
        path: path.join("root"),
        clock: Clock::fixed(Timestamp::from_secs(1_700_000_000)),
        boot_id: Some(boot_id.to_owned()),
    })
    .unwrap()
}

/// Makes files of a plain directory: `(path, content)`; a path that ends in `/` is a directory, a
/// content `-> target` makes a symlink.
pub(crate) fn plant(root: &Path, files: &[(&str, &str)]) {
    for (path, content) in files {
        let full = root.join(path.trim_end_matches('/'));
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        if path.ends_with('/') {
            fs::create_dir_all(&full).unwrap();
        } else if let Some(target) = content.strip_prefix("-> ") {
            std::os::unix::fs::symlink(target, &full).unwrap();
        } else {
            fs::write(&full, content).unwrap();
        }
    }
}

/// Commits a snapshot with these files on top of `parent`.
pub(crate) fn snapshot(
    store: &Store,
    parent: Option<SnapshotId>,
    files: &[(&str, &str)],
) -> SnapshotId {
    let active = store.prepare(parent).unwrap();
    plant(active.upper_dir(), files);
    store.commit(active, None).unwrap()
}

/// The paths of a tree with kind and content: what a person would compare.
pub(crate) fn listing(view: &View) -> Vec<String> {
    full_listing(view, false)
}

/// The same with every attribute that a layer keeps.
pub(crate) fn exact_listing(view: &View) -> Vec<String> {
    full_listing(view, true)
}

fn full_listing(view: &View, exact: bool) -> Vec<String> {
    let mut lines = Vec::new();
    let mut inodes = BTreeMap::new();
    list(view.root(), exact, &mut inodes, &mut lines);
    lines
}

fn list(
    dir: &MergedDir,
    exact: bool,
    inodes: &mut BTreeMap<(u64, u64), PathBuf>,
    lines: &mut Vec<String>,
) {
    for entry in dir.entries().unwrap() {
        let path = dir.path().join(&entry.name);
        let shown = String::from_utf8_lossy(&path.as_os_str().as_bytes()[1..]).into_owned();
        let mut line = match entry.meta.kind {
            Kind::Dir => format!("{shown}/"),
            Kind::Symlink => {
                let target = dir.read_link(&entry).unwrap();
                format!("{shown} -> {}", String::from_utf8_lossy(target.to_bytes()))
            }
            Kind::File => {
                let mut text = Vec::new();
                let mut file = dir.open_file(&entry).unwrap();
                std::io::Read::read_to_end(&mut file, &mut text).unwrap();
                match text.len() {
                    0..=40 => format!("{shown}={}", String::from_utf8_lossy(&text)),
                    _ => format!("{shown}={}", blake3::hash(&text)),
                }
            }
            kind => format!("{shown} {kind:?} {:x}", entry.meta.rdev),
        };
        if exact {
            let meta = &entry.meta;
            let mode = match meta.kind {
                Kind::Symlink => 0o777,
                _ => meta.mode,
            };
            let first = inodes.entry((meta.dev, meta.ino)).or_insert(path);
            let capability = dir
                .xattrs(&entry)
                .unwrap()
                .remove(b"security.capability".as_slice());
            line = format!(
                "{line} {mode:o} {}:{} t{} {} {capability:?}",
                meta.owner.uid,
                meta.owner.gid,
                meta.mtime.secs,
                if meta.is_dir() {
                    String::new()
                } else {
                    first.display().to_string()
                },
            );
        }
        lines.push(line);
        if entry.meta.is_dir() {
            let name: &OsStr = &entry.name;
            list(&dir.open_dir(name).unwrap(), exact, inodes, lines);
        }
    }
}

pub(crate) fn view_of(active: &ActiveSnapshot) -> View {
    active.upper().unwrap().view().clone()
}
