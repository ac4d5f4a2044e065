// SPDX-License-Identifier: Apache-2.0
//! What a layout promises: blobs, names, collection, many users at once, foreign layouts.

use std::io::Write;
use std::time::{Duration, SystemTime};

use super::*;
use crate::{
    BlobError, Descriptor, DiffId, Digest, Image, ImageConfig, Index, Manifest, MediaType,
    Platform, Reference, sha256,
};

struct Store {
    _directory: tempfile::TempDir,
    layout: Layout,
}

fn store() -> Store {
    let directory = tempfile::tempdir().unwrap();
    let layout = Layout::create(directory.path().join("images")).unwrap();
    Store {
        _directory: directory,
        layout,
    }
}

/// A second user of the same directory, as another process would be.
fn other(layout: &Layout) -> Layout {
    Layout::open(layout.root()).unwrap()
}

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

/// Stores an image of one layer whose bytes are `text`.
fn put_image(layout: &Layout, text: &str) -> Descriptor {
    let layer = layout
        .put_bytes(MediaType::OciLayer, text.as_bytes())
        .unwrap();
    let mut config = ImageConfig {
        os: "linux".into(),
        architecture: "amd64".into(),
        ..Default::default()
    };
    config.rootfs.diff_ids = vec![DiffId(layer.digest.clone())];
    let config_bytes = config.to_bytes();
    let config = Descriptor::new(
        MediaType::OciConfig,
        sha256(&config_bytes),
        config_bytes.len() as u64,
    );
    let manifest = Manifest::new(config, vec![layer]);
    let image = Image::new(manifest.to_bytes(), config_bytes).unwrap();
    image.write(layout).unwrap()
}

fn names(layout: &Layout) -> Vec<Option<String>> {
    let entries = layout.entries().unwrap();
    entries.into_iter().map(|entry| entry.name).collect()
}

#[expect(clippy::disallowed_methods, reason = "file times are the kernel's")]
fn now() -> SystemTime {
    SystemTime::now()
}

fn collect(layout: &Layout) -> GcReport {
    layout.collect(&GcOptions::at(now()), &|_| false).unwrap()
}

#[test]
fn a_blob_appears_whole_under_its_digest_or_not_at_all() {
    let store = store();
    let layout = &store.layout;
    let digest = sha256(b"hello");
    let mut writer = layout.create_blob().unwrap();
    writer.write_all(b"hel").unwrap();
    assert_eq!(layout.stat_blob(&digest).unwrap(), None);
    writer.write_all(b"lo").unwrap();
    let stored = writer.finish(None).unwrap();
    assert_eq!((stored.digest, stored.existed), (digest.clone(), false));
    assert_eq!(layout.stat_blob(&digest).unwrap(), Some(5));
    assert_eq!(layout.blobs().unwrap(), [(digest.clone(), 5)]);

    let mut again = layout.create_blob().unwrap();
    again.write_all(b"hello").unwrap();
    assert!(again.finish(Some((&digest, 5))).unwrap().existed);
    assert_eq!(
        std::fs::read_dir(layout.disk.ingest_dir()).unwrap().count(),
        0
    );
}

