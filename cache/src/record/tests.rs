// SPDX-License-Identifier: Apache-2.0
//! Records and claims, among threads, stores and processes.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::{CacheKey, Claim, Record, RecordError};
use crate::testing::{reopen, snapshot, store};

fn record(bytes: &[u8]) -> Record {
    Record {
        snapshot: None,
        bytes: bytes.to_vec(),
    }
}

#[test]
fn put_then_get_is_equal_in_every_process() {
    let (dir, store) = store();
    let id = snapshot(&store, None, &[("a", "1")]);
    let key = CacheKey::of("test", &[b"key"]);
    let full = Record {
        snapshot: Some(id),
        bytes: b"result".to_vec(),
    };
    assert_eq!(store.get(&key).unwrap(), None);
    store.put(&key, &full).unwrap();
    let other = reopen(dir.path(), "boot-1");
    assert_eq!(other.get(&key).unwrap(), Some(full));
    other.delete(&key).unwrap();
    assert_eq!(store.get(&key).unwrap(), None);
}

#[test]
fn results_are_limited() {
    let (_dir, store) = store();
    let key = CacheKey::of("test", &[b"key"]);
    let error = store.put(&key, &record(&vec![0; super::RESULT_BYTES_MAX + 1]));
    assert!(matches!(error, Err(RecordError::TooLarge { .. })));
}

#[test]
fn keys_of_different_parts_differ() {
    let keys = [
        CacheKey::of("a", &[b"bc"]),
        CacheKey::of("ab", &[b"c"]),
        CacheKey::of("a", &[b"b", b"c"]),
        CacheKey::of("a", &[b"bc", b""]),
    ];
    let distinct: std::collections::BTreeSet<_> = keys.iter().collect();
    assert_eq!(distinct.len(), keys.len());
}

#[test]
fn one_of_many_runs_the_step_and_all_take_its_result() {
    let (dir, _store) = store();
    let runs = AtomicUsize::new(0);
    let key = CacheKey::of("test", &[b"shared"]);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let store = reopen(dir.path(), "boot-1");
                let mut claim = store.claim(&key).unwrap();
                let found = loop {
                    match claim {
                        Claim::Found(record) => break record,
                        Claim::Owned(guard) => {
                            runs.fetch_add(1, Ordering::SeqCst);
                            std::thread::sleep(std::time::Duration::from_millis(20));
                            guard.finish(&record(b"done")).unwrap();
                            break record(b"done");
                        }
                        Claim::Busy(waiter) => claim = waiter.wait(&|| false).unwrap(),
                    }
                };
                assert_eq!(found, record(b"done"));
            });
        }
    });
    assert_eq!(runs.into_inner(), 1);
    assert_eq!(
        std::fs::read_dir(dir.path().join("root/claims"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn failed_owner_frees_the_claim() {
    let (_dir, store) = store();
    let key = CacheKey::of("test", &[b"fails"]);
    let Claim::Owned(guard) = store.claim(&key).unwrap() else {
        panic!("nobody else claims it");
    };
    let Claim::Busy(waiter) = store.claim(&key).unwrap() else {
        panic!("it is claimed");
    };
    drop(guard);
    assert!(matches!(waiter.wait(&|| false).unwrap(), Claim::Owned(_)));
    store.put(&key, &record(b"x")).unwrap();
    assert!(matches!(store.claim(&key).unwrap(), Claim::Found(_)));
    assert!(matches!(store.claim_anew(&key).unwrap(), Claim::Owned(_)));
}

#[test]
fn waiting_can_be_given_up() {
    let (_dir, store) = store();
    let key = CacheKey::of("test", &[b"slow"]);
    let _guard = store.claim(&key).unwrap();
    let Claim::Busy(waiter) = store.claim(&key).unwrap() else {
        panic!("it is claimed");
    };
    assert!(matches!(
        waiter.wait(&|| true),
        Err(RecordError::Cancelled(_))
    ));
}
