// SPDX-License-Identifier: Apache-2.0
//! Pull: what is verified, resumed, retried, chosen.

use oci::layout::ANNOTATION_INDEX_DIGEST;
use oci::{Index, VerifyError};

use super::super::{CallError, FetchError, PullError, RegistryConfig, TransportError};
use super::*;

#[tokio::test]
async fn a_pull_brings_everything_and_tags_last() {
    let world = World::new();
    let sample = sample(&["a", "b", "a"]);
    sample.put_remote(&world.fake, "app", "1");
    let pulled = world.pull("app:1").await.unwrap();
    assert_eq!(pulled.digest, sample.image.descriptor().digest);
    world.check_local(&pulled.descriptor);
    let tagged = world.layout.resolve(&world.reference("app:1")).unwrap();
    assert_eq!(tagged.unwrap().digest, pulled.digest);
    assert_eq!(
        world.outcomes(),
        [Outcome::Transferred, Outcome::Transferred]
    );
    // What is here is not fetched again.
    world.fake.log();
    world.pull("app:1").await.unwrap();
    let log = world.fake.log();
    assert!(
        log.iter()
            .all(|line| !line.contains(sample.digest(0).hex())),
        "{log:?}"
    );
}

#[tokio::test]
async fn a_cut_layer_goes_on_where_it_stopped() {
    for no_ranges in [false, true] {
        let world = World::new();
        let sample = sample(&["a"]);
        sample.put_remote(&world.fake, "app", "1");
        world.fake.state().no_ranges = no_ranges;
        world
            .fake
            .fail(on(2, "GET", sample.digest(0), || Fault::CutAnswer(1000)));
        let pulled = world.pull("app:1").await.unwrap();
        world.check_local(&pulled.descriptor);
        let log = world.fake.log();
        let ranges: Vec<&str> = log
            .iter()
            .filter_map(|line| line.split("bytes=").nth(1))
            .collect();
        let expected: &[&str] = if no_ranges {
            &["1000-", "1000-"]
        } else {
            &["1000-", "2000-"]
        };
        assert_eq!(ranges, expected);
    }
}

#[tokio::test]
async fn the_next_pull_goes_on_where_the_last_gave_up() {
    let world = World::new();
    let sample = sample(&["a"]);
    sample.put_remote(&world.fake, "app", "1");
    let mut first = true;
    let digest = sample.digest(0).to_string();
    world.fake.fail(move |request| {
        if !request.target.contains(&digest) || request.method != "GET" {
            return None;
        }
        Some(Fault::CutAnswer(if std::mem::take(&mut first) {
            2000
        } else {
            0
        }))
    });
    let error = world.pull("app:1").await.unwrap_err();
    let PullError::Blob(_, source) = &error else {
        panic!("{error:?}")
    };
    let interrupted = matches!(
        **source,
        FetchError::Interrupted {
            received_bytes: 2000,
            ..
        }
    );
    assert!(interrupted, "{error:?}");
    assert_eq!(world.layout.entries().unwrap(), []);
    world.fake.fail(|_| None);
    world.fake.log();
    world.pull("app:1").await.unwrap();
    let log = world.fake.log();
    assert!(
        log.iter().any(|line| line.ends_with("bytes=2000-")),
        "{log:?}"
    );
}

#[tokio::test]
async fn damaged_remains_of_an_earlier_pull_do_no_harm() {
    let world = World::new();
    let sample = sample(&["a"]);
    sample.put_remote(&world.fake, "app", "1");
    let mut writer = world
        .layout
        .resume_blob(&sample.digest(0), 1 << 20)
        .unwrap();
    writer.write_bytes(b"something else").unwrap();
    drop(writer);
    let pulled = world.pull("app:1").await.unwrap();
    world.check_local(&pulled.descriptor);
}

#[tokio::test]
async fn wrong_bytes_are_refused_and_nothing_is_tagged() {
    type Wrong = fn(&mut Vec<u8>);
    let table: [(&str, Wrong); 4] = [
        ("other bytes", |bytes| bytes[7] ^= 1),
        ("truncated", |bytes| bytes.truncate(100)),
        ("too long", |bytes| bytes.push(0)),
        ("empty", Vec::clear),
    ];
    for (rule, wrong) in table {
        let world = World::new();
        let sample = sample(&["a", "b"]);
        sample.put_remote(&world.fake, "app", "1");
        let key = ("app".to_owned(), sample.digest(1));
        wrong(world.fake.state().blobs.get_mut(&key).unwrap());
        let error = world.pull("app:1").await.unwrap_err();
        let PullError::Blob(_, source) = &error else {
            panic!("{rule}: {error:?}")
        };
        let refused = matches!(**source, FetchError::Mismatch { .. });
        assert!(refused, "{rule}: {error:?}");
        assert_eq!(world.layout.entries().unwrap(), [], "{rule}");
        assert_eq!(
            world.layout.stat_blob(&sample.digest(1)).unwrap(),
            None,
            "{rule}"
        );
    }
}

