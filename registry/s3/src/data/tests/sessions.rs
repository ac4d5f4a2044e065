// SPDX-License-Identifier: Apache-2.0
//! Sessions that go on elsewhere.

use oci::Algorithm;
use registry::storage::data::{Data, Resume, Stage, Staged};
use registry::storage::session::{SessionId, SessionSigner};
use registry::storage::{Publication, StorageError};

use super::{BucketData, PART, append, assert_tidy, data, digest, noise, read, small_parts};

fn session() -> SessionId {
    SessionSigner::new(b"secret").issue((&"a".parse().unwrap(), ""), 9, [3; 16])
}

async fn open(data: &BucketData, id: &SessionId, at: usize, resume: &Resume) -> Box<dyn Staged> {
    let stage = Stage {
        session: Some(id.clone()),
        offset: at as u64,
        resume: resume.clone(),
        ..Stage::anonymous(Algorithm::Sha256)
    };
    data.stage(stage).await.unwrap()
}

/// Sends `bytes` cut at `cuts`, each piece through another replica, and publishes.
async fn send(
    replicas: &[BucketData],
    id: &SessionId,
    (bytes, cuts): (&[u8], &[usize]),
    algorithm: Algorithm,
) -> Result<Publication, StorageError> {
    let (mut at, mut resume) = (0, Resume::default());
    for (turn, cut) in cuts.iter().copied().chain([bytes.len()]).enumerate() {
        let data = &replicas[turn % replicas.len()];
        let mut staged = open(data, id, at, &resume).await;
        append(&mut *staged, &bytes[at..cut]).await;
        resume = staged.checkpoint().await.unwrap();
        at = cut;
    }
    let mut staged = open(&replicas[0], id, at, &resume).await;
    let digest = digest(algorithm, bytes);
    let resume = staged.prepare(&digest).await?.unwrap();
    // Another replica finishes it.
    let mut staged = open(&replicas[1], id, at, &resume).await;
    let publication = staged.publish(&digest).await?;
    let mut staged = open(&replicas[0], id, at, &resume).await;
    let again = staged.publish(&digest).await.unwrap();
    assert_eq!(again.location, publication.location, "once is enough");
    Ok(publication)
}

#[tokio::test]
async fn pieces_of_any_size_through_two_replicas() {
    let (server, config) = small_parts();
    let replicas = [data(&config).await, data(&config).await];
    let id = session();
    for (size, cuts) in [
        (0, &[][..]),
        (10, &[0, 3, 3]),
        (300_000, &[100_000]),
        (300_000, &[100, 200_000]),
        (PART, &[70_000, 140_000, 3 << 20]),
        (PART + 1, &[PART]),
        (13 << 20, &[1, 4 << 20, 8 << 20, PART * 2]),
    ] {
        let bytes = noise(size);
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let sent = send(&replicas, &id, (&bytes, cuts), algorithm).await;
            let location = sent.unwrap().location;
            assert!(
                read(&replicas[0], &location, size).await == bytes,
                "{size} cut at {cuts:?} as {algorithm}"
            );
            replicas[0].discard(&id, Some(&location)).await.unwrap();
            assert_tidy(&server, &[&location]).await;
            replicas[1].discard(&id, None).await.unwrap();
            assert_tidy(&server, &[]).await;
        }
    }
}

#[tokio::test]
async fn tiny_pieces_cost_no_object_each() {
    let (server, config) = small_parts();
    let data = data(&config).await;
    let (id, bytes) = (session(), noise(200 << 10));
    let mut resume = Resume::default();
    for (number, piece) in bytes.chunks(1 << 10).enumerate() {
        let mut staged = open(&data, &id, number << 10, &resume).await;
        append(&mut *staged, piece).await;
        resume = staged.checkpoint().await.unwrap();
    }
    assert!(server.requests().len() <= 4, "{:?}", server.requests());
    let mut staged = open(&data, &id, bytes.len(), &resume).await;
    let digest = digest(Algorithm::Sha256, &bytes);
    staged.prepare(&digest).await.unwrap();
    let location = staged.publish(&digest).await.unwrap().location;
    assert!(read(&data, &location, bytes.len()).await == bytes);
    assert_tidy(&server, &[&location]).await;
}

