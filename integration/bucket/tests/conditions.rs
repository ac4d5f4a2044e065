// SPDX-License-Identifier: Apache-2.0
//! Conditions: what they refuse, and that they are atomic.

use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use bucket::{Conditions, Options, Server};

use crate::setting::{client, client_with_secret, put, refusal, server};

fn keys(server: &Server) -> Vec<String> {
    server
        .objects()
        .into_iter()
        .map(|object| object.key)
        .collect()
}

#[tokio::test]
async fn a_condition_refuses_with_the_code_of_its_reason() {
    let server = server(Options::default());
    let client = client(&server);
    let put_if = |key: &str| {
        client
            .put_object()
            .bucket(server.name())
            .key(key)
            .body(b"x".to_vec().into())
    };
    let delete_if = |key: &str| client.delete_object().bucket(server.name()).key(key);
    let etag = put(&client, &server, "there", b"1").await;

    let precondition = (412, "PreconditionFailed".to_owned());
    let missing = (404, "NoSuchKey".to_owned());
    let fine = (200, String::new());
    assert_eq!(
        refusal(put_if("there").if_none_match("*").send().await),
        precondition
    );
    assert_eq!(
        refusal(put_if("there").if_match("\"other\"").send().await),
        precondition
    );
    assert_eq!(
        refusal(put_if("gone").if_match(&etag).send().await),
        missing
    );
    assert_eq!(
        refusal(delete_if("there").if_match("\"other\"").send().await),
        precondition
    );
    assert_eq!(
        refusal(delete_if("gone").if_match(&etag).send().await),
        missing
    );
    assert_eq!(refusal(delete_if("gone").send().await), fine);
    assert_eq!(keys(&server), ["there"]);
    assert_eq!(
        server.objects()[0].etag,
        etag.trim_matches('"'),
        "nothing changed"
    );

    assert_eq!(refusal(put_if("new").if_none_match("*").send().await), fine);
    assert_eq!(refusal(put_if("there").if_match(&etag).send().await), fine);
    assert_eq!(refusal(delete_if("new").if_match("*").send().await), fine);
    assert_eq!(keys(&server), ["there"]);
}

#[tokio::test]
async fn reads_heed_conditions_and_ranges() {
    let server = server(Options::default());
    let client = client(&server);
    let etag = put(&client, &server, "k", b"0123456789").await;
    let get = || client.get_object().bucket(server.name()).key("k");
    assert_eq!(refusal(get().if_none_match(&etag).send().await).0, 304);
    assert_eq!(refusal(get().if_match("\"other\"").send().await).0, 412);
    assert_eq!(
        refusal(get().range("bytes=10-").send().await),
        (416, "InvalidRange".to_owned())
    );
    for (range, body, name) in [
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=8-", "89", "bytes 8-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
        ("bytes=0-100", "0123456789", "bytes 0-9/10"),
    ] {
        let answer = get().range(range).send().await.unwrap();
        assert_eq!(answer.content_range(), Some(name), "{range}");
        assert_eq!(
            answer.body.collect().await.unwrap().into_bytes(),
            body,
            "{range}"
        );
    }
}

#[tokio::test]
async fn the_same_bytes_have_the_same_etag_again() {
    let server = server(Options::default());
    let client = client(&server);
    let first = put(&client, &server, "k", b"a").await;
    let second = put(&client, &server, "k", b"b").await;
    assert_ne!(first, second);
    assert_eq!(first, put(&client, &server, "k", b"a").await);
}

#[tokio::test]
async fn of_32_concurrent_creators_one_wins() {
    let server = server(Options::default());
    let client = client(&server);
    let create = |number: u8| {
        let put = client.put_object().bucket(server.name()).key("one");
        put.body(vec![number].into()).if_none_match("*").send()
    };
    let tasks: Vec<_> = (0..32).map(|number| tokio::spawn(create(number))).collect();
    let mut winners = 0;
    for task in tasks {
        match refusal(task.await.unwrap()).0 {
            200 => winners += 1,
            status => assert_eq!(status, 412),
        }
    }
    assert_eq!(winners, 1);
}

#[tokio::test]
async fn of_32_concurrent_writers_from_one_version_one_wins() {
    let server = server(Options::default());
    let client = client(&server);
    let etag = put(&client, &server, "one", b"start").await;
    let replace = |number: u8| {
        let put = client.put_object().bucket(server.name()).key("one");
        put.body(vec![number].into()).if_match(&etag).send()
    };
    let tasks: Vec<_> = (0..32)
        .map(|number| tokio::spawn(replace(number)))
        .collect();
    let mut winners = 0;
    for task in tasks {
        winners += usize::from(refusal(task.await.unwrap()).0 == 200);
    }
    assert_eq!(winners, 1);
}

#[tokio::test]
async fn a_batch_of_deletes_checks_each() {
    let server = server(Options::default());
    let client = client(&server);
    let etag = put(&client, &server, "a", b"1").await;
    put(&client, &server, "b", b"2").await;
    let name = |key: &str, etag: &str| {
        let name = ObjectIdentifier::builder().key(key).e_tag(etag);
        name.build().unwrap()
    };
    let batch = Delete::builder()
        .objects(name("a", &etag))
        .objects(name("b", &etag));
    let delete = client.delete_objects().bucket(server.name());
    let answer = delete.delete(batch.build().unwrap()).send().await.unwrap();
    assert_eq!(answer.deleted()[0].key(), Some("a"));
    assert_eq!(answer.errors()[0].code(), Some("PreconditionFailed"));
    assert_eq!(keys(&server), ["b"]);
}

#[tokio::test]
async fn a_dialect_ignores_what_it_does_not_know() {
    for (conditions, put_status, delete_status) in [
        (Conditions::Full, 412, 412),
        (Conditions::NoConditionalDelete, 412, 200),
        (Conditions::Ignored, 200, 200),
    ] {
        let server = server(Options {
            conditions,
            ..Options::default()
        });
        let client = client(&server);
        put(&client, &server, "k", b"1").await;
        let again = client.put_object().bucket(server.name()).key("k");
        let again = again
            .body(b"1".to_vec().into())
            .if_none_match("*")
            .send()
            .await;
        assert_eq!(refusal(again).0, put_status, "{conditions:?}");
        let delete = client.delete_object().bucket(server.name()).key("k");
        let delete = delete.if_match("\"other\"").send().await;
        assert_eq!(refusal(delete).0, delete_status, "{conditions:?}");
    }
}

#[tokio::test]
async fn a_wrong_secret_is_refused() {
    let server = server(Options::default());
    let client = client_with_secret(&server, "wrong");
    let get = client
        .get_object()
        .bucket(server.name())
        .key("k")
        .send()
        .await;
    assert_eq!(refusal(get), (403, "SignatureDoesNotMatch".to_owned()));
}
