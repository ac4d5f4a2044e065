// SPDX-License-Identifier: Apache-2.0
//! Archives out and in again, foreign archives, and hostile ones.

use std::io::Cursor;

use oci::layout::Layout;
use oci::{
    Descriptor, DiffId, Image, ImageConfig, Manifest, MediaType, Platform, Reference, RootFs,
};
use tempfile::TempDir;

use super::*;

struct Store {
    layout: Layout,
    _directory: TempDir,
}

fn store() -> Store {
    let directory = tempfile::tempdir().unwrap();
    let layout = Layout::create(directory.path().join("images")).unwrap();
    Store {
        layout,
        _directory: directory,
    }
}

fn layer_tar() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(3);
    header.set_mode(0o644);
    builder.append_data(&mut header, "f", &b"abc"[..]).unwrap();
    builder.into_inner().unwrap()
}

fn config() -> Vec<u8> {
    let config = ImageConfig {
        architecture: "amd64".into(),
        os: "linux".into(),
        rootfs: RootFs {
            diff_ids: vec![DiffId(oci::sha256(&layer_tar()))],
            ..RootFs::default()
        },
        ..ImageConfig::default()
    };
    config.to_bytes()
}

fn platform() -> Platform {
    Platform::new("linux", "amd64", None)
}

/// Puts an image with one plain layer into the store.
fn image(layout: &Layout) -> Descriptor {
    let layer = layout.put_bytes(MediaType::OciLayer, &layer_tar()).unwrap();
    let config_bytes = config();
    let config = Descriptor::new(
        MediaType::OciConfig,
        oci::sha256(&config_bytes),
        config_bytes.len() as u64,
    );
    let manifest = Manifest::new(config, vec![layer]);
    let image = Image::new(manifest.to_bytes(), config_bytes).unwrap();
    image.write(layout).unwrap()
}

fn names() -> Vec<Reference> {
    vec![
        "app:1".parse().unwrap(),
        "localhost:5000/x/app:2".parse().unwrap(),
    ]
}

fn archive(layout: &Layout, kind: ArchiveKind, names: Vec<Reference>) -> Vec<u8> {
    let image = ArchiveImage {
        descriptor: image(layout),
        names,
    };
    let mut out = Vec::new();
    write(layout, &[image], kind, &platform(), &mut out).unwrap();
    out
}

fn tar_of(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        // Not append_data: it refuses what a hostile archive has.
        let name = &mut header.as_old_mut().name;
        name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        builder.append(&header, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn what_is_written_is_read_back_byte_for_byte() {
    for kind in [ArchiveKind::Oci, ArchiveKind::Docker] {
        let from = store();
        let bytes = archive(&from.layout, kind, names());
        assert_eq!(
            bytes,
            archive(&from.layout, kind, names()),
            "the same bytes each time"
        );
        let to = store();
        let loaded = load(&to.layout, Cursor::new(bytes), &platform()).unwrap();
        assert_eq!(loaded.len(), 1, "{kind:?}");
        assert_eq!(loaded[0].names, names(), "{kind:?}");
        let original = image(&from.layout);
        assert_eq!(loaded[0].descriptor.digest, original.digest, "{kind:?}");
        let found = to.layout.find("app:1").unwrap();
        let read = Image::read(&to.layout, &found.descriptor, &platform()).unwrap();
        assert!(to.layout.open_verified(&read.manifest().layers[0]).is_ok());
    }
}

#[test]
fn an_image_without_a_name_is_loaded_without_one() {
    let from = store();
    let bytes = archive(&from.layout, ArchiveKind::Docker, Vec::new());
    let to = store();
    let loaded = load(&to.layout, Cursor::new(bytes), &platform()).unwrap();
    assert!(loaded[0].names.is_empty());
    assert_eq!(to.layout.entries().unwrap()[0].name, None);
}

#[test]
fn a_directory_is_a_layout() {
    let from = store();
    let image = ArchiveImage {
        descriptor: image(&from.layout),
        names: names(),
    };
    let target = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        write_directory(
            &from.layout,
            std::slice::from_ref(&image),
            &platform(),
            target.path(),
        )
        .unwrap();
    }
    let layout = Layout::open(target.path()).unwrap();
    assert_eq!(layout.entries().unwrap().len(), 2);
    let found = layout.find("app:1").unwrap();
    assert_eq!(found.descriptor.digest, image.descriptor.digest);
}

/// Docs: moby image spec 1.2; `Observed:` docker 20.10 writes this shape.
fn old_docker_archive(layer: &[u8]) -> Vec<u8> {
    let manifest = br#"[{"Config":"c.json","RepoTags":["old:1"],"Layers":["1/layer.tar"]}]"#;
    tar_of(&[
        ("1/VERSION", b"1.0"),
        ("1/json", b"{}"),
        ("1/layer.tar", layer),
        ("c.json", &config()),
        ("manifest.json", manifest),
    ])
}

#[test]
fn old_docker_archives_are_read_and_their_layers_compressed() {
    let store = store();
    let bytes = old_docker_archive(&layer_tar());
    let loaded = load(&store.layout, Cursor::new(bytes), &platform()).unwrap();
    assert_eq!(loaded[0].names, ["old:1".parse().unwrap()]);
    let read = Image::read(&store.layout, &loaded[0].descriptor, &platform()).unwrap();
    assert_eq!(
        read.manifest().layers[0].media_type,
        MediaType::OciLayerGzip
    );
    assert_eq!(loaded[0].id, oci::sha256(&config()));
}

#[test]
fn hostile_archives_are_refused_and_name_nothing() {
    let good = store();
    let whole = archive(&good.layout, ArchiveKind::Docker, names());
    let layer_path = format!("blobs/sha256/{}", oci::sha256(b"x").hex());
    let index = br#"{"schemaVersion":2,"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","size":2}]}"#;
    let missing = br#"[{"Config":"nope.json","RepoTags":null,"Layers":[]}]"#;
    let escape = br#"[{"Config":"../../../etc/passwd","RepoTags":null,"Layers":[]}]"#;
    for (rule, bytes) in [
        ("no tar", b"garbage".repeat(100)),
        ("empty", Vec::new()),
        ("cut off", whole[..whole.len() / 2].to_vec()),
        (
            "another layer than the config says",
            old_docker_archive(b"other"),
        ),
        (
            "a blob that is not its digest",
            tar_of(&[(&layer_path, b"y")]),
        ),
        (
            "a path out of the archive",
            tar_of(&[("../../etc/cron.d/x", b"y")]),
        ),
        ("an absolute path", tar_of(&[("/etc/cron.d/x", b"y")])),
        (
            "a config that is not there",
            tar_of(&[("manifest.json", missing)]),
        ),
        ("a config outside", tar_of(&[("manifest.json", escape)])),
        (
            "documents that are no JSON",
            tar_of(&[("manifest.json", b"{")]),
        ),
        (
            "a manifest that is not there",
            tar_of(&[("oci-layout", b"{}"), ("index.json", index)]),
        ),
        ("neither kind", tar_of(&[("hello", b"x")])),
        ("no image", tar_of(&[("manifest.json", b"[]")])),
    ] {
        let store = store();
        let result = load(&store.layout, Cursor::new(bytes), &platform());
        assert!(result.is_err(), "{rule}: {result:?}");
        assert!(store.layout.entries().unwrap().is_empty(), "{rule}");
    }
}