#[tokio::test]
async fn what_came_after_the_record_does_not_count() {
    let (server, config) = small_parts();
    let (first, second) = (data(&config).await, data(&config).await);
    let (id, bytes) = (session(), noise(12 << 20));
    let mut staged = open(&first, &id, 0, &Resume::default()).await;
    append(&mut *staged, &bytes[..PART + 7]).await;
    let recorded = staged.checkpoint().await.unwrap();
    // Killed between a checkpoint and its record: other bytes, parts and scraps are there.
    append(&mut *staged, &noise(PART + 300_000)).await;
    staged.checkpoint().await.unwrap();
    drop(staged);
    let mut staged = open(&second, &id, PART + 7, &recorded).await;
    append(&mut *staged, &bytes[PART + 7..]).await;
    let digest = digest(Algorithm::Sha256, &bytes);
    staged.prepare(&digest).await.unwrap();
    let location = staged.publish(&digest).await.unwrap().location;
    assert!(read(&first, &location, bytes.len()).await == bytes);
    first.discard(&id, Some(&location)).await.unwrap();
    assert_tidy(&server, &[&location]).await;
}

#[tokio::test]
async fn two_writers_of_one_part_never_mix() {
    let (server, config) = small_parts();
    let (first, second) = (data(&config).await, data(&config).await);
    let (id, bytes) = (session(), noise(3 * PART));
    let mut staged = open(&first, &id, 0, &Resume::default()).await;
    append(&mut *staged, &bytes[..PART]).await;
    let recorded = staged.checkpoint().await.unwrap();
    let mut late = open(&first, &id, PART, &recorded).await;
    let mut newer = open(&second, &id, PART, &recorded).await;
    append(&mut *newer, &bytes[PART..]).await;
    let resume = newer.checkpoint().await.unwrap();
    // The older one did not notice yet, and its part comes last.
    append(&mut *late, &noise(PART)).await;
    late.checkpoint().await.unwrap();
    let mut staged = open(&second, &id, bytes.len(), &resume).await;
    let digest = digest(Algorithm::Sha256, &bytes);
    staged.prepare(&digest).await.unwrap();
    let published = staged.publish(&digest).await;
    assert!(published.is_err(), "an error, never a mixture");
    second.discard(&id, None).await.unwrap();
    assert_tidy(&server, &[]).await;
}

#[tokio::test]
async fn the_wrong_digest_is_seen_even_if_it_was_not_announced() {
    let (server, config) = small_parts();
    let data = data(&config).await;
    let id = session();
    for size in [10, PART + 10] {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let mut staged = open(&data, &id, 0, &Resume::default()).await;
            append(&mut *staged, &noise(size)).await;
            let wrong = digest(algorithm, b"other bytes");
            let prepared = staged.prepare(&wrong).await;
            let refused = match prepared {
                Err(error) => error,
                Ok(_) => staged.publish(&wrong).await.unwrap_err(),
            };
            let is_wrong = matches!(refused, StorageError::WrongDigest { .. });
            assert!(is_wrong, "{refused:?}");
            data.discard(&id, None).await.unwrap();
            assert_tidy(&server, &[]).await;
        }
    }
}

#[tokio::test]
async fn old_uploads_without_session_are_swept() {
    let (server, config) = small_parts();
    let data = data(&config).await;
    let right = digest(Algorithm::Sha256, b"x");
    let mut staged = data.stage(Stage::whole(&right, None)).await.unwrap();
    append(&mut *staged, &noise(PART + 300_000)).await;
    staged.pause().await.unwrap();
    // As if the process had died.
    std::mem::forget(staged);
    assert_eq!(data.sweep(1).await.unwrap(), 0, "young");
    assert_eq!(data.sweep(u64::MAX).await.unwrap(), 2, "upload and scrap");
    assert_tidy(&server, &[]).await;
}
