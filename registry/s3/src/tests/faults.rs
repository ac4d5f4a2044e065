// SPDX-License-Identifier: Apache-2.0
//! What a network and a busy store do to writes.

use bucket::{Conditions, Fault, Faults, Operation, Rule};
use registry::storage::{Condition, Meta, StorageError, Version, Write};

use super::{meta, serve};
use crate::mode::Mode;

fn put(bytes: &[u8], condition: Condition) -> Write {
    Write::Put("c/x".into(), bytes.into(), condition)
}

async fn read(meta: &dyn Meta) -> Option<(Vec<u8>, Version)> {
    meta.get("c/x").await.unwrap()
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_is_not_taken_for_a_lost_race() {
    for fault in [
        Fault::AnswerLost,
        Fault::AnswerWrong,
        Fault::RequestLost,
        Fault::Refused,
        Fault::SlowDown,
        Fault::Conflict,
    ] {
        let server = serve(Conditions::Full);
        let meta = meta(&server, Mode::MultiWriter).await;
        let fail_first = |operation| {
            let rule = Rule::new(fault.clone()).on(operation).first(2);
            server.faults(Faults::none().with(rule));
        };
        fail_first(Operation::PutObject);
        meta.write(vec![put(b"1", Condition::Absent)])
            .await
            .unwrap_or_else(|error| panic!("{fault:?}: create: {error:?}"));
        let (bytes, version) = read(&meta).await.unwrap();
        assert_eq!(bytes, b"1", "{fault:?}");
        fail_first(Operation::PutObject);
        meta.write(vec![put(b"2", Condition::Is(version.clone()))])
            .await
            .unwrap_or_else(|error| panic!("{fault:?}: change: {error:?}"));
        let (bytes, changed) = read(&meta).await.unwrap();
        assert_eq!(bytes, b"2", "{fault:?}");
        let stale = meta.write(vec![put(b"3", Condition::Is(version))]).await;
        assert!(matches!(stale, Err(StorageError::Conflict(_))), "{fault:?}");
        fail_first(Operation::DeleteObject);
        let delete = Write::Delete("c/x".into(), Condition::Is(changed));
        meta.write(vec![delete])
            .await
            .unwrap_or_else(|error| panic!("{fault:?}: delete: {error:?}"));
        assert!(read(&meta).await.is_none(), "{fault:?}");
    }
}

#[tokio::test]
async fn a_write_that_nobody_can_tell_about_fails_but_not_as_a_lost_race() {
    let server = serve(Conditions::Full);
    let meta = meta(&server, Mode::MultiWriter).await;
    meta.write(vec![put(b"1", Condition::Any)]).await.unwrap();
    let (_, version) = read(&meta).await.unwrap();
    // Ours may be what the other one has replaced.
    meta.write(vec![put(b"2", Condition::Any)]).await.unwrap();
    let rule = Rule::new(Fault::Refused).on(Operation::PutObject).first(1);
    server.faults(Faults::none().with(rule));
    let result = meta.write(vec![put(b"3", Condition::Is(version))]).await;
    assert!(matches!(result, Err(StorageError::Io { .. })), "{result:?}");
}

#[tokio::test]
async fn reads_and_listings_are_tried_again() {
    for fault in [
        Fault::RequestLost,
        Fault::Refused,
        Fault::SlowDown,
        Fault::BodyCut { after_bytes: 3 },
    ] {
        let server = serve(Conditions::Full);
        let meta = meta(&server, Mode::MultiWriter).await;
        meta.write(vec![put(&[7; 5000], Condition::Any)])
            .await
            .unwrap();
        for operation in [
            Operation::GetObject,
            Operation::HeadObject,
            Operation::ListObjects,
        ] {
            let rule = Rule::new(fault.clone()).on(operation).first(2);
            server.faults(Faults::none().with(rule));
            let (bytes, version) = read(&meta).await.unwrap();
            assert_eq!(bytes.len(), 5000, "{fault:?}");
            let require = Write::Require("c/x".into(), Condition::Is(version));
            meta.write(vec![require]).await.unwrap();
            assert_eq!(meta.list("c/", "", 10).await.unwrap().len(), 1, "{fault:?}");
        }
    }
}

#[tokio::test]
async fn one_of_many_wins_among_faults() {
    let server = serve(Conditions::Full);
    let meta = meta(&server, Mode::MultiWriter).await;
    let faults = [
        Fault::AnswerLost,
        Fault::AnswerWrong,
        Fault::RequestLost,
        Fault::Conflict,
        Fault::SlowDown,
    ];
    let faults = faults.into_iter().fold(Faults::seeded(7), |faults, fault| {
        faults.with(Rule::new(fault).on(Operation::PutObject).per_mille(60))
    });
    server.faults(faults);
    let mut told = None;
    for round in 0..20_u32 {
        let condition = Condition::unchanged(read(&meta).await.map(|(_, version)| version));
        let writers = (0..8_u32).map(|number| {
            let bytes = format!("{round} {number}").into_bytes();
            let write = meta.write(vec![put(&bytes, condition.clone())]);
            async move { (bytes, write.await) }
        });
        let results = futures_util::future::join_all(writers).await;
        let done: Vec<_> = results
            .iter()
            .filter_map(|(bytes, result)| result.is_ok().then_some(bytes))
            .collect();
        assert!(done.len() <= 1, "round {round}: {done:?}");
        let (now, _) = read(&meta).await.unwrap();
        if let Some(winner) = done.first() {
            assert_eq!(**winner, now, "round {round}");
        }
        let is_conflict = |bytes: &Vec<u8>| {
            let of = results.iter().find(|(of, _)| of == bytes);
            of.is_some_and(|(_, result)| matches!(result, Err(StorageError::Conflict(_))))
        };
        assert!(!is_conflict(&now), "round {round}: who lost did not write");
        told = Some(now);
    }
    assert!(told.is_some());
}
