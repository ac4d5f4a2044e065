// SPDX-License-Identifier: Apache-2.0
//! Push: order, what is not sent, what is resumed.

use oci::Index;

use super::super::PushError;
use super::*;

/// Replaces digests by the names of what they are.
fn readable(log: &[String], sample: &Sample) -> Vec<String> {
    let named = |line: &String| {
        let mut line = line.clone();
        for (position, bytes) in sample.layers.iter().enumerate() {
            line = line.replace(&sha256(bytes).to_string(), &format!("LAYER{position}"));
        }
        line.replace(&sample.image.id().to_string(), "CONFIG")
    };
    log.iter().map(named).collect()
}

#[tokio::test]
async fn layers_then_config_then_tag() {
    let world = World::new();
    let sample = sample(&["a"]);
    let descriptor = sample.put_local(&world.layout);
    world.push(&descriptor, "app:1").await.unwrap();
    let log = readable(&world.fake.log(), &sample);
    assert_eq!(
        log,
        [
            "HEAD /v2/app/blobs/LAYER0",
            "POST /v2/app/blobs/uploads/",
            "PUT /v2/app/blobs/uploads/u0",
            "HEAD /v2/app/blobs/CONFIG",
            "POST /v2/app/blobs/uploads/",
            "PUT /v2/app/blobs/uploads/u0",
            "PUT /v2/app/manifests/1",
        ]
    );
    let key = ("app".to_owned(), sample.digest(0));
    assert_eq!(world.fake.state().blobs[&key], sample.layers[0]);
}

#[tokio::test]
async fn what_the_registry_has_costs_no_bytes() {
    let world = World::new();
    let sample = sample(&["a", "b"]);
    let descriptor = sample.put_local(&world.layout);
    world.push(&descriptor, "app:1").await.unwrap();
    world.outcomes();
    let manifest = sample.image.manifest_bytes().len();
    world.fake.state().received_bytes = 0;
    world.push(&descriptor, "app:2").await.unwrap();
    assert_eq!(world.fake.state().received_bytes, manifest);
    assert_eq!(
        world.outcomes(),
        [Outcome::Existed, Outcome::Existed, Outcome::Existed]
    );
}

#[tokio::test]
async fn what_another_repository_has_is_mounted() {
    let world = World::new();
    let sample = sample(&["a"]);
    sample.put_remote(&world.fake, "base", "1");
    let pulled = world.pull("base:1").await.unwrap();
    world.outcomes();
    world.fake.log();
    world.push(&pulled.descriptor, "app:1").await.unwrap();
    let mounted = Outcome::Mounted(world.reference("base").repository().clone());
    assert_eq!(world.outcomes(), [mounted.clone(), mounted]);
    let log = world.fake.log();
    assert!(log.iter().any(|line| line.ends_with("mount")), "{log:?}");
    // A source that has lost the blob costs nothing but the question.
    world.fake.state().blobs.clear();
    world.push(&pulled.descriptor, "other:1").await.unwrap();
    let key = ("other".to_owned(), sample.digest(0));
    assert_eq!(world.fake.state().blobs[&key], sample.layers[0]);
}

#[tokio::test]
async fn a_cut_upload_goes_on_where_it_stopped() {
    let world = World::new();
    let sample = sample(&["a"]);
    let descriptor = sample.put_local(&world.layout);
    world
        .fake
        .fail(on(1, "PUT", "/uploads/u0", || Fault::CutRequest(1000)));
    world.push(&descriptor, "app:1").await.unwrap();
    let log = readable(&world.fake.log(), &sample);
    assert_eq!(
        log[2..7],
        [
            "PUT /v2/app/blobs/uploads/u0",
            "HEAD /v2/app/blobs/LAYER0",
            "GET /v2/app/blobs/uploads/u0",
            "PATCH /v2/app/blobs/uploads/u0 1000-2999",
            "PUT /v2/app/blobs/uploads/u0",
        ]
    );
    let key = ("app".to_owned(), sample.digest(0));
    assert_eq!(world.fake.state().blobs[&key], sample.layers[0]);
}

