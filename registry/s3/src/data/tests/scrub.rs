// SPDX-License-Identifier: Apache-2.0
//! How long bytes are, without reading them, and what a scrub makes of that.

use std::time::UNIX_EPOCH;

use registry::endpoint::Name;
use registry::storage::data::{Data as _, Stage};
use registry::storage::memory::MemoryMeta;
use registry::storage::scrub::Damage;
use registry::storage::{Backend, Clock, Guard, ScrubPolicy, SparsePolicy, StorageError, Store};

use super::*;
use crate::data::object;
use crate::data::payload::Payload;

#[tokio::test]
async fn a_size_is_known_without_reading() {
    let (server, config) = small_parts();
    let data = data(&config).await;
    let bytes = noise(10_000);
    let digest = digest(Algorithm::Sha256, &bytes);
    let mut staged = data.stage(Stage::whole(&digest, None)).await.unwrap();
    append(&mut *staged, &bytes).await;
    let location = staged.publish(&digest).await.unwrap().location;
    server.clear_log();
    assert_eq!(data.size(&location).await.unwrap(), Some(10_000));
    let asked: Vec<_> = server.requests();
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0].method, "HEAD", "{asked:?}");
    let guard = Guard::not_needed();
    data.delete(&location, &guard).await.unwrap();
    let gone = data.size(&location).await;
    assert!(matches!(gone, Err(StorageError::Missing(_))), "{gone:?}");
}

#[tokio::test]
async fn a_scrub_of_sizes_finds_a_short_object() {
    let (server, config) = small_parts();
    let backend = Backend {
        data: Arc::new(data(&config).await),
        meta: Arc::new(MemoryMeta::default()),
    };
    let clock = Clock(|| UNIX_EPOCH);
    let store = Store::open(backend, clock, SparsePolicy::Strict);
    let store = store.await.unwrap();
    let name: Name = "team/app".parse().unwrap();
    let bytes = noise(10_000);
    let digest = digest(Algorithm::Sha256, &bytes);
    let stage = Stage::whole(&digest, None);
    let mut staged = data(&config).await.stage(stage).await.unwrap();
    append(&mut *staged, &bytes).await;
    let published = store.publish_blob(&name, &digest, &mut *staged);
    published.await.unwrap();
    let policy = ScrubPolicy::default();
    assert_eq!(store.scrub(&policy).await.unwrap().findings, []);

    let objects = server.objects().into_iter();
    let mut keys = objects.filter_map(|object| {
        object
            .key
            .find("d/k/")
            .map(|at| object.key[at..].to_owned())
    });
    let (key, none) = (keys.next().unwrap(), keys.next());
    assert_eq!(none, None);
    let bucket = Bucket::new(&config).await;
    let short = Payload::from(bytes[..9_999].to_vec());
    object::put(&bucket, &key, short).await.unwrap();
    let found = store.scrub(&policy).await.unwrap().findings;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].damage, Damage::WrongSize(9_999));

    object::delete(&bucket, &key).await.unwrap();
    let policy = ScrubPolicy {
        dry_run: true,
        ..policy
    };
    let found = store.scrub(&policy).await.unwrap().findings;
    assert_eq!(found[0].damage, Damage::Missing);
}
