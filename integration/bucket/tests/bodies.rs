// SPDX-License-Identifier: Apache-2.0
//! Bodies: chunked and signed as the SDK sends them, sums, presigned requests, clocks.

use std::time::{Duration, SystemTime};

use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::types::ChecksumAlgorithm;
use bucket::Options;

use crate::setting::{bytes, client, put, refusal, server};

#[tokio::test]
async fn bodies_with_sums_behind_them_arrive_whole() {
    let directory = Some(std::env::temp_dir());
    let server = server(Options {
        directory,
        ..Options::default()
    });
    let client = client(&server);
    for len in [0, 1, 70_000, 3 << 20] {
        for algorithm in [ChecksumAlgorithm::Crc32, ChecksumAlgorithm::Sha256] {
            let body = bytes(len, 7);
            let put = client.put_object().bucket(server.name()).key("k");
            let put = put.checksum_algorithm(algorithm).body(body.clone().into());
            put.send().await.unwrap();
            let get = client.get_object().bucket(server.name()).key("k");
            let answer = get.send().await.unwrap();
            assert_eq!(answer.content_length(), i64::try_from(len).ok());
            let found = answer.body.collect().await.unwrap().into_bytes();
            assert!(found == body, "{len} bytes came back otherwise");
        }
    }
}

#[tokio::test]
async fn a_wrong_sum_is_refused() {
    let server = server(Options::default());
    let client = client(&server);
    let put = client
        .put_object()
        .bucket(server.name())
        .key("k")
        .body(b"body".to_vec().into());
    let put = put.checksum_crc32("AAAAAA==").send().await;
    assert_eq!(refusal(put), (400, "BadDigest".to_owned()));
    assert_eq!(server.objects(), []);
}

#[tokio::test]
async fn a_presigned_request_needs_no_keys_until_it_expires() {
    let server = server(Options::default());
    let client = client(&server);
    put(&client, &server, "a b/\u{e9}", b"hello").await;
    let get = client.get_object().bucket(server.name()).key("a b/\u{e9}");
    let config = PresigningConfig::expires_in(Duration::from_mins(1)).unwrap();
    let url = get.presigned(config).await.unwrap().uri().to_owned();
    let fetch = |url: String| {
        let curl = std::process::Command::new("curl")
            .args(["-sS", "-w", " %{http_code}", &url])
            .output();
        String::from_utf8(curl.unwrap().stdout).unwrap()
    };
    assert_eq!(fetch(url.clone()), "hello 200");
    assert!(fetch(url.replace("Expires=60", "Expires=61")).ends_with(" 403"));
}

#[tokio::test]
async fn objects_are_stamped_by_the_clock_of_the_server() {
    let server = server(Options {
        clock_skew_seconds: -3600,
        ..Options::default()
    });
    let client = client(&server);
    put(&client, &server, "k", b"x").await;
    let head = client
        .head_object()
        .bucket(server.name())
        .key("k")
        .send()
        .await
        .unwrap();
    let stamped = SystemTime::try_from(*head.last_modified().unwrap()).unwrap();
    #[expect(
        clippy::disallowed_methods,
        reason = "compared with the server's clock"
    )]
    let age = SystemTime::now().duration_since(stamped).unwrap();
    assert!((3590..3660).contains(&age.as_secs()), "{age:?}");
}
