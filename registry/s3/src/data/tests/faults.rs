// SPDX-License-Identifier: Apache-2.0
//! Lost answers and cut bodies.

use oci::Algorithm;
use registry::storage::Bytes;
use registry::storage::data::{Data as _, Stage};

use super::proxy::{Fault, Proxy};
use super::{PART, append, assert_tidy, data, digest, noise, read, small_parts};

#[tokio::test]
async fn lost_answers_to_every_step_of_an_upload() {
    for head in [
        &["POST ", "uploads"][..],
        &["PUT ", "partNumber=1&"],
        &["PUT ", "partNumber=2&"],
        &["POST ", "uploadId="],
    ] {
        let (server, mut config) = small_parts();
        let lost = Fault {
            head,
            answer_bytes: 0,
        };
        let proxy = Proxy::start(&server.endpoint(), vec![lost]).await;
        config.endpoint = Some(proxy.endpoint.clone());
        let data = data(&config).await;
        let bytes = noise(2 * PART + 9);
        let right = digest(Algorithm::Sha256, &bytes);
        let mut staged = data.stage(Stage::whole(&right, None)).await.unwrap();
        append(&mut *staged, &bytes).await;
        let location = staged.publish(&right).await.unwrap().location;
        assert_eq!(proxy.left(), 0, "{head:?} was lost");
        assert!(read(&data, &location, bytes.len()).await == bytes);
        // An upload that nobody knows of can only be found by its age.
        data.sweep(u64::MAX).await.unwrap();
        assert_tidy(&server, &[&location]).await;
    }
}

#[tokio::test]
async fn a_small_blob_whose_answer_is_lost_is_written_again() {
    let (server, mut config) = small_parts();
    let lost = Fault {
        head: &["PUT ", "/d/k/"],
        answer_bytes: 0,
    };
    let proxy = Proxy::start(&server.endpoint(), vec![lost]).await;
    config.endpoint = Some(proxy.endpoint.clone());
    let data = data(&config).await;
    let right = digest(Algorithm::Sha256, b"hello");
    let mut staged = data.stage(Stage::whole(&right, Some(5))).await.unwrap();
    append(&mut *staged, b"hello").await;
    let location = staged.publish(&right).await.unwrap().location;
    assert_eq!(
        (proxy.left(), read(&data, &location, 5).await),
        (0, b"hello".to_vec())
    );
    assert_tidy(&server, &[&location]).await;
}

#[tokio::test]
async fn a_body_that_breaks_off_goes_on_where_it_did() {
    let (server, mut config) = small_parts();
    let cut = |answer_bytes| Fault {
        head: &["GET ", "/d/k/"],
        answer_bytes,
    };
    let faults = vec![cut(900_000), cut(1), cut(2_000_000), cut(400_000)];
    let proxy = Proxy::start(&server.endpoint(), faults).await;
    let direct = data(&config).await;
    config.endpoint = Some(proxy.endpoint.clone());
    let data = data(&config).await;
    let bytes = noise(4 << 20);
    let right = digest(Algorithm::Sha256, &bytes);
    let mut staged = direct.stage(Stage::whole(&right, None)).await.unwrap();
    append(&mut *staged, &bytes).await;
    let location = staged.publish(&right).await.unwrap().location;
    assert!(read(&data, &location, bytes.len()).await == bytes);
    assert_eq!(proxy.left(), 0);
    let small = data.read(&location, 7..20).await.unwrap();
    assert!(matches!(small, Bytes::Whole(piece) if piece == bytes[7..20]));
}
