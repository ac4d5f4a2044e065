// SPDX-License-Identifier: Apache-2.0
//! The contracts on a real directory, and what only a directory can do wrong.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use oci::{Algorithm, sha256};

use crate::storage::Backend;
use crate::storage::contract;
use crate::storage::data::Stage;
use crate::storage::error::StorageError;
use crate::storage::meta::{Condition, Write};
use crate::storage::store::Clock;

const CLOCK: Clock = Clock(|| SystemTime::UNIX_EPOCH);

fn open(path: &Path) -> Backend {
    super::open(path, CLOCK).unwrap()
}

fn stage() -> Stage {
    Stage {
        expected_bytes: Some(3 << 20),
        ..Stage::anonymous(Algorithm::Sha256)
    }
}

fn blob_path(root: &Path, bytes: &[u8]) -> PathBuf {
    let hex = sha256(bytes).hex().to_owned();
    root.join("blobs/sha256").join(&hex[..2]).join(hex)
}

#[tokio::test]
async fn keeps_the_contracts() {
    let root = tempfile::tempdir().unwrap();
    let disk = open(root.path());
    contract::meta(&*disk.meta).await;
    contract::data(&*disk.data).await;
    assert_eq!(fs::read_dir(root.path().join("tmp")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_conflict_leaves_nothing_behind() {
    let root = tempfile::tempdir().unwrap();
    let disk = open(root.path());
    let steps = vec![
        Write::Put("a".into(), vec![], Condition::Any),
        Write::Put("b".into(), vec![], Condition::Any),
        Write::Require("b".into(), Condition::Absent),
    ];
    disk.meta.write(steps).await.unwrap_err();
    assert!(disk.meta.get("a").await.unwrap().is_none());
}

#[tokio::test]
async fn one_process_at_a_time_and_records_survive() {
    let root = tempfile::tempdir().unwrap();
    let disk = open(root.path());
    let step = Write::Put("l/a/@t/x".into(), b"{\"a\":1}".to_vec(), Condition::Any);
    disk.meta.write(vec![step]).await.unwrap();
    let second = super::open(root.path(), CLOCK);
    assert!(matches!(second, Err(StorageError::InUse(_))), "{second:?}");
    drop(disk);
    let disk = open(root.path());
    assert_eq!(
        disk.meta.get("l/a/@t/x").await.unwrap().unwrap().0,
        b"{\"a\":1}"
    );
    let journal = fs::read_to_string(root.path().join("journal/names.jsonl")).unwrap();
    assert_eq!(
        journal,
        "{\"at\":0,\"key\":\"l/a/@t/x\",\"value\":{\"a\":1}}\n"
    );
}

#[tokio::test]
async fn a_newer_layout_is_refused() {
    let root = tempfile::tempdir().unwrap();
    drop(open(root.path()));
    fs::write(root.path().join("version"), "2\n").unwrap();
    let refused = super::open(root.path(), CLOCK);
    assert!(
        matches!(refused, Err(StorageError::UnknownLayout { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_damaged_file_of_another_length_is_healed() {
    let root = tempfile::tempdir().unwrap();
    let disk = open(root.path());
    let path = blob_path(root.path(), b"content");
    for _ in 0..2 {
        let mut staged = disk.data.stage(stage()).await.unwrap();
        staged
            .append(vec![b"content".as_slice().into()])
            .await
            .unwrap();
        staged.publish(&sha256(b"content")).await.unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"content");
        fs::write(&path, b"cont").unwrap();
    }
}

#[tokio::test]
async fn leftovers_in_tmp_are_swept() {
    let root = tempfile::tempdir().unwrap();
    drop(open(root.path()));
    fs::write(root.path().join("tmp/left"), b"x").unwrap();
    drop(open(root.path()));
    assert_eq!(fs::read_dir(root.path().join("tmp")).unwrap().count(), 0);
}

#[tokio::test]
async fn the_log_of_the_database_begins_anew_under_writes_without_a_pause() {
    let root = tempfile::tempdir().unwrap();
    let disk = open(root.path());
    for commit in 0..100_u32 {
        let scattered =
            (0..60_u32).map(|number| sha256(&[commit, number].map(u32::to_le_bytes).concat()));
        let put = |key: String| Write::Put(key, vec![0; 100], Condition::Any);
        let steps = scattered
            .map(|digest| put(digest.hex().to_owned()))
            .collect();
        disk.meta.write(steps).await.unwrap();
    }
    // All of it is more than 20 MiB.
    let log = fs::metadata(root.path().join("meta.db-wal")).unwrap().len();
    assert!(log < 16 << 20, "{log} bytes");
    drop(disk);
    assert!(!root.path().join("meta.db-wal").exists(), "closed in order");
}
