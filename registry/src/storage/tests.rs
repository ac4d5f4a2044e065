// SPDX-License-Identifier: Apache-2.0
//! The algorithms over both implementations: races, states, and what must hold afterwards.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use oci::{Algorithm, Digest, sha256};

use super::data::{Publication, Stage};
use super::disk;
use super::memory::{MemoryData, MemoryMeta};
use super::meta::{Condition, Write};
use super::record::{self, Content, Membership, State};
use super::repository::Mounted;
use super::store::{Backend, Clock, SparsePolicy, Store};
use super::upload::{Piece, Progress, SESSION_SECONDS};
use super::{Data, Meta, key};
use crate::endpoint::Name;

const CLOCK: Clock = Clock(|| SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30));

async fn store(data: Arc<dyn Data>, meta: Arc<dyn Meta>) -> Store {
    let store = Store::open(Backend { data, meta }, CLOCK, SparsePolicy::Strict).await;
    store.unwrap()
}

async fn in_memory() -> Store {
    let (data, meta) = (MemoryData::default(), MemoryMeta::default());
    store(Arc::new(data), Arc::new(meta)).await
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

async fn publish(store: &Store, bytes: &[u8]) -> (Digest, Publication) {
    let stage = Stage::anonymous(Algorithm::Sha256);
    let mut staged = store.data.stage(stage).await.unwrap();
    let piece = bytes::Bytes::copy_from_slice(bytes);
    staged.append(vec![piece]).await.unwrap();
    let digest = sha256(bytes);
    let publication = staged.publish(&digest).await.unwrap();
    (digest, publication)
}

async fn push(store: &Store, to: &Name, bytes: &[u8]) -> Digest {
    let (digest, publication) = publish(store, bytes).await;
    let size = bytes.len() as u64;
    store
        .add_blob(to, &digest, size, publication)
        .await
        .unwrap();
    digest
}

/// Asserts that a live membership has its marker, and content that is not dead (I2), with bytes
/// (I3).
async fn assert_invariants(store: &Store, names: &[Name], digest: &Digest) {
    for name in names {
        let found = store.membership(name, digest).await.unwrap();
        let Some((membership, _)) = found else {
            continue;
        };
        let size = membership.size_bytes;
        let marker = key::marker(digest, name, size, &membership.incarnation);
        assert!(store.meta.get(&marker).await.unwrap().is_some(), "{marker}");
        let (content, _) = store
            .read::<Content>(&key::content(digest))
            .await
            .unwrap()
            .unwrap();
        assert!(content.state.is_readable());
        store.data.read(&content.location, 0..size).await.unwrap();
    }
}

async fn race(store: &Store) {
    let names = [name("a"), name("a/b"), name("c")];
    let digest = push(store, &names[0], b"content").await;
    for _ in 0..20 {
        let pushes = names.iter().map(|to| push(store, to, b"content"));
        let mounts = names.iter().map(|to| store.mount(to, &names[0], &digest));
        let deletes = names[1..]
            .iter()
            .map(|from| store.delete_blob(from, &digest));
        let (_, mounted, gone) = tokio::join!(
            futures_util::future::join_all(pushes),
            futures_util::future::join_all(mounts),
            futures_util::future::join_all(deletes),
        );
        assert!(mounted.into_iter().all(|result| result.is_ok()));
        assert!(gone.into_iter().all(|result| result.is_ok()));
        assert_invariants(store, &names, &digest).await;
    }
    let found = store.blob(&names[0], &digest).await.unwrap();
    assert!(found.is_some(), "nobody deleted it there");
}

#[tokio::test]
async fn pushes_mounts_and_deletes_may_race() {
    race(&in_memory().await).await;
    let root = tempfile::tempdir().unwrap();
    let disk = disk::open(root.path(), CLOCK).unwrap();
    race(&store(disk.data, disk.meta).await).await;
}

async fn set_state(store: &Store, digest: &Digest, at: &Name, state: State) {
    let content_key = key::content(digest);
    let (mut content, _) = store.read::<Content>(&content_key).await.unwrap().unwrap();
    content.state = state;
    let member_key = key::membership(at, digest);
    let (mut member, _) = store
        .read::<Membership>(&member_key)
        .await
        .unwrap()
        .unwrap();
    member.state = state;
    let steps = vec![
        Write::Put(content_key, record::encode(&content), Condition::Any),
        Write::Put(member_key, record::encode(&member), Condition::Any),
    ];
    store.meta.write(steps).await.unwrap();
}

#[tokio::test]
async fn states_as_publishers_and_readers_meet_them() {
    let store = in_memory().await;
    let (a, b) = (name("a"), name("b"));
    let digest = push(&store, &a, b"content").await;
    set_state(&store, &digest, &a, State::Condemned).await;
    assert!(store.blob(&a, &digest).await.unwrap().is_some());
    let (rescued, _) = store.membership(&a, &digest).await.unwrap().unwrap();
    assert_eq!(
        rescued.state,
        State::Live,
        "who was told that it exists may rely on it"
    );
    assert_eq!(store.mount(&b, &a, &digest).await.unwrap(), Mounted::Yes);
    let (content, _) = store
        .read::<Content>(&key::content(&digest))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        content.state,
        State::Live,
        "a publisher rescues condemned content"
    );
    for state in [State::Dead, State::Quarantined] {
        set_state(&store, &digest, &a, state).await;
        assert!(
            store.blob(&a, &digest).await.unwrap().is_none(),
            "{state:?}"
        );
        assert_eq!(store.mount(&b, &a, &digest).await.unwrap(), Mounted::No);
        push(&store, &a, b"content").await;
        assert_invariants(&store, std::slice::from_ref(&a), &digest).await;
        assert!(
            store.blob(&a, &digest).await.unwrap().is_some(),
            "{state:?}"
        );
    }
}

#[tokio::test]
async fn sessions_are_purged_by_age_and_orphans_swept() {
    const LATER: Clock =
        Clock(|| SystemTime::UNIX_EPOCH + Duration::from_secs((1 << 30) + SESSION_SECONDS));
    let (data, meta) = (MemoryData::default(), Arc::new(MemoryMeta::default()));
    let (data, meta): (Arc<dyn Data>, Arc<dyn Meta>) = (Arc::new(data), meta);
    let now = store(Arc::clone(&data), Arc::clone(&meta)).await;
    let (recorded, orphan) = (
        now.open_session(&name("a"), ""),
        now.open_session(&name("a"), ""),
    );
    for id in [&recorded, &orphan] {
        let stage = Stage {
            session: Some(id.clone()),
            ..Stage::anonymous(Algorithm::Sha256)
        };
        data.stage(stage).await.unwrap().checkpoint().await.unwrap();
    }
    let slot = now.slot(&recorded);
    let held = now.resume((&recorded, &slot), Piece::default(), Algorithm::Sha256);
    held.await.unwrap().save().await.unwrap();
    assert_eq!(now.sweep_sessions().await.unwrap(), 1);
    assert_eq!(now.purge_sessions().await.unwrap(), 0);
    assert_eq!(now.progress(&recorded).await.unwrap(), Progress::Open(0));
    assert_eq!(
        data.sessions().await.unwrap(),
        std::slice::from_ref(&recorded)
    );
    let later = Store::open(
        Backend {
            data: Arc::clone(&data),
            meta,
        },
        LATER,
        SparsePolicy::Strict,
    )
    .await
    .unwrap();
    assert!(later.session(&name("a"), "", recorded.as_str()).is_err());
    assert_eq!(later.purge_sessions().await.unwrap(), 1);
    assert!(data.sessions().await.unwrap().is_empty());
}
