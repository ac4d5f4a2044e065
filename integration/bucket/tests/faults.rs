// SPDX-License-Identifier: Apache-2.0
//! Faults: what the client sees, what was done, and when they happen.

use std::time::{Duration, Instant};

use aws_sdk_s3::Client;
use bucket::{Fault, Faults, Operation, Options, Rule, Server, sequential};

use crate::setting::{bytes, client, put, refusal, server};

async fn try_put(client: &Client, server: &Server, key: &str) -> u16 {
    let put = client.put_object().bucket(server.name()).key(key);
    refusal(put.body(b"x".to_vec().into()).send().await).0
}

#[tokio::test]
async fn a_fault_before_doing_leaves_nothing_and_one_after_leaves_all() {
    for (fault, status, is_done) in [
        (Fault::SlowDown, 503, false),
        (Fault::Conflict, 409, false),
        (Fault::Refused, 500, false),
        (Fault::RequestLost, 0, false),
        (Fault::AnswerLost, 0, true),
        (Fault::AnswerWrong, 500, true),
    ] {
        let server = server(Options::default());
        let client = client(&server);
        server.faults(Faults::none().with(Rule::new(fault.clone())));
        assert_eq!(try_put(&client, &server, "k").await, status, "{fault:?}");
        assert_eq!(server.objects().len(), usize::from(is_done), "{fault:?}");
        let logged = &server.requests()[0];
        assert_eq!(logged.status, (status != 0).then_some(status), "{fault:?}");
        assert_eq!((logged.key.as_str(), &logged.fault), ("k", &Some(fault)));
    }
}

#[tokio::test]
async fn a_rule_counts_the_requests_that_it_matches() {
    let server = server(Options::default());
    let client = client(&server);
    let rule = Rule::new(Fault::SlowDown).on(Operation::PutObject);
    server.faults(Faults::none().with(rule.under("c/").nth(2)));
    let mut statuses = Vec::new();
    for key in ["c/1", "d/1", "c/2", "c/3"] {
        statuses.push(try_put(&client, &server, key).await);
    }
    assert_eq!(statuses, [200, 200, 503, 200]);
}

#[tokio::test]
async fn chances_depend_on_the_seed_alone() {
    let statuses = async |seed| {
        let server = server(Options::default());
        let client = client(&server);
        server.faults(Faults::seeded(seed).with(Rule::new(Fault::SlowDown).per_mille(500)));
        let mut statuses = Vec::new();
        for _ in 0..32 {
            statuses.push(try_put(&client, &server, "k").await);
        }
        statuses
    };
    let first = statuses(1).await;
    assert!(first.contains(&200) && first.contains(&503));
    assert_eq!(first, statuses(1).await);
    assert_ne!(first, statuses(2).await);
}

#[tokio::test]
async fn a_body_can_break_off_and_can_be_slow() {
    let server = server(Options::default());
    let client = client(&server);
    let body = bytes(100_000, 3);
    put(&client, &server, "k", &body).await;
    let get = || client.get_object().bucket(server.name()).key("k").send();

    server.faults(Faults::none().with(Rule::new(Fault::BodyCut {
        after_bytes: 70_000,
    })));
    let mut cut = get().await.unwrap().body;
    let mut received = 0;
    let end = loop {
        match cut.next().await {
            Some(Ok(chunk)) => received += chunk.len(),
            end => break end,
        }
    };
    assert!(
        matches!(end, Some(Err(_))),
        "the body ended as if it were whole"
    );
    assert!(received <= 70_000, "{received} bytes");

    server.faults(Faults::none().with(Rule::new(Fault::BodySlow {
        bytes_per_second: 500_000,
    })));
    let begun = Instant::now();
    let whole = get()
        .await
        .unwrap()
        .body
        .collect()
        .await
        .unwrap()
        .into_bytes();
    assert!(whole == body, "other bytes");
    assert!(
        begun.elapsed() >= Duration::from_millis(200),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn requests_that_wait_for_one_another_are_counted() {
    let server = server(Options::default());
    let client = client(&server);
    let base = Duration::from_millis(50);
    let latency = Fault::Latency {
        base,
        jitter: Duration::ZERO,
    };
    server.faults(Faults::none().with(Rule::new(latency)));
    let begun = Instant::now();
    tokio::join!(
        try_put(&client, &server, "a"),
        try_put(&client, &server, "b")
    );
    tokio::join!(
        try_put(&client, &server, "c"),
        try_put(&client, &server, "d")
    );
    assert!(begun.elapsed() >= 2 * base);
    let requests = server.requests();
    assert_eq!((requests.len(), sequential(&requests)), (4, 2));
    server.clear_log();
    assert_eq!(server.requests(), []);
}