#[test]
fn other_bytes_than_promised_are_refused_and_leave_nothing() {
    let store = store();
    let layout = &store.layout;
    for (rule, bytes, size_bytes) in [
        ("other bytes", &b"hellp"[..], 5),
        ("truncated", b"hell", 5),
        ("too long", b"hello!", 5),
        ("wrong size in the descriptor", b"hello", 6),
    ] {
        for resumed in [false, true] {
            let digest = sha256(b"hello");
            let mut writer = if resumed {
                layout.resume_blob(&digest, 5).unwrap()
            } else {
                layout.create_blob().unwrap()
            };
            writer.write_all(bytes).unwrap();
            let result = writer.finish(Some((&digest, size_bytes)));
            assert!(matches!(result, Err(BlobError::Mismatch { .. })), "{rule}");
        }
        assert_eq!(layout.blobs().unwrap(), [], "{rule}");
    }
    assert_eq!(
        std::fs::read_dir(layout.disk.partial_dir())
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn a_broken_off_download_is_continued() {
    let store = store();
    let layout = &store.layout;
    let digest = sha256(b"hello");
    let mut writer = layout.resume_blob(&digest, 5).unwrap();
    writer.write_all(b"hel").unwrap();
    // Somebody else who wants the same blob meanwhile does not disturb it.
    assert_eq!(
        other(layout)
            .resume_blob(&digest, 5)
            .unwrap()
            .written_bytes(),
        0
    );
    drop(writer);

    let mut writer = other(layout).resume_blob(&digest, 5).unwrap();
    assert_eq!(writer.written_bytes(), 3);
    writer.write_all(b"lo").unwrap();
    writer.finish(Some((&digest, 5))).unwrap();
    assert_eq!(layout.stat_blob(&digest).unwrap(), Some(5));
    assert_eq!(layout.resume_blob(&digest, 5).unwrap().written_bytes(), 0);
}

#[test]
fn a_damaged_blob_is_noticed_when_read_and_replaced_when_torn() {
    let store = store();
    let layout = &store.layout;
    let blob = layout.put_bytes(MediaType::OciLayer, b"hello").unwrap();
    std::fs::write(layout.blob_path(&blob.digest), b"hellp").unwrap();
    let result = layout.read_blob(&blob, 100);
    assert!(matches!(result, Err(BlobError::Mismatch { .. })));
    // Loss of power before the sync may leave a file of the wrong size.
    std::fs::write(layout.blob_path(&blob.digest), b"").unwrap();
    assert!(!layout.has_blob(&blob.digest, 5).unwrap());
    layout.put_bytes(MediaType::OciLayer, b"hello").unwrap();
    assert_eq!(layout.read_blob(&blob, 100).unwrap(), b"hello");
    let result = layout.read_blob(&blob, 4);
    assert!(matches!(result, Err(BlobError::TooLarge { .. })));
}

#[test]
fn tags_move_and_leave_a_dangling_image() {
    let store = store();
    let layout = &store.layout;
    let (first, second) = (put_image(layout, "one"), put_image(layout, "two"));
    let app = reference("app:1");
    assert_eq!(layout.tag(&app, &first).unwrap(), None);
    layout.tag(&reference("app:old"), &first).unwrap();
    let previous = layout.tag(&app, &second).unwrap().unwrap();
    assert_eq!(previous.digest, first.digest);
    let name = |text: &str| Some(format!("docker.io/library/app:{text}"));
    assert_eq!(names(layout), [name("1"), name("old")]);
    assert_eq!(layout.resolve(&app).unwrap().unwrap().digest, second.digest);

    layout.untag(&reference("app:old")).unwrap().unwrap();
    assert_eq!(names(layout), [name("1"), None]);
    assert_eq!(layout.untag(&reference("app:old")).unwrap(), None);
    // A name for a dangling image is not a second entry.
    layout.tag(&reference("app:back"), &first).unwrap();
    assert_eq!(names(layout), [name("1"), name("back")]);
    assert_eq!(layout.remove(&first.digest).unwrap(), 1);
    layout.add(&second).unwrap();
    assert_eq!(names(layout), [name("1")]);
}

#[test]
fn what_is_not_there_gets_no_name() {
    let store = store();
    let missing = Descriptor::new(MediaType::OciManifest, sha256(b"missing"), 7);
    let result = store.layout.tag(&reference("app"), &missing);
    assert!(matches!(
        result,
        Err(IndexError::Blob(BlobError::NotFound(_)))
    ));
}

#[test]
fn a_pinned_reference_finds_what_its_tag_brought() {
    let store = store();
    let layout = &store.layout;
    let mut image = put_image(layout, "one");
    let index_digest = sha256(b"the index it came from");
    let annotation = (ANNOTATION_INDEX_DIGEST.to_owned(), index_digest.to_string());
    image.annotations.extend([annotation]);
    layout.tag(&reference("app:1"), &image).unwrap();
    for (rule, text, found) in [
        ("manifest digest", format!("app@{}", image.digest), true),
        ("index digest", format!("app@{index_digest}"), true),
        ("with a tag", format!("app:x@{index_digest}"), true),
        ("other repository", format!("b@{}", image.digest), false),
        ("other digest", format!("app@{}", sha256(b"")), false),
    ] {
        let resolved = layout.resolve(&reference(&text)).unwrap();
        assert_eq!(resolved.is_some(), found, "{rule}");
    }
}

#[test]
fn people_find_images_by_name_or_id() {
    let store = store();
    let layout = &store.layout;
    let image = put_image(layout, "one");
    layout.tag(&reference("app:1"), &image).unwrap();
    layout.tag(&reference("app:2"), &image).unwrap();
    layout.add(&put_image(layout, "two")).unwrap();
    let id = Image::read(layout, &image, &Platform::host()).unwrap();
    let config = id.id().clone();
    for text in [
        "app:1",
        "docker.io/library/app:2",
        image.digest.short(),
        config.hex(),
        &config.to_string(),
        &format!("sha256:{}", image.digest.short()),
    ] {
        let found = layout.find(text).unwrap();
        assert_eq!(found.descriptor.digest, image.digest, "{text}");
    }
    let missing = |text: &str| matches!(layout.find(text), Err(FindError::NotFound(_)));
    assert!(missing("app:3") && missing("nothing") && missing(sha256(b"").hex()));
    assert!(matches!(
        layout.find("App"),
        Err(FindError::BadReference { .. })
    ));
    // One of sixteen digits must be shared by seventeen images.
    for number in 0..15 {
        layout.add(&put_image(layout, &number.to_string())).unwrap();
    }
    let ambiguous = |digit| {
        let found = layout.find(&format!("{digit:x}"));
        matches!(found, Err(FindError::Ambiguous { .. }))
    };
    assert!((0..16).any(ambiguous));
}

#[test]
fn an_index_leads_to_the_image_of_a_platform() {
    let store = store();
    let layout = &store.layout;
    let child = put_image(layout, "one");
    let bytes = Index::new(vec![child.clone()]).to_bytes();
    let index = layout.put_bytes(MediaType::OciIndex, &bytes).unwrap();
    layout.tag(&reference("app"), &index).unwrap();
    let platform = |text: &str| text.parse::<Platform>().unwrap();
    let image = Image::read(layout, &index, &platform("linux/amd64")).unwrap();
    assert_eq!(image.descriptor().digest, child.digest);
    let error = Image::read(layout, &index, &platform("linux/arm64")).unwrap_err();
    assert!(error.to_string().contains("it has linux/amd64"), "{error}");
    assert_eq!(collect(&other(layout)).removed, []);
}

#[test]
fn collection_takes_what_no_entry_reaches() {
    let store = store();
    let (kept, gone) = (
        put_image(&store.layout, "kept"),
        put_image(&store.layout, "gone"),
    );
    store.layout.tag(&reference("kept"), &kept).unwrap();
    store
        .layout
        .remember_source(&gone.digest, reference("a/b").repository());
    let root = store.layout.root().to_owned();
    let claimed = store
        .layout
        .put_bytes(MediaType::OciLayer, b"claimed")
        .unwrap();
    std::fs::write(root.join(".kiln/ingest/1-1"), b"left by a killed writer").unwrap();

    // While this writer is at work, everything is too young.
    let layout = other(&store.layout);
    let report = collect(&layout);
    assert_eq!((report.removed.len(), report.spared), (0, 4));
    let Store {
        _directory,
        layout: writer,
    } = store;
    drop(writer);

    let options = GcOptions::at(now());
    let keep = |digest: &Digest| *digest == claimed.digest;
    let dry_run = GcOptions {
        dry_run: true,
        ..options.clone()
    };
    let planned = layout.collect(&dry_run, &keep).unwrap();
    let report = layout.collect(&options, &keep).unwrap();
    assert_eq!(report, planned);
    assert_eq!(
        report.removed.len(),
        3,
        "layer, config and manifest: {report:?}"
    );
    assert!(report.removed.contains(&gone.digest));
    assert!(layout.sources(&gone.digest).is_empty());
    assert!(!root.join(".kiln/ingest/1-1").exists());
    let image = Image::read(&layout, &kept, &Platform::host()).unwrap();
    let (layer, _) = image.layers().next().unwrap();
    assert_eq!(layout.read_blob(layer, 100).unwrap(), b"kept");
}

#[test]
fn a_blob_that_was_found_is_young_again() {
    let store = store();
    let blob = store.layout.put_bytes(MediaType::OciLayer, b"x").unwrap();
    let long_ago = now() - Duration::from_hours(720);
    let path = store.layout.blob_path(&blob.digest);
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_modified(long_ago).unwrap();
    let writer = other(&store.layout);
    assert!(writer.has_blob(&blob.digest, 1).unwrap());
    assert_eq!(collect(&store.layout).spared, 1);
}

#[test]
fn a_damaged_manifest_stops_the_collection() {
    let store = store();
    let image = put_image(&store.layout, "one");
    store.layout.tag(&reference("app"), &image).unwrap();
    std::fs::write(store.layout.blob_path(&image.digest), b"{}").unwrap();
    let options = GcOptions::at(now());
    let error = store.layout.collect(&options, &|_| false).unwrap_err();
    assert!(error.to_string().contains(&image.digest.to_string()));
    assert_eq!(store.layout.blobs().unwrap().len(), 3);
}

#[test]
fn many_taggers_lose_no_tag() {
    let store = store();
    let image = put_image(&store.layout, "one");
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (layout, image) = (other(&store.layout), &image);
            scope.spawn(move || {
                for number in 0..10 {
                    let name = reference(&format!("app{thread}:{number}"));
                    layout.tag(&name, image).unwrap();
                }
            });
        }
    });
    assert_eq!(store.layout.entries().unwrap().len(), 80);
}

