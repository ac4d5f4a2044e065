// SPDX-License-Identifier: Apache-2.0
//! Lists: byte order, pages, prefixes and delimiters.

use bucket::Options;

use crate::setting::{client, put, server};

#[tokio::test]
async fn keys_come_in_byte_order_a_page_at_a_time() {
    let server = server(Options::default());
    let client = client(&server);
    let mut keys = vec![
        "a", "a!", "a-b", "a/b", "a/b c+d%", "a0", "B", "\u{e9}", "z",
    ];
    for key in &keys {
        put(&client, &server, key, b"x").await;
    }
    keys.sort_unstable();
    let mut found = Vec::new();
    let mut token = None;
    loop {
        let list = client.list_objects_v2().bucket(server.name()).max_keys(2);
        let page = list.set_continuation_token(token).send().await.unwrap();
        assert!(page.contents().len() <= 2);
        found.extend(
            page.contents()
                .iter()
                .map(|object| object.key().unwrap().to_owned()),
        );
        token = page.next_continuation_token().map(str::to_owned);
        assert_eq!(page.is_truncated(), Some(token.is_some()));
        if token.is_none() {
            break;
        }
    }
    assert_eq!(found, keys);
}

#[tokio::test]
async fn a_list_begins_after_a_key_and_stays_below_its_prefix() {
    let server = server(Options::default());
    let client = client(&server);
    for key in ["t/1", "t/2", "t/3", "u/1"] {
        put(&client, &server, key, b"x").await;
    }
    for (after, expected) in [
        ("", vec!["t/1", "t/2", "t/3"]),
        ("t/1", vec!["t/2", "t/3"]),
        ("t/10", vec!["t/2", "t/3"]),
        ("s", vec!["t/1", "t/2", "t/3"]),
        ("t/3", vec![]),
    ] {
        let list = client.list_objects_v2().bucket(server.name()).prefix("t/");
        let page = list.start_after(after).send().await.unwrap();
        let found: Vec<_> = page
            .contents()
            .iter()
            .filter_map(|object| object.key())
            .collect();
        assert_eq!(found, expected, "after {after:?}");
    }
}

#[tokio::test]
async fn a_delimiter_folds_keys_into_prefixes_also_over_pages() {
    let server = server(Options::default());
    let client = client(&server);
    for key in ["p/a/1", "p/a/2", "p/b", "p/c/1", "p/c/2", "p/d"] {
        put(&client, &server, key, b"x").await;
    }
    for size in [1, 2, 3, 1000] {
        let mut found = Vec::new();
        let mut pages = client
            .list_objects_v2()
            .bucket(server.name())
            .prefix("p/")
            .delimiter("/")
            .max_keys(size)
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            let page = page.unwrap();
            let keys = page.contents().iter().filter_map(|object| object.key());
            let prefixes = page
                .common_prefixes()
                .iter()
                .filter_map(|prefix| prefix.prefix());
            let mut both: Vec<_> = keys.chain(prefixes).map(str::to_owned).collect();
            both.sort_unstable();
            found.extend(both);
        }
        assert_eq!(found, ["p/a/", "p/b", "p/c/", "p/d"], "pages of {size}");
    }
}
