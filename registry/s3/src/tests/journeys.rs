// SPDX-License-Identifier: Apache-2.0
//! How many requests in a row a push costs.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bucket::{Conditions, Fault, Faults, Rule, Server, sequential};
use oci::{Algorithm, Digest, Document, MediaType};
use registry::endpoint::Name;
use registry::storage::data::Stage;
use registry::storage::manifest::{ManifestPut, digest_of};
use registry::storage::memory::MemoryData;
use registry::storage::{Backend, Clock, Condition, SparsePolicy, Store};

use super::{meta, serve};
use crate::mode::Mode;

/// So long that what is sent at once overlaps.
const LATENCY: Fault = Fault::Latency {
    base: Duration::from_millis(60),
    jitter: Duration::ZERO,
};

async fn store(server: &Server) -> Store {
    // Bytes are published while the first records are read: one journey more, beside another.
    let backend = Backend {
        data: Arc::new(MemoryData::default()),
        meta: Arc::new(meta(server, Mode::MultiWriter).await),
    };
    let clock = Clock(|| UNIX_EPOCH);
    Store::open(backend, clock, SparsePolicy::Strict)
        .await
        .unwrap()
}

fn name() -> Name {
    "team/app".parse().unwrap()
}

async fn upload(store: &Store, data: &MemoryData, bytes: &[u8]) -> Digest {
    use registry::storage::Data as _;
    let digest = digest_of(Algorithm::Sha256, bytes);
    let stage = Stage::anonymous(Algorithm::Sha256);
    let mut staged = data.stage(stage).await.unwrap();
    staged
        .append(vec![bytes::Bytes::copy_from_slice(bytes)])
        .await
        .unwrap();
    store
        .publish_blob(&name(), &digest, &mut *staged)
        .await
        .unwrap();
    digest
}

fn image(layers: &[Digest]) -> Document {
    let descriptor = |media_type: &str, digest: &Digest| serde_json::json!({ "mediaType": media_type, "digest": digest.to_string(), "size": 7 });
    let layer = "application/vnd.oci.image.layer.v1.tar";
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", &layers[0]),
        "layers": layers.iter().map(|one| descriptor(layer, one)).collect::<Vec<_>>(),
    });
    Document::parse(
        manifest.to_string().into_bytes(),
        Some(&MediaType::OciManifest),
    )
    .unwrap()
}

fn put<'a>(name: &'a Name, document: &Document, tag: &str) -> ManifestPut<'a> {
    ManifestPut {
        name,
        digest: document.digest(),
        media_type: document.media_type().to_string(),
        document: document.clone(),
        tags: vec![tag.parse().unwrap()],
        tag_condition: Condition::Any,
    }
}

#[tokio::test]
async fn a_blob_costs_three_in_a_row_and_a_manifest_six() {
    let server = serve(Conditions::Full);
    let store = store(&server).await;
    let data = MemoryData::default();
    server.faults(Faults::none().with(Rule::new(LATENCY)));
    let mut layers = Vec::new();
    for number in 0..10 {
        server.clear_log();
        layers.push(upload(&store, &data, format!("layer {number}").as_bytes()).await);
        let requests = server.requests();
        assert_eq!(sequential(&requests), 3, "a new blob: {requests:#?}");
        assert_eq!(requests.len(), 6, "a new blob: {requests:#?}");
    }
    let document = image(&layers);
    for (what, tag, most) in [("a new manifest", "v1", 6), ("one more tag", "v2", 5)] {
        server.clear_log();
        store
            .put_manifest(&put(&name(), &document, tag))
            .await
            .unwrap();
        let requests = server.requests();
        assert!(sequential(&requests) <= most, "{what}: {requests:#?}");
    }
    server.clear_log();
    upload(&store, &data, b"layer 0").await;
    let requests = server.requests();
    assert!(sequential(&requests) <= 3, "a blob again: {requests:#?}");
}