#[test]
fn writers_and_collectors_at_once_keep_every_tagged_image_whole() {
    let store = store();
    let root = store.layout.root().to_owned();
    drop(store.layout);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let root = &root;
            scope.spawn(move || {
                for number in 0..20 {
                    // A new handle each time: between them collectors find no writer at work.
                    let layout = Layout::create(root).unwrap();
                    let image = put_image(&layout, &format!("shared {number}"));
                    let name = reference(&format!("app{thread}:{number}"));
                    layout.tag(&name, &image).unwrap();
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..40 {
                collect(&Layout::open(&root).unwrap());
            }
        });
    });
    let layout = Layout::open(&root).unwrap();
    let entries = layout.entries().unwrap();
    assert_eq!(entries.len(), 80);
    for entry in entries {
        let image = Image::read(&layout, &entry.descriptor, &Platform::host()).unwrap();
        for (layer, _) in image.layers() {
            layout.read_blob(layer, 100).unwrap();
        }
    }
}

#[test]
fn only_layouts_are_opened() {
    let directory = tempfile::tempdir().unwrap();
    let open = || Layout::open(directory.path());
    assert!(matches!(open(), Err(OpenLayoutError::NotALayout(_))));
    for (text, ok) in [
        ("nonsense", false),
        (r#"{"imageLayoutVersion":"2.0.0"}"#, false),
        (r#"{"imageLayoutVersion":"1.0.0"}"#, true),
    ] {
        std::fs::write(directory.path().join(LAYOUT_FILE), text).unwrap();
        assert_eq!(open().is_ok(), ok, "{text}");
    }
    std::fs::write(directory.path().join(INDEX_FILE), "{").unwrap();
    assert!(matches!(
        open().unwrap().entries(),
        Err(IndexError::Malformed { .. })
    ));
}

#[test]
fn sources_of_a_blob_are_remembered_latest_first() {
    let store = store();
    let digest = sha256(b"x");
    let (first, second) = (reference("a/b"), reference("localhost:5000/c"));
    for known in [&first, &second, &first] {
        store.layout.remember_source(&digest, known.repository());
    }
    let expected = [second.repository().clone(), first.repository().clone()];
    assert_eq!(store.layout.sources(&digest), expected);
}
