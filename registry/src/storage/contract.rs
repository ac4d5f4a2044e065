// SPDX-License-Identifier: Apache-2.0
//! What every implementation of the two traits must do, as tests that each of them runs.

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use oci::{Algorithm, Digest, sha256};

use super::data::{self, Data, Resume, Stage, Staged};
use super::error::StorageError;
use super::manifest::digest_of;
use super::meta::{Condition, Meta, Version, Write};
use super::session::{SessionId, SessionSigner};

fn put(key: &str, value: &str, condition: Condition) -> Write {
    Write::Put(key.into(), value.into(), condition)
}

async fn version_of(meta: &dyn Meta, key: &str) -> Version {
    meta.get(key).await.unwrap().unwrap().1
}

fn is_conflict(result: &Result<(), StorageError>, on: &str) -> bool {
    matches!(result, Err(StorageError::Conflict(key)) if key == on)
}

/// Runs the suite of [`Meta`].
pub async fn meta(meta: &dyn Meta) {
    conditions(meta).await;
    order_of_steps(meta).await;
    listing(meta).await;
    one_winner(meta).await;
}

async fn conditions(meta: &dyn Meta) {
    assert!(meta.get("c/none").await.unwrap().is_none());
    let create = || vec![put("c/x", "1", Condition::Absent)];
    meta.write(create()).await.unwrap();
    assert!(is_conflict(&meta.write(create()).await, "c/x"));
    let (bytes, first) = meta.get("c/x").await.unwrap().unwrap();
    assert_eq!(bytes, b"1");
    let same = put("c/x", "1", Condition::Is(first.clone()));
    meta.write(vec![same]).await.unwrap();
    let second = version_of(meta, "c/x").await;
    assert_ne!(
        first, second,
        "the same bytes written again have a new version"
    );
    for stale in [
        put("c/x", "2", Condition::Is(first.clone())),
        Write::Delete("c/x".into(), Condition::Is(first.clone())),
        Write::Require("c/x".into(), Condition::Is(first.clone())),
        Write::Require("c/x".into(), Condition::Absent),
    ] {
        assert!(
            is_conflict(&meta.write(vec![stale.clone()]).await, "c/x"),
            "{stale:?}"
        );
    }
    let absent = Write::Delete("c/y".into(), Condition::Is(first));
    assert!(is_conflict(&meta.write(vec![absent]).await, "c/y"));
    let steps = vec![
        Write::Require("c/x".into(), Condition::Is(second.clone())),
        Write::Delete("c/x".into(), Condition::Is(second)),
        Write::Delete("c/x".into(), Condition::Any),
    ];
    meta.write(steps).await.unwrap();
    assert!(meta.get("c/x").await.unwrap().is_none());
}

async fn order_of_steps(meta: &dyn Meta) {
    let steps = vec![
        put("o/1", "a", Condition::Any),
        Write::Require("o/none".into(), Condition::Is(Version("x".into()))),
        put("o/2", "b", Condition::Any),
    ];
    assert!(is_conflict(&meta.write(steps).await, "o/none"));
    assert!(
        meta.get("o/2").await.unwrap().is_none(),
        "later steps are not applied"
    );
    let big = vec![7; 5 << 20];
    let step = Write::Put("o/big".into(), big.clone(), Condition::Any);
    meta.write(vec![step]).await.unwrap();
    assert_eq!(meta.get("o/big").await.unwrap().unwrap().0, big);
}

async fn listing(meta: &dyn Meta) {
    let keys = ["l/a/1", "l/a/A", "l/a/_", "l/a/b", "l/b/1"];
    let steps = keys.map(|key| put(key, key, Condition::Any));
    meta.write(steps.into()).await.unwrap();
    for (rule, prefix, after, limit, expected) in [
        ("byte order", "l/a/", "", 10, &keys[..4]),
        ("the limit cuts", "l/a/", "", 2, &keys[..2]),
        ("after is exclusive", "l/a/", "l/a/A", 10, &keys[2..4]),
        ("after need not exist", "l/a/", "l/a/B", 10, &keys[2..4]),
        (
            "after lies before the prefix",
            "l/b/",
            "l/a/",
            10,
            &keys[4..],
        ),
        ("after lies behind the prefix", "l/a/", "l/b/", 10, &[]),
        ("no such prefix", "l/c/", "", 10, &[]),
    ] {
        let listed = meta.list(prefix, after, limit).await.unwrap();
        let found: Vec<_> = listed.iter().map(|line| line.key.as_str()).collect();
        assert_eq!(found, expected, "{rule}");
        assert!(listed.iter().all(|line| line.size_bytes == 5), "{rule}");
    }
    let line = &meta.list("l/b/", "", 1).await.unwrap()[0];
    assert_eq!(line.version, version_of(meta, "l/b/1").await);
}

