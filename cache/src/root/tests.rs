// SPDX-License-Identifier: Apache-2.0
//! Processes that die: this test binary is started again as the victim, with the directory of the
//! state directory as its working directory.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::testing::{listing, plant, reopen};
use crate::{CacheKey, Claim, Record, Store};

/// A victim that somebody runs by hand finds no such file and does nothing.
const MARKER: &str = "victims-may-run-here";

fn start(dir: &Path, victim: &str) -> Child {
    std::fs::write(dir.join(MARKER), "").unwrap();
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", &format!("root::tests::{victim}")])
        .current_dir(dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn key(number: u64) -> CacheKey {
    CacheKey::of("victim", &[&number.to_le_bytes()])
}

/// How many snapshots stand on each other before a new chain begins: every tree is listed whole.
const CHAIN: u64 = 8;

/// Commits one snapshot after another, each recorded under its number.
fn commit_forever(store: &Store) {
    let mut parent = None;
    for number in 0.. {
        if number % CHAIN == 0 {
            parent = None;
        }
        let Claim::Owned(guard) = store.claim(&key(number)).unwrap() else {
            parent = store.get(&key(number)).unwrap().unwrap().snapshot;
            continue;
        };
        let active = store.prepare(parent).unwrap();
        for file in 0..20 {
            plant(
                active.upper_dir(),
                &[(&format!("{number}/{file}"), "whole")],
            );
        }
        let id = store.commit(active, None).unwrap();
        let record = Record {
            snapshot: Some(id),
            bytes: number.to_le_bytes().to_vec(),
        };
        guard.finish(&record).unwrap();
        parent = Some(id);
    }
}

#[test]
#[ignore = "killed by killed_builds_leave_whole_snapshots_only"]
fn victim_that_commits() {
    if Path::new(MARKER).exists() {
        commit_forever(&reopen(Path::new("."), "boot-1"));
    }
}

#[test]
#[ignore = "killed by claim_of_a_killed_process_is_free"]
fn victim_that_claims() {
    if !Path::new(MARKER).exists() {
        return;
    }
    let store = reopen(Path::new("."), "boot-1");
    let _claim = store.claim(&key(0)).unwrap();
    std::fs::write("claimed", "").unwrap();
    std::thread::sleep(Duration::from_mins(1));
}

#[test]
fn killed_builds_leave_whole_snapshots_only() {
    let dir = TempDir::new().unwrap();
    for round in 0..8_u64 {
        let mut victim = start(dir.path(), "victim_that_commits");
        std::thread::sleep(Duration::from_millis(60 + round * 13));
        victim.kill().unwrap();
        victim.wait().unwrap();
        let store = reopen(dir.path(), "boot-1");
        let mut number = 0;
        while let Some(record) = store.get(&key(number)).unwrap() {
            let id = record.snapshot.unwrap();
            let files = listing(&store.view(id).unwrap());
            let whole = files.iter().filter(|line| line.ends_with("=whole")).count();
            assert_eq!(whole as u64, 20 * (number % CHAIN + 1), "round {round}");
            number += 1;
        }
        let known = store.snapshots().unwrap().len();
        let dirs = std::fs::read_dir(store.snapshots_dir()).unwrap().count();
        assert_eq!(dirs, known, "round {round}: nothing without a row is left");
    }
}

#[test]
fn claim_of_a_killed_process_is_free() {
    let dir = TempDir::new().unwrap();
    let mut victim = start(dir.path(), "victim_that_claims");
    while !dir.path().join("claimed").exists() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let store = reopen(dir.path(), "boot-1");
    let Claim::Busy(waiter) = store.claim(&key(0)).unwrap() else {
        panic!("the victim has it");
    };
    let waiting = std::thread::spawn(move || waiter.wait(&|| false).unwrap());
    victim.kill().unwrap();
    victim.wait().unwrap();
    assert!(matches!(waiting.join().unwrap(), Claim::Owned(_)));
}
