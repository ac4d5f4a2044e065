// SPDX-License-Identifier: Apache-2.0
//! Bytes against a real server, with a proxy in between that loses answers.

mod faults;
mod proxy;
mod replicas;
mod scrub;
mod sessions;

use std::sync::Arc;
use std::time::Duration;

use bucket::{Conditions, Server};
use bytes::Bytes;
use futures_util::TryStreamExt as _;
use oci::{Algorithm, Digest, Hasher};
use registry::storage::data::{Data, Stage, Staged};
use registry::storage::{Bytes as Answered, Location, StorageError, contract};

use super::BucketData;
use crate::client::Bucket;
use crate::config::BucketConfig;
use crate::tests::{config, serve};

/// The least part that a store takes.
const PART: usize = 5 << 20;

async fn data(config: &BucketConfig) -> BucketData {
    BucketData::new(Bucket::new(config).await, config)
}

/// A server, and a configuration with small parts.
fn small_parts() -> (Server, BucketConfig) {
    let server = serve(Conditions::Full);
    let mut config = config(&server);
    config.part_bytes = PART as u64;
    config.buffer_bytes = 32 << 20;
    (server, config)
}

fn digest(algorithm: Algorithm, bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(algorithm);
    hasher.update(bytes);
    hasher.finish()
}

/// Bytes that are the same in no two places.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(count + 8);
    while bytes.len() < count {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(count);
    bytes
}

async fn append(staged: &mut dyn Staged, bytes: &[u8]) {
    for unit in bytes.chunks(300_000) {
        let piece = Bytes::copy_from_slice(unit);
        staged.append(vec![piece]).await.unwrap();
    }
}

async fn read(data: &BucketData, location: &Location, size: usize) -> Vec<u8> {
    match data.read(location, 0..size as u64).await.unwrap() {
        Answered::Whole(bytes) => bytes.to_vec(),
        Answered::Stream(stream) => {
            let pieces: Vec<Bytes> = stream.try_collect().await.unwrap();
            pieces.concat()
        }
    }
}

