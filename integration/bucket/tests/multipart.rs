// SPDX-License-Identifier: Apache-2.0
//! Multipart uploads: what may be completed, and what comes of it.

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, Part};
use bucket::{Options, Server};

use crate::setting::{bytes, client, put, refusal, server};

const MIB: usize = 1 << 20;

async fn begin(client: &Client, server: &Server) -> String {
    let create = client.create_multipart_upload().bucket(server.name());
    create.key("big").send().await.unwrap().upload_id.unwrap()
}

async fn part(
    client: &Client,
    server: &Server,
    id: &str,
    number: i32,
    body: Vec<u8>,
) -> CompletedPart {
    let upload = client.upload_part().bucket(server.name()).key("big");
    let upload = upload.upload_id(id).part_number(number).body(body.into());
    let etag = upload.send().await.unwrap().e_tag.unwrap();
    CompletedPart::builder()
        .part_number(number)
        .e_tag(etag)
        .build()
}

async fn complete(
    client: &Client,
    server: &Server,
    id: &str,
    parts: Vec<CompletedPart>,
) -> (u16, String) {
    let parts = CompletedMultipartUpload::builder()
        .set_parts(Some(parts))
        .build();
    let complete = client.complete_multipart_upload().bucket(server.name());
    refusal(
        complete
            .key("big")
            .upload_id(id)
            .multipart_upload(parts)
            .send()
            .await,
    )
}