async fn one_winner(meta: &dyn Meta) {
    let writes =
        (0..32).map(|number| meta.write(vec![put("w/x", &number.to_string(), Condition::Absent)]));
    let results = futures_util::future::join_all(writes).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    let version = version_of(meta, "w/x").await;
    let writes = (0..32).map(|number| {
        let condition = Condition::Is(version.clone());
        meta.write(vec![put("w/x", &number.to_string(), condition)])
    });
    let results = futures_util::future::join_all(writes).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
}

fn anonymous() -> Stage {
    Stage::anonymous(Algorithm::Sha256)
}

async fn stage(data: &dyn Data, stage: Stage, bytes: &[u8]) -> Box<dyn Staged> {
    let mut staged = data.stage(stage).await.unwrap();
    staged
        .append(vec![Bytes::copy_from_slice(bytes)])
        .await
        .unwrap();
    staged
}

async fn publish(data: &dyn Data, bytes: &[u8], digest: &Digest) -> data::Location {
    let mut staged = stage(data, anonymous(), bytes).await;
    staged.publish(digest).await.unwrap().location
}

async fn read(data: &dyn Data, location: &data::Location, range: std::ops::Range<u64>) -> Vec<u8> {
    match data.read(location, range).await.unwrap() {
        data::Bytes::Whole(bytes) => bytes.to_vec(),
        data::Bytes::Stream(stream) => {
            let pieces: Vec<Bytes> = stream.try_collect().await.unwrap();
            pieces.concat()
        }
    }
}

/// Runs the suite of [`Data`].
pub async fn data(data: &dyn Data) {
    published_bytes_read_back(data).await;
    wrong_bytes_stay_hidden(data).await;
    sessions(data).await;
}

async fn published_bytes_read_back(data: &dyn Data) {
    let large: Vec<u8> = (0..700_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    for bytes in [&b""[..], b"hello", &large] {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let digest = digest_of(algorithm, bytes);
            let size = bytes.len() as u64;
            let location = publish(data, bytes, &digest).await;
            assert_eq!(read(data, &location, 0..size).await, bytes);
            let middle = size / 3..size / 2;
            let expected = &bytes[bytes.len() / 3..bytes.len() / 2];
            assert_eq!(read(data, &location, middle).await, expected);
            let again = publish(data, bytes, &digest).await;
            assert_eq!(read(data, &again, 0..size).await, bytes);
        }
    }
    let digest = sha256(b"short-lived");
    let location = publish(data, b"short-lived", &digest).await;
    let guard = data.lock(&location).await.unwrap();
    data.delete(&location, &guard).await.unwrap();
    drop(guard);
    let gone = data.read(&location, 0..1).await;
    assert!(matches!(gone, Err(StorageError::Missing(_))), "{gone:?}");
    let location = publish(data, b"short-lived", &digest).await;
    assert_eq!(read(data, &location, 0..5).await, b"short");
}

async fn wrong_bytes_stay_hidden(data: &dyn Data) {
    let digest = sha256(b"right");
    let mut staged = stage(data, anonymous(), b"wrong").await;
    let refused = staged.publish(&digest).await;
    assert!(
        matches!(refused, Err(StorageError::WrongDigest { .. })),
        "{refused:?}"
    );
}

async fn sessions(data: &dyn Data) {
    let signer = SessionSigner::new(b"secret");
    let id: SessionId = signer.issue((&"a".parse().unwrap(), ""), 9, [3; 16]);
    let at = |offset, resume: &Resume| Stage {
        session: Some(id.clone()),
        offset,
        resume: resume.clone(),
        ..anonymous()
    };
    let new = Resume::default();
    let mut staged = stage(data, at(0, &new), b"one ").await;
    let first = staged.checkpoint().await.unwrap();
    assert_eq!(staged.offset(), 4);
    staged
        .append(vec![Bytes::from_static(b"lost")])
        .await
        .unwrap();
    drop(staged);
    if first.is_empty() {
        assert_eq!(data.sessions().await.unwrap(), std::slice::from_ref(&id));
    }
    let too_far = data.stage(at(100, &first)).await;
    assert!(
        matches!(too_far, Err(StorageError::Missing(_))),
        "{too_far:?}"
    );
    let mut staged = stage(data, at(4, &first), b"two").await;
    staged.checkpoint().await.unwrap();
    let digest = digest_of(Algorithm::Sha512, b"one two");
    staged.prepare(&digest).await.unwrap();
    let location = staged.publish(&digest).await.unwrap().location;
    drop(staged);
    data.discard(&id, Some(&location)).await.unwrap();
    data.discard(&id, Some(&location)).await.unwrap();
    assert!(data.sessions().await.unwrap().is_empty());
    assert_eq!(read(data, &location, 0..7).await, b"one two");
    let mut staged = stage(data, at(0, &new), b"new").await;
    assert_eq!(staged.offset(), 3, "a discarded session starts empty");
    let digest = sha256(b"new");
    staged.prepare(&digest).await.unwrap();
    let location = staged.publish(&digest).await.unwrap().location;
    data.discard(&id, Some(&location)).await.unwrap();
    assert_eq!(read(data, &location, 0..3).await, b"new");
}