#[tokio::test]
async fn a_session_that_the_registry_lost_is_begun_anew() {
    let world = World::new();
    let sample = sample(&["a"]);
    let descriptor = sample.put_local(&world.layout);
    let lost = || Fault::Answer(Answer::error(404, "BLOB_UPLOAD_UNKNOWN"));
    world.fake.fail(on(2, "PUT", "/uploads/", lost));
    world.push(&descriptor, "app:1").await.unwrap();
    let key = ("app".to_owned(), sample.digest(0));
    assert_eq!(world.fake.state().blobs[&key], sample.layers[0]);
}

#[tokio::test]
async fn a_failed_push_leaves_no_tag() {
    for (rule, method, part, status, code) in [
        ("no rights", "POST", "/uploads/", 403, "DENIED"),
        ("other digest", "PUT", "/uploads/", 400, "DIGEST_INVALID"),
        ("quota", "POST", "/uploads/", 400, "QUOTA"),
        (
            "bad manifest",
            "PUT",
            "/manifests/",
            400,
            "MANIFEST_INVALID",
        ),
    ] {
        let world = World::new();
        let sample = sample(&["a", "b"]);
        let descriptor = sample.put_local(&world.layout);
        let fault = move || Fault::Answer(Answer::error(status, code));
        world.fake.fail(on(100, method, part, fault));
        let error = world.push(&descriptor, "app:1").await.unwrap_err();
        let fits = match code {
            "DENIED" => matches!(error, PushError::Denied(..)),
            "DIGEST_INVALID" => matches!(error, PushError::DigestRejected(..)),
            "QUOTA" => matches!(error, PushError::Blob { .. }),
            _ => matches!(error, PushError::Manifest { .. }),
        };
        assert!(fits, "{rule}: {error:?}");
        assert!(world.fake.state().manifests.is_empty(), "{rule}");
    }
}

#[tokio::test]
async fn an_upload_that_always_breaks_says_how_far_it_got() {
    let world = World::new();
    let sample = sample(&["a"]);
    let descriptor = sample.put_local(&world.layout);
    let mut cut = 1000;
    world.fake.fail(move |request| {
        let upload = request.method == "PUT" || request.method == "PATCH";
        upload.then(|| Fault::CutRequest(std::mem::take(&mut cut)))
    });
    let error = world.push(&descriptor, "app:1").await.unwrap_err();
    let fits = matches!(
        error,
        PushError::Interrupted {
            sent_bytes: 1000,
            size_bytes: 3000,
            ..
        }
    );
    assert!(fits, "{error:?}");
}

#[tokio::test]
async fn an_index_comes_after_its_manifests() {
    let world = World::new();
    let samples = [sample(&["a"]), sample(&["b"])];
    let entries = samples.iter().map(|sample| sample.put_local(&world.layout));
    let bytes = Index::new(entries.collect()).to_bytes();
    let index = world.layout.put_bytes(MediaType::OciIndex, &bytes).unwrap();
    world.push(&index, "app:1").await.unwrap();
    let log = world.fake.log();
    let puts: Vec<&str> = log
        .iter()
        .filter_map(|line| line.strip_prefix("PUT /v2/app/manifests/"))
        .collect();
    let digest = |at: usize| samples[at].image.descriptor().digest.to_string();
    assert_eq!(puts, [digest(0).as_str(), &digest(1), "1"]);
}

#[tokio::test]
async fn a_layer_that_is_not_here_is_fetched_only_if_it_is_needed() {
    let world = World::new();
    let sample = sample(&["a"]);
    sample.put_remote(&world.fake, "base", "1");
    let pulled = world.pull("base:1").await.unwrap();
    world.layout.delete_blob(&sample.digest(0)).unwrap();
    let error = world.push(&pulled.descriptor, "app:1").await.unwrap_err();
    assert!(matches!(error, PushError::Missing { .. }), "{error:?}");

    world
        .layout
        .remember_source(&sample.digest(0), world.reference("base").repository());
    world.push(&pulled.descriptor, "app:1").await.unwrap();
    assert_eq!(
        world.layout.stat_blob(&sample.digest(0)).unwrap(),
        None,
        "mounted"
    );

    // Another registry cannot mount.
    let other = Fake::start();
    let name: Reference = format!("{}/app:1", other.host).parse().unwrap();
    let none = Progress::none();
    world
        .client
        .push(&world.layout, &pulled.descriptor, &name, &none)
        .await
        .unwrap();
    let key = ("app".to_owned(), sample.digest(0));
    assert_eq!(other.state().blobs[&key], sample.layers[0]);
}