#[tokio::test]
async fn wrong_documents_are_refused() {
    let world = World::new();
    let sample = sample(&["a"]);
    sample.put_remote(&world.fake, "app", "1");
    // The config.
    let key = ("app".to_owned(), sample.image.id().clone());
    world.fake.state().blobs.insert(key.clone(), b"{}".to_vec());
    let error = world.pull("app:1").await.unwrap_err();
    let PullError::Blob(_, source) = &error else {
        panic!("{error:?}")
    };
    assert!(matches!(
        &**source,
        FetchError::Mismatch {
            source: VerifyError::WrongDigest { .. },
            ..
        }
    ));
    // The manifest, asked for by digest.
    let digest = sample.image.descriptor().digest.to_string();
    let key = ("app".to_owned(), digest.clone());
    world
        .fake
        .state()
        .manifests
        .get_mut(&key)
        .unwrap()
        .1
        .push(b' ');
    let error = world.pull(&format!("app@{digest}")).await.unwrap_err();
    assert!(matches!(error, PullError::Call(..)), "{error:?}");
    // Schema 1.
    let old = MediaType::parse("application/vnd.docker.distribution.manifest.v1+prettyjws");
    world
        .fake
        .put_manifest("app", "old", &old, br#"{"schemaVersion":1,"name":"app"}"#);
    let error = world.pull("app:old").await.unwrap_err();
    assert!(matches!(error, PullError::Schema1(_)), "{error:?}");
}

#[tokio::test]
async fn busy_registries_are_asked_again() {
    for (rule, status, times, ok) in [
        ("429", 429, 3, true),
        ("503", 503, 5, true),
        ("500 for ever", 500, 100, false),
        ("400 is final", 400, 1, false),
    ] {
        let world = World::new();
        let sample = sample(&["a"]);
        sample.put_remote(&world.fake, "app", "1");
        world.fake.fail(on(times, "GET", "/manifests/", move || {
            Fault::Answer(Answer::error(status, "TOOMANYREQUESTS").header("Retry-After", 0))
        }));
        let result = world.pull("app:1").await;
        assert_eq!(result.is_ok(), ok, "{rule}: {result:?}");
        let asked = world
            .fake
            .log()
            .iter()
            .filter(|line| line.contains("/manifests/"))
            .count();
        assert!(asked <= 6, "{rule}: {asked}");
    }
}

#[tokio::test]
async fn the_image_for_the_platform_is_chosen_from_an_index() {
    let world = World::new();
    let (here, there) = (sample(&["here"]), sample(&["there"]));
    let mut entries = Vec::new();
    for (sample, platform) in [(&there, "linux/s390x"), (&here, "local")] {
        sample.put_remote(&world.fake, "app", "x");
        let mut entry = sample.image.descriptor().clone();
        entry.platform = Some(platform.parse().unwrap());
        entries.push(entry);
    }
    let index = Index::new(entries).to_bytes();
    world
        .fake
        .put_manifest("app", "1", &MediaType::OciIndex, &index);

    let pulled = world.pull("app:1").await.unwrap();
    assert_eq!(pulled.digest, sha256(&index));
    assert_eq!(pulled.descriptor.digest, here.image.descriptor().digest);
    let noted = &pulled.descriptor.annotations[ANNOTATION_INDEX_DIGEST];
    assert_eq!(*noted, sha256(&index).to_string());
    assert_eq!(world.layout.stat_blob(&there.digest(0)).unwrap(), None);

    let name = world.reference("app:1");
    let missing: Platform = "linux/riscv64".parse().unwrap();
    let error = world.client.resolve(&name, &missing).await.unwrap_err();
    assert!(matches!(error, PullError::Image(..)), "{error:?}");

    let options = world.options(Platforms::All);
    let pulled = world
        .client
        .pull(&name, &world.layout, &options)
        .await
        .unwrap();
    assert_eq!(pulled.descriptor.digest, sha256(&index));
    assert!(world.layout.stat_blob(&there.digest(0)).unwrap().is_some());
    world.check_local(&pulled.descriptor);
}

#[tokio::test]
async fn resolving_fetches_no_layer() {
    let world = World::new();
    let sample = sample(&["a"]);
    sample.put_remote(&world.fake, "app", "1");
    let name = world.reference("app:1");
    let resolved = world
        .client
        .resolve(&name, &Platform::host())
        .await
        .unwrap();
    assert_eq!(resolved.image, sample.image);
    let log = world.fake.log();
    assert_eq!(log.len(), 2, "manifest and config: {log:?}");
}

#[tokio::test]
async fn foreign_layers_are_left_where_they_are() {
    let world = World::new();
    let sample = sample(&["a", "b"]);
    let mut manifest = sample.image.manifest().clone();
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    manifest.layers[0].media_type = MediaType::parse(foreign);
    world.fake.put_blob("app", &sample.layers[1]);
    world.fake.put_blob("app", sample.image.config_bytes());
    let bytes = manifest.to_bytes();
    world
        .fake
        .put_manifest("app", "1", &MediaType::OciManifest, &bytes);
    let pulled = world.pull("app:1").await.unwrap();
    assert_eq!(world.outcomes(), [Outcome::Foreign, Outcome::Transferred]);
    world.push(&pulled.descriptor, "copy:1").await.unwrap();
    let key = ("copy".to_owned(), "1".to_owned());
    assert_eq!(world.fake.state().manifests[&key].1, bytes);
}

#[tokio::test]
async fn mirrors_come_first_and_their_failure_is_no_failure() {
    let mirror = Fake::start();
    let origin = Fake::start();
    for (rule, mirrored, whole) in [
        ("the mirror has all", true, true),
        ("the mirror lacks a layer", true, false),
        ("the mirror has nothing", false, false),
    ] {
        let name = format!("app{}", usize::from(mirrored) + usize::from(whole));
        let sample = sample(&[rule]);
        sample.put_remote(&origin, &name, "1");
        if mirrored {
            sample.put_remote(&mirror, &name, "1");
        }
        if !whole {
            mirror
                .state()
                .blobs
                .remove(&(name.clone(), sample.digest(0)));
        }
        let mut config = config();
        let registry = RegistryConfig {
            // One that is not even there comes first.
            mirrors: vec!["127.0.0.1:1".into(), mirror.host.clone()],
            ..RegistryConfig::default()
        };
        config.registries.insert(origin.host.clone(), registry);
        let mut world = World::with(config);
        world.fake = origin.clone();
        let pulled = world.pull(&format!("{name}:1")).await.unwrap();
        world.check_local(&pulled.descriptor);
        assert_eq!(origin.log().is_empty(), whole, "{rule}");
    }
}

#[tokio::test]
async fn what_people_get_to_read() {
    let world = World::new();
    let told = |answer: Answer| {
        world.fake.fail(on(10, "GET", "/manifests/", move || {
            Fault::Answer(answer.clone())
        }));
    };
    let error = world.pull("app:1").await.unwrap_err();
    assert!(matches!(error, PullError::NotFound(..)), "{error:?}");
    told(Answer::error(403, "DENIED"));
    let error = world.pull("app:1").await.unwrap_err();
    let text = super::super::progress::in_one_line(&error);
    let host = &world.fake.host;
    assert_eq!(
        text,
        format!(
            "not allowed to pull {host}/app:1 (or it does not exist): registry {host} said no: \
             DENIED: as told"
        )
    );
    told(Answer::new(418).body("<html>\u{1b}[31m"));
    let error = world.pull("app:1").await.unwrap_err();
    let text = super::super::progress::in_one_line(&error);
    assert!(text.ends_with("HTTP 418 I'm a teapot"), "{text}");
}

#[tokio::test]
async fn nobody_listening_is_said_so() {
    let world = World::new();
    let name: Reference = "127.0.0.1:1/app".parse().unwrap();
    let error = world
        .client
        .resolve(&name, &Platform::host())
        .await
        .unwrap_err();
    let PullError::Call(_, source) = &error else {
        panic!("{error:?}")
    };
    let refused = matches!(
        **source,
        CallError::Transport(TransportError::Connect { .. })
    );
    assert!(refused, "{error:?}");
}

#[tokio::test]
async fn plain_http_where_tls_was_expected_is_explained() {
    let world = World::new();
    // What Go's servers answer to the start of a TLS connection.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let answer = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request";
            std::io::Read::read(&mut stream, &mut [0; 1024]).unwrap();
            std::io::Write::write_all(&mut stream, answer).unwrap();
        }
    });
    let name: Reference = format!("{host}/app").parse().unwrap();
    let result = world.client.resolve(&name, &Platform::host()).await;
    let text = super::super::progress::in_one_line(&result.unwrap_err());
    assert!(text.contains("HTTP response to an HTTPS client"), "{text}");
}