/// Waits until the server has nothing but `keys` left of bytes, and no upload.
async fn assert_tidy(server: &Server, locations: &[&Location]) {
    let keys = || {
        let objects = server.objects().into_iter().map(|object| object.key);
        let ours = objects.filter_map(|key| key.split_once("/d/").map(|(_, key)| key.to_owned()));
        ours.map(|key| format!("d/{key}")).collect::<Vec<_>>()
    };
    let mut wanted: Vec<_> = locations.iter().map(ToString::to_string).collect();
    wanted.sort();
    for _ in 0..200 {
        if keys() == wanted && server.uploads().is_empty() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!((keys(), server.uploads()), (wanted, Vec::new()));
}

#[tokio::test]
async fn keeps_the_contract() {
    let (server, config) = small_parts();
    contract::data(&data(&config).await).await;
    assert!(server.uploads().is_empty());
}

#[tokio::test]
async fn every_size_at_once_under_both_algorithms() {
    let (server, config) = small_parts();
    let data = data(&config).await;
    let mut locations = Vec::new();
    for size in [0, 1, PART - 1, PART, PART + 1, 2 * PART, 12 << 20] {
        let bytes = noise(size);
        for (algorithm, expected) in [
            (Algorithm::Sha256, Some(size as u64)),
            (Algorithm::Sha512, None),
        ] {
            let digest = digest(algorithm, &bytes);
            let mut staged = data.stage(Stage::whole(&digest, expected)).await.unwrap();
            append(&mut *staged, &bytes).await;
            let location = staged.publish(&digest).await.unwrap().location;
            let folder = format!("d/k/{algorithm}/{}/", digest.hex());
            assert!(location.0.starts_with(&folder), "{location}");
            assert!(read(&data, &location, size).await == bytes, "{size} bytes");
            locations.push(location);
        }
    }
    assert_tidy(&server, &locations.iter().collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn a_small_blob_is_one_request() {
    let (server, config) = small_parts();
    let data = data(&config).await;
    let bytes = noise(10_000);
    let digest = digest(Algorithm::Sha256, &bytes);
    let stage = Stage::whole(&digest, Some(10_000));
    let mut staged = data.stage(stage).await.unwrap();
    append(&mut *staged, &bytes).await;
    assert!(staged.is_known_as(&digest));
    staged.publish(&digest).await.unwrap();
    drop(staged);
    assert_eq!(server.requests().len(), 1, "{:?}", server.requests());
}

#[tokio::test]
async fn wrong_and_dropped_bytes_leave_nothing() {
    let (server, config) = small_parts();
    let data = data(&config).await;
    let right = digest(Algorithm::Sha256, b"right");
    for size in [5, PART + 5] {
        for publishes in [true, false] {
            let stage = Stage::whole(&right, Some(size as u64));
            let mut staged = data.stage(stage).await.unwrap();
            append(&mut *staged, &noise(size)).await;
            staged.pause().await.unwrap();
            if publishes {
                let refused = staged.publish(&right).await;
                let is_wrong = matches!(refused, Err(StorageError::WrongDigest { .. }));
                assert!(is_wrong, "{refused:?}");
            }
        }
    }
    assert_tidy(&server, &[]).await;
}

#[tokio::test]
async fn a_silent_client_holds_no_buffer() {
    let (server, config) = small_parts();
    let data = Arc::new(data(&config).await);
    let bytes = noise(PART - 100);
    let right = digest(Algorithm::Sha256, &bytes);
    let mut silent = Vec::new();
    // Far more than fit into the pool at once.
    for _ in 0..12 {
        let stage = Stage::whole(&right, Some(bytes.len() as u64));
        let mut staged = data.stage(stage).await.unwrap();
        append(&mut *staged, &bytes[..PART / 2]).await;
        staged.pause().await.unwrap();
        silent.push(staged);
    }
    let mut locations = Vec::new();
    for mut staged in silent {
        append(&mut *staged, &bytes[PART / 2..]).await;
        locations.push(staged.publish(&right).await.unwrap().location);
    }
    assert!(read(&data, &locations[3], bytes.len()).await == bytes);
    locations.sort_by(|a, b| a.0.cmp(&b.0));
    assert_tidy(&server, &locations.iter().collect::<Vec<_>>()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_uploads_at_once_share_a_small_pool() {
    let (_server, config) = small_parts();
    let data = Arc::new(data(&config).await);
    let bytes = Arc::new(noise(11 << 20));
    let right = digest(Algorithm::Sha256, &bytes);
    let pushes = (0..12).map(|number| {
        let (data, bytes, right) = (Arc::clone(&data), Arc::clone(&bytes), right.clone());
        tokio::task::spawn(async move {
            let length = (number % 2 == 0).then_some(bytes.len() as u64);
            let mut staged = data.stage(Stage::whole(&right, length)).await.unwrap();
            append(&mut *staged, &bytes).await;
            staged.publish(&right).await.unwrap();
        })
    });
    for push in futures_util::future::join_all(pushes).await {
        push.unwrap();
    }
}

#[tokio::test]
async fn an_address_is_given_from_a_size_on() {
    let (_server, mut config) = small_parts();
    let location = Location("d/k/sha256/00/x".into());
    let closed = data(&config).await.link(&location, 1 << 30).await;
    assert_eq!(closed.unwrap(), None, "off by default");
    config.redirect_from_bytes = Some(1000);
    let data = data(&config).await;
    assert_eq!(data.link(&location, 999).await.unwrap(), None);
    let link = data.link(&location, 1000).await.unwrap().unwrap();
    assert!(link.contains("/d/k/sha256/00/x?"), "{link}");
    assert!(link.contains("X-Amz-Signature="), "{link}");
    assert!(!link.contains("kiln-test-secret"), "{link}");
}

#[tokio::test]
async fn more_bytes_than_announced_are_taken_like_any_others() {
    // A chunked PATCH may say less in Content-Range than it sends; the server refuses it afterwards.
    let (_server, config) = small_parts();
    let data = data(&config).await;
    let bytes = noise(2_000_000);
    let digest = digest(Algorithm::Sha256, &bytes);
    for announced in [0, 100, 300_000, 1_999_999] {
        let stage = Stage::whole(&digest, Some(announced));
        let mut staged = data.stage(stage).await.unwrap();
        let taking = append(&mut *staged, &bytes);
        let taken = tokio::time::timeout(Duration::from_secs(20), taking).await;
        assert!(taken.is_ok(), "{announced} announced");
        assert_eq!(staged.offset(), 2_000_000);
    }
}

#[tokio::test]
async fn an_upload_is_ready_when_there_is_memory_for_it() {
    let (_server, mut config) = small_parts();
    config.buffer_bytes = 2 * PART as u64;
    let data = data(&config).await;
    let bytes = noise(PART);
    let digest = digest(Algorithm::Sha256, &bytes);
    let mut held = Vec::new();
    for _ in 0..2 {
        let stage = Stage::whole(&digest, Some(PART as u64 + 9));
        let mut staged = data.stage(stage).await.unwrap();
        assert_eq!(staged.ready().await.unwrap(), PART as u64);
        append(&mut *staged, &bytes[..1000]).await;
        assert_eq!(staged.ready().await.unwrap(), PART as u64 - 1000);
        held.push(staged);
    }
    let stage = Stage::whole(&digest, Some(PART as u64));
    let mut waits = data.stage(stage).await.unwrap();
    let soon = Duration::from_millis(50);
    assert!(tokio::time::timeout(soon, waits.ready()).await.is_err());
    // One that falls silent makes room, and what it had comes back with its next bytes.
    let mut silent = held.pop().unwrap();
    silent.pause().await.unwrap();
    assert_eq!(waits.ready().await.unwrap(), PART as u64);
    drop(waits);
    append(&mut *silent, &bytes[1000..]).await;
    append(&mut *silent, b"the rest.").await;
    assert_eq!(
        silent.ready().await.unwrap(),
        u64::MAX,
        "nothing is to come"
    );
    let whole = [&bytes[..], b"the rest."].concat();
    let digest = self::digest(Algorithm::Sha256, &whole);
    let location = silent.publish(&digest).await.unwrap().location;
    assert_eq!(read(&data, &location, whole.len()).await, whole);
}