fn answer(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn parts_become_one_object_in_the_order_of_their_numbers() {
    for directory in [None, Some(std::env::temp_dir())] {
        let server = server(Options {
            directory,
            ..Options::default()
        });
        let client = client(&server);
        let (first, last) = (bytes(5 * MIB, 1), bytes(MIB + 3, 2));
        let id = begin(&client, &server).await;
        let b = part(&client, &server, &id, 7, last.clone()).await;
        let a = part(&client, &server, &id, 2, first.clone()).await;
        assert_eq!(server.uploads(), ["big"]);
        assert_eq!(server.objects(), []);
        assert_eq!(complete(&client, &server, &id, vec![a, b]).await.0, 200);
        assert_eq!(server.uploads(), Vec::<String>::new());
        let get = client.get_object().bucket(server.name()).key("big");
        let whole = get.send().await.unwrap();
        assert!(whole.e_tag().unwrap().ends_with("-2\""));
        let whole = whole.body.collect().await.unwrap().into_bytes();
        assert!(whole == [first, last].concat(), "other bytes");
        let get = client.get_object().bucket(server.name()).key("big");
        let range = format!("bytes={}-{}", 5 * MIB - 2, 5 * MIB + 1);
        let middle = get
            .range(range)
            .send()
            .await
            .unwrap()
            .body
            .collect()
            .await
            .unwrap();
        assert_eq!(middle.into_bytes(), whole[5 * MIB - 2..5 * MIB + 2]);
    }
}

#[tokio::test]
async fn completion_refuses_what_breaks_the_rules() {
    let server = server(Options::default());
    let client = client(&server);
    let id = begin(&client, &server).await;
    let small = part(&client, &server, &id, 1, bytes(10, 1)).await;
    let other = part(&client, &server, &id, 2, bytes(10, 2)).await;
    let complete = async |parts: Vec<CompletedPart>| complete(&client, &server, &id, parts).await;
    let wrong = CompletedPart::builder()
        .part_number(1)
        .e_tag("\"other\"")
        .build();
    let absent = CompletedPart::builder()
        .part_number(3)
        .e_tag(small.e_tag().unwrap())
        .build();
    let both = vec![small.clone(), other.clone()];
    assert_eq!(complete(both).await, answer(400, "EntityTooSmall"));
    assert_eq!(
        complete(vec![other.clone(), small.clone()]).await,
        answer(400, "InvalidPartOrder")
    );
    assert_eq!(complete(vec![wrong]).await, answer(400, "InvalidPart"));
    assert_eq!(complete(vec![absent]).await, answer(400, "InvalidPart"));
    assert_eq!(complete(vec![small.clone()]).await.0, 200);
    assert_eq!(complete(vec![small]).await, answer(404, "NoSuchUpload"));
}

#[tokio::test]
async fn a_part_that_was_replaced_is_not_taken_for_the_new_one() {
    let server = server(Options::default());
    let client = client(&server);
    let id = begin(&client, &server).await;
    let old = part(&client, &server, &id, 1, bytes(10, 1)).await;
    let new = part(&client, &server, &id, 1, bytes(10, 2)).await;
    assert_eq!(
        complete(&client, &server, &id, vec![old]).await,
        answer(400, "InvalidPart")
    );
    assert_eq!(complete(&client, &server, &id, vec![new]).await.0, 200);
}

#[tokio::test]
async fn a_store_may_ask_for_parts_of_one_size() {
    let options = Options {
        equal_parts: true,
        part_bytes_min: 10,
        ..Options::default()
    };
    let server = server(options);
    let client = client(&server);
    for (sizes, status) in [
        (vec![20, 20, 5], 200),
        (vec![20, 30, 5], 400),
        (vec![20, 20, 30], 400),
        (vec![30], 200),
    ] {
        let id = begin(&client, &server).await;
        let mut parts = Vec::new();
        for (number, size) in (1..).zip(&sizes) {
            parts.push(part(&client, &server, &id, number, bytes(*size, 1)).await);
        }
        assert_eq!(
            complete(&client, &server, &id, parts).await.0,
            status,
            "{sizes:?}"
        );
    }
}

#[tokio::test]
async fn a_completion_takes_conditions_and_keeps_the_upload_when_they_fail() {
    let server = server(Options::default());
    let client = client(&server);
    put(&client, &server, "big", b"here already").await;
    let id = begin(&client, &server).await;
    let only = part(&client, &server, &id, 1, bytes(10, 1)).await;
    let parts = CompletedMultipartUpload::builder().parts(only).build();
    let complete = client
        .complete_multipart_upload()
        .bucket(server.name())
        .key("big");
    let complete = complete
        .upload_id(&id)
        .multipart_upload(parts)
        .if_none_match("*");
    assert_eq!(
        refusal(complete.send().await),
        answer(412, "PreconditionFailed")
    );
    assert_eq!(server.objects()[0].size_bytes, 12);
    assert_eq!(server.uploads(), ["big"]);
    let abort = client
        .abort_multipart_upload()
        .bucket(server.name())
        .key("big");
    abort.upload_id(&id).send().await.unwrap();
    assert_eq!(server.uploads(), Vec::<String>::new());
}

#[tokio::test]
async fn uploads_and_parts_are_listed_in_pages() {
    let server = server(Options::default());
    let client = client(&server);
    let ids = [begin(&client, &server).await, begin(&client, &server).await];
    let mut found = Vec::new();
    let list = || {
        client
            .list_multipart_uploads()
            .bucket(server.name())
            .max_uploads(1)
    };
    let page = list().send().await.unwrap();
    found.extend(
        page.uploads()
            .iter()
            .map(|upload| upload.upload_id().unwrap().to_owned()),
    );
    assert_eq!(page.is_truncated(), Some(true));
    let list = list().key_marker(page.next_key_marker().unwrap());
    let page = list
        .upload_id_marker(page.next_upload_id_marker().unwrap())
        .send()
        .await
        .unwrap();
    found.extend(
        page.uploads()
            .iter()
            .map(|upload| upload.upload_id().unwrap().to_owned()),
    );
    assert_eq!(
        (found.as_slice(), page.is_truncated()),
        (ids.as_slice(), Some(false))
    );

    for number in [1, 2, 5] {
        part(&client, &server, &ids[0], number, bytes(10, 1)).await;
    }
    let list = client
        .list_parts()
        .bucket(server.name())
        .key("big")
        .upload_id(&ids[0]);
    let page = list
        .max_parts(2)
        .part_number_marker("1")
        .send()
        .await
        .unwrap();
    let numbers: Vec<_> = page.parts().iter().filter_map(Part::part_number).collect();
    assert_eq!(numbers, [2, 5]);
}
