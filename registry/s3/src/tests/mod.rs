// SPDX-License-Identifier: Apache-2.0
//! Records against a real server: what every implementation must do, and what only a network can do
//! to one.

mod faults;
mod journeys;

use std::time::{Duration, UNIX_EPOCH};

use bucket::{Conditions, Options, Server};
use registry::storage::{Clock, Condition, Meta, StorageError, Write, contract};

use crate::client::Bucket;
use crate::config::{BucketConfig, StaticCredentials};
use crate::meta::S3Meta;
use crate::mode::Mode;
use crate::open::{OpenError, Opened, open_at};
use crate::writer::Pace;

pub(crate) fn config(server: &Server) -> BucketConfig {
    let mut config = BucketConfig::new(server.name());
    config.endpoint = Some(server.endpoint());
    config.region = Some(server.region().to_owned());
    config.path_style = true;
    config.prefix = "team/registry".to_owned();
    config.credentials = Some(StaticCredentials {
        access_key_id: server.access_key().to_owned(),
        secret_access_key: server.secret_key().to_owned(),
        session_token: None,
    });
    config
}

pub(crate) fn serve(conditions: Conditions) -> Server {
    let options = Options {
        conditions,
        ..Options::default()
    };
    Server::start(options).unwrap()
}

async fn meta(server: &Server, mode: Mode) -> S3Meta {
    S3Meta::new(Bucket::new(&config(server)).await, mode)
}

#[tokio::test]
async fn keeps_the_contract_in_every_mode() {
    for (conditions, mode) in [
        (Conditions::Full, Mode::MultiWriter),
        (
            Conditions::NoConditionalDelete,
            Mode::WithoutConditionalDelete,
        ),
        (Conditions::Ignored, Mode::SingleWriter),
    ] {
        let server = serve(conditions);
        contract::meta(&meta(&server, mode).await).await;
    }
}

const QUICK: Pace = Pace {
    beat: Duration::from_millis(20),
    patience: Duration::from_millis(200),
};

async fn open(config: &BucketConfig) -> Result<Opened, OpenError> {
    open_at(config, Clock(|| UNIX_EPOCH), QUICK).await
}

#[tokio::test]
async fn the_probe_finds_the_mode_and_a_second_start_believes_it() {
    for (conditions, mode) in [
        (Conditions::Full, Mode::MultiWriter),
        (
            Conditions::NoConditionalDelete,
            Mode::WithoutConditionalDelete,
        ),
        (Conditions::Ignored, Mode::SingleWriter),
    ] {
        let server = serve(conditions);
        let config = config(&server);
        let opened = open(&config).await.unwrap();
        assert_eq!(opened.mode, mode, "{:?}", opened.reason);
        assert_eq!(opened.reason.is_none(), mode == Mode::MultiWriter);
        let left = server.objects();
        assert!(
            !left.iter().any(|object| object.key.contains("meta/probe/")),
            "{left:?}"
        );
        drop(opened);
        server.clear_log();
        let again = open(&config).await.unwrap();
        assert_eq!(again.mode, mode);
        if mode.allows_replicas() {
            assert_eq!(server.requests().len(), 1, "one read at start");
        }
        server.clear_log();
        let asked = BucketConfig {
            probe_again: true,
            ..config
        };
        drop(again);
        open(&asked).await.unwrap();
        assert!(server.requests().len() > 20, "it was probed anew");
    }
}

#[tokio::test]
async fn a_store_without_conditions_has_one_writer() {
    let server = serve(Conditions::Ignored);
    let config = config(&server);
    let first = open(&config).await.unwrap();
    let put = || Write::Put("c/x".into(), b"1".to_vec(), Condition::Any);
    first.backend.meta.write(vec![put()]).await.unwrap();
    let second = open(&config).await;
    assert!(
        matches!(second, Err(OpenError::SecondWriter(_))),
        "{second:?}"
    );
    first.backend.meta.write(vec![put()]).await.unwrap();
    // Somebody who did not wait writes all the same: the first notices, and stops.
    let intruder = Write::Put("meta/writer".into(), b"{}".to_vec(), Condition::Any);
    let rogue = meta(&server, Mode::SingleWriter).await;
    let mut stopped = false;
    for _ in 0..200 {
        rogue.write(vec![intruder.clone()]).await.unwrap();
        tokio::time::sleep(QUICK.beat).await;
        if matches!(
            first.backend.meta.write(vec![put()]).await,
            Err(StorageError::InUse(_))
        ) {
            stopped = true;
            break;
        }
    }
    assert!(stopped);
    drop(first);
    open(&config).await.unwrap();
}

#[tokio::test]
async fn what_was_deleted_on_a_condition_is_absent_everywhere() {
    let server = serve(Conditions::NoConditionalDelete);
    let meta = meta(&server, Mode::WithoutConditionalDelete).await;
    let put = |bytes: &[u8]| Write::Put("l/a/@t/v1".into(), bytes.into(), Condition::Absent);
    for bytes in [b"one", b"two"] {
        meta.write(vec![put(bytes)]).await.unwrap();
        let again = meta.write(vec![put(b"x")]).await;
        assert!(matches!(again, Err(StorageError::Conflict(_))));
        let (read, version) = meta.get("l/a/@t/v1").await.unwrap().unwrap();
        assert_eq!(read, bytes);
        let delete = Write::Delete("l/a/@t/v1".into(), Condition::Is(version));
        meta.write(vec![delete.clone()]).await.unwrap();
        assert!(meta.get("l/a/@t/v1").await.unwrap().is_none());
        assert!(meta.list("l/a/", "", 10).await.unwrap().is_empty());
        let twice = meta.write(vec![delete]).await;
        assert!(matches!(twice, Err(StorageError::Conflict(_))));
        let absent = Write::Require("l/a/@t/v1".into(), Condition::Absent);
        meta.write(vec![absent]).await.unwrap();
    }
    assert_eq!(server.objects().len(), 1, "the tombstone");
}
