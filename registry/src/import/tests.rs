// SPDX-License-Identifier: Apache-2.0
//! Trees as distribution and zot write them, and as somebody with bad intentions does.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use oci::{Digest, sha256};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{ImportRegistryError, ImportReport, Objects, import, import_bucket};
use crate::endpoint::Name;
use crate::storage::StorageError;
use crate::storage::data::{Answer, Bytes, Stream};
use crate::storage::disk;
use crate::storage::store::{Clock, SparsePolicy, Store};

const CLOCK: Clock = Clock(|| UNIX_EPOCH);
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// A source and a target on one file system.
struct Pair {
    _root: TempDir,
    source: PathBuf,
    target: PathBuf,
}

impl Pair {
    fn new() -> Self {
        let root = TempDir::new().unwrap();
        let (source, target) = (root.path().join("source"), root.path().join("target"));
        fs::create_dir(&source).unwrap();
        Self {
            _root: root,
            source,
            target,
        }
    }

    async fn store(&self) -> Store {
        let backend = disk::open(&self.target, CLOCK).unwrap();
        let store = Store::open(backend, CLOCK, SparsePolicy::All).await;
        store.unwrap()
    }

    async fn import(&self, store: &Store) -> ImportReport {
        import(store, &self.source, false).await.unwrap()
    }

    fn write(&self, path: &str, bytes: &[u8]) {
        write(&self.source.join(path), bytes);
    }

    /// Writes a blob as distribution does, and links it from the repository.
    fn layer(&self, name: &str, bytes: &[u8]) -> Digest {
        let digest = self.data(bytes);
        let link = format!("repositories/{name}/_layers/sha256/{}/link", digest.hex());
        self.v2(&link, digest.to_string().as_bytes());
        digest
    }

    fn revision(&self, name: &str, manifest: &Value, tags: &[&str]) -> Digest {
        let digest = self.data(manifest.to_string().as_bytes());
        let text = digest.to_string();
        let root = format!("repositories/{name}/_manifests");
        let link = format!("{root}/revisions/sha256/{}/link", digest.hex());
        self.v2(&link, text.as_bytes());
        for tag in tags {
            let tag = format!("{root}/tags/{tag}");
            self.v2(&format!("{tag}/current/link"), text.as_bytes());
            let index = format!("{tag}/index/sha256/{}/link", digest.hex());
            self.v2(&index, text.as_bytes());
        }
        digest
    }

    fn data(&self, bytes: &[u8]) -> Digest {
        let digest = sha256(bytes);
        self.v2(&data_path(&digest), bytes);
        digest
    }

    fn v2(&self, path: &str, bytes: &[u8]) {
        self.write(&format!("docker/registry/v2/{path}"), bytes);
    }
}

fn data_path(digest: &Digest) -> String {
    let hex = digest.hex();
    format!("blobs/sha256/{}/{hex}/data", &hex[..2])
}

fn write(path: &Path, bytes: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn descriptor(media_type: &str, digest: &Digest) -> Value {
    json!({ "mediaType": media_type, "digest": digest.to_string(), "size": 1 })
}

fn image(config: &Digest, layer: &Digest, subject: Option<&Digest>) -> Value {
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", layer)],
    });
    if let Some(subject) = subject {
        manifest["subject"] = descriptor(MANIFEST, subject);
    }
    manifest
}

fn index(children: &[&Digest]) -> Value {
    let children: Vec<Value> = children.iter().map(|it| descriptor(MANIFEST, it)).collect();
    json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": children })
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

async fn pull(store: &Store, from: &str, digest: &Digest) -> Option<Vec<u8>> {
    let blob = store.blob(&name(from), digest).await.unwrap()?;
    match store.read_blob(&blob, 0..blob.size_bytes).await.unwrap() {
        Bytes::Whole(bytes) => Some(bytes.to_vec()),
        Bytes::Stream(_) => unreachable!("it is small"),
    }
}

async fn tag(store: &Store, of: &str, tag: &str) -> Option<Digest> {
    let stored = store.tag(&name(of), &tag.parse().unwrap()).await.unwrap();
    stored.map(|stored| stored.digest)
}

#[tokio::test]
async fn a_directory_of_distribution_is_taken_over_without_copying() {
    let pair = Pair::new();
    let config = pair.layer("team/app", b"{}");
    let layer = pair.layer("team/app", b"layer");
    pair.layer("team/app/nested", b"layer");
    let child = pair.revision("team/app", &image(&config, &layer, None), &["v1", "latest"]);
    let parent = pair.revision("team/app", &index(&[&child]), &["multi"]);
    let signature = image(&config, &config, Some(&child));
    let signature = pair.revision("team/app", &signature, &[]);
    let fallback = format!("sha256-{}", child.hex());
    pair.revision("team/app", &index(&[&signature]), &[&fallback]);
    let old = json!({ "schemaVersion": 1, "name": "team/app" });
    let old = pair.revision("team/app", &old, &["old"]);

    let store = pair.store().await;
    let report = pair.import(&store).await;
    assert_eq!((report.repositories, report.blobs), (2, 3), "{report:?}");
    assert_eq!((report.manifests, report.tags), (4, 4), "{report:?}");
    assert_eq!(report.bytes, 7, "once, however many repositories have it");
    let skipped: Vec<&str> = report.skipped.iter().map(|it| it.what.as_str()).collect();
    assert_eq!(skipped, [&format!("team/app@{old}"), "team/app:old"]);
    assert!(report.skipped[0].why.contains("schema 1"));

    assert_eq!(pull(&store, "team/app", &layer).await.unwrap(), b"layer");
    assert_eq!(
        pull(&store, "team/app/nested", &layer).await.unwrap(),
        b"layer"
    );
    assert_eq!(pull(&store, "team/app/nested", &config).await, None);
    for (text, digest) in [("v1", &child), ("latest", &child), ("multi", &parent)] {
        assert_eq!(tag(&store, "team/app", text).await.as_ref(), Some(digest));
    }
    let referrers = store
        .referrers(&name("team/app"), &child, "")
        .await
        .unwrap();
    assert_eq!(referrers.descriptors[0].digest, signature);
    assert!(tag(&store, "team/app", &fallback).await.is_some());
    let hex = layer.hex();
    let ours = pair.target.join("blobs/sha256").join(&hex[..2]).join(hex);
    let theirs = pair
        .source
        .join("docker/registry/v2")
        .join(data_path(&layer));
    let inode = |path: &Path| fs::metadata(path).unwrap().ino();
    assert_eq!(inode(&ours), inode(&theirs), "one file, two names");

    let again = pair.import(&store).await;
    assert_eq!(
        (again.blobs, again.manifests, again.tags, again.bytes),
        (0, 0, 0, 0)
    );
    assert_eq!(again.unchanged, 3 + 4 + 4);
}

#[tokio::test]
async fn a_hostile_directory_gives_nothing_away_and_stops_nobody() {
    let pair = Pair::new();
    let secret = pair.source.parent().unwrap().join("secret");
    fs::write(&secret, b"secret").unwrap();
    let root = pair.source.join("docker/registry/v2");
    let good = pair.layer("a", b"good");
    // Bytes of another digest.
    let lie = pair.layer("a", b"truth");
    write(&root.join(data_path(&lie)), b"lying");
    // A link out of the tree, a pipe, a directory, nothing at all.
    let outside = pair.layer("a", b"secret");
    let pipe = pair.layer("a", b"pipe");
    let folder = pair.layer("a", b"folder");
    let absent = pair.layer("a", b"absent");
    for digest in [&outside, &pipe, &folder, &absent] {
        fs::remove_file(root.join(data_path(digest))).unwrap();
    }
    symlink(&secret, root.join(data_path(&outside))).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o644);
    let fifo = rustix::fs::FileType::Fifo;
    let path = root.join(data_path(&pipe));
    rustix::fs::mknodat(rustix::fs::CWD, path, fifo, mode, 0).unwrap();
    fs::create_dir(root.join(data_path(&folder))).unwrap();
    // Names that are none, a link that says something else, a repository outside.
    pair.v2("repositories/UPPER/_layers/sha256/x/link", b"x");
    pair.v2("repositories/a/_layers/sha256/zz/link", b"sha256:zz");
    let other = sha256(b"other");
    let link = format!("repositories/a/_layers/sha256/{}/link", other.hex());
    pair.v2(&link, good.to_string().as_bytes());
    pair.v2("repositories/a/_manifests/tags/-bad/current/link", b"x");
    pair.v2(
        "repositories/a/_manifests/tags/x/current/link",
        absent.to_string().as_bytes(),
    );
    symlink(
        pair.source.parent().unwrap(),
        root.join("repositories/link"),
    )
    .unwrap();

    let store = pair.store().await;
    let report = pair.import(&store).await;
    assert_eq!(report.blobs, 1, "{report:?}");
    assert_eq!(pull(&store, "a", &good).await.unwrap(), b"good");
    for digest in [&lie, &outside, &pipe, &folder, &absent, &other] {
        assert_eq!(pull(&store, "a", digest).await, None);
        let text = format!("a@{digest}");
        assert!(report.skipped.iter().any(|it| it.what == text), "{text}");
    }
    for text in ["UPPER", "link", "a:-bad", "a:x"] {
        assert!(report.skipped.iter().any(|it| it.what == text), "{text}");
    }
}

#[tokio::test]
async fn layouts_of_zot_are_taken_over() {
    let pair = Pair::new();
    let put = |name: &str, bytes: &[u8]| {
        let digest = sha256(bytes);
        pair.write(&format!("{name}/blobs/sha256/{}", digest.hex()), bytes);
        digest
    };
    let config = put("team/app", b"{}");
    let layer = put("team/app", b"layer");
    let plain = image(&config, &layer, None).to_string();
    let child = put("team/app", plain.as_bytes());
    let parent = put("team/app", index(&[&child]).to_string().as_bytes());
    let signature = image(&config, &config, Some(&child)).to_string();
    let signature = put("team/app", signature.as_bytes());
    let tagged = |digest: &Digest, tag: &str| {
        let mut entry = descriptor("application/vnd.oci.image.index.v1+json", digest);
        entry["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
        entry
    };
    let top = json!({ "schemaVersion": 2, "manifests": [
        tagged(&parent, "multi"), descriptor(MANIFEST, &child), descriptor(MANIFEST, &signature),
    ]});
    pair.write("team/app/index.json", top.to_string().as_bytes());
    pair.write("team/app/oci-layout", b"{\"imageLayoutVersion\":\"1.0.0\"}");
    // zot's own, and a repository that shares its one blob.
    pair.write("_trivy/db/file", b"x");
    pair.write("cache.db", b"x");
    pair.write(
        "other/index.json",
        b"{\"schemaVersion\":2,\"manifests\":[]}",
    );
    fs::create_dir_all(pair.source.join("other/blobs/sha256")).unwrap();
    let of = |name: &str| {
        pair.source
            .join(format!("{name}/blobs/sha256/{}", layer.hex()))
    };
    fs::hard_link(of("team/app"), of("other")).unwrap();

    let store = pair.store().await;
    let report = pair.import(&store).await;
    assert_eq!((report.repositories, report.blobs), (2, 3), "{report:?}");
    assert_eq!((report.manifests, report.tags, report.bytes), (3, 1, 7));
    assert_eq!(report.skipped, []);
    assert_eq!(tag(&store, "team/app", "multi").await, Some(parent));
    assert_eq!(pull(&store, "other", &layer).await.unwrap(), b"layer");
    assert_eq!(pull(&store, "team/app", &child).await, None, "no blob");
    let referrers = store
        .referrers(&name("team/app"), &child, "")
        .await
        .unwrap();
    assert_eq!(referrers.descriptors.len(), 1);
}

#[tokio::test]
async fn what_is_no_registry_is_refused() {
    let pair = Pair::new();
    pair.write("photos/cat.jpg", b"x");
    let store = pair.store().await;
    let refused = import(&store, &pair.source, false).await;
    assert!(
        matches!(refused, Err(ImportRegistryError::Unknown(_))),
        "{refused:?}"
    );
    let refused = import(&store, &pair.source.join("absent"), false).await;
    assert!(
        matches!(refused, Err(ImportRegistryError::Source(..))),
        "{refused:?}"
    );
}

/// The files of a directory as the objects of a bucket that lists two at a time.
#[derive(Debug, Default)]
struct Shelf(BTreeMap<String, Vec<u8>>);

impl Shelf {
    fn of(root: &Path) -> Self {
        let mut shelf = Self::default();
        let mut waiting = vec![root.to_owned()];
        while let Some(folder) = waiting.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let kind = path.symlink_metadata().unwrap().file_type();
                if kind.is_dir() {
                    waiting.push(path);
                } else if kind.is_file() {
                    let key = path.strip_prefix(root).unwrap().to_str().unwrap();
                    shelf.0.insert(key.to_owned(), fs::read(&path).unwrap());
                }
            }
        }
        shelf
    }
}

impl Objects for Shelf {
    fn list<'a>(&'a self, prefix: &'a str, after: &'a str) -> Answer<'a, Vec<String>> {
        let keys = self.0.keys();
        let keys = keys.filter(|key| key.starts_with(prefix) && key.as_str() > after);
        let page = keys.take(2).cloned().collect();
        Box::pin(async { Ok(page) })
    }

    fn read<'a>(&'a self, key: &'a str) -> Answer<'a, (u64, Stream)> {
        Box::pin(async move {
            let missing = || StorageError::Missing(key.to_owned());
            let bytes = self.0.get(key).ok_or_else(missing)?;
            let pieces: Vec<_> = bytes
                .chunks(3)
                .map(|piece| Ok(bytes::Bytes::copy_from_slice(piece)))
                .collect();
            let stream: Stream = Box::pin(futures_util::stream::iter(pieces));
            Ok((bytes.len() as u64, stream))
        })
    }

    fn shown(&self) -> String {
        "s3://shelf".to_owned()
    }
}

#[tokio::test]
async fn a_bucket_of_distribution_gives_what_its_directory_gives() {
    let pair = Pair::new();
    let config = pair.layer("team/app", b"{}");
    let layer = pair.layer("team/app", b"layer");
    let empty = pair.layer("team/app", b"");
    // Keys of these lie before, between and behind those of `team/app`.
    for name in ["team/app/0nested", "team/app-1", "team/app/nested", "team"] {
        pair.layer(name, b"layer");
    }
    let child = pair.revision("team/app", &image(&config, &layer, None), &["v1", "latest"]);
    let parent = pair.revision("team/app", &index(&[&child]), &["multi"]);
    let old = json!({ "schemaVersion": 1, "name": "team/app" });
    pair.revision("team/app", &old, &["old"]);
    // What somebody deleted there: history without a link.
    let gone = format!("tags/gone/index/sha256/{}/link", child.hex());
    pair.v2(&format!("repositories/team/app/_manifests/{gone}"), b"x");
    pair.v2("repositories/team/app/_uploads/1/startedat", b"now");
    pair.v2("repositories/idle/_uploads/1/startedat", b"now");
    let lie = pair.layer("team/app", b"truth");
    pair.v2(&data_path(&lie), b"lying");
    let lost = pair.layer("team/app", b"lost");
    let root = pair.source.join("docker/registry/v2");
    fs::remove_file(root.join(data_path(&lost))).unwrap();
    pair.v2("repositories/UPPER/_layers/sha256/x/link", b"x");
    pair.v2("repositories/team/app/_layers/sha256/zz/link", b"sha256:zz");
    let tags = "repositories/team/app/_manifests/tags";
    pair.v2(&format!("{tags}/-bad/current/link"), b"x");
    pair.v2(&format!("{tags}/odd/current/link"), &[b'x'; 300]);

    let targets = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let [from_directory, store] = targets.each_ref().map(|target| async {
        let backend = disk::open(target.path(), CLOCK).unwrap();
        let store = Store::open(backend, CLOCK, SparsePolicy::All).await;
        store.unwrap()
    });
    let (from_directory, store) = (from_directory.await, store.await);
    let expected = pair.import(&from_directory).await;
    let shelf = || Box::new(Shelf::of(&pair.source));
    let report = import_bucket(&store, shelf()).await.unwrap();
    let skipped = |report: &ImportReport| -> BTreeSet<String> {
        report.skipped.iter().map(|it| it.what.clone()).collect()
    };
    assert_eq!(skipped(&report), skipped(&expected));
    let what = |text: &str| skipped(&report).contains(text);
    assert!(what("UPPER") && what("team/app:-bad") && what("team/app:odd"));
    assert!(what(&format!("team/app@{lie}")) && what(&format!("team/app@{lost}")));
    let skipped = expected.skipped.clone();
    assert_eq!(
        ImportReport { skipped, ..report },
        expected,
        "all other numbers"
    );
    assert_eq!((expected.repositories, expected.tags), (5, 3));
    assert_eq!(pull(&store, "team/app", &empty).await.unwrap(), b"");
    assert_eq!(pull(&store, "team", &layer).await.unwrap(), b"layer");
    assert_eq!(tag(&store, "team/app", "multi").await, Some(parent));
    let again = import_bucket(&store, shelf()).await.unwrap();
    assert_eq!((again.blobs, again.manifests, again.tags), (0, 0, 0));
}

#[tokio::test]
async fn a_bucket_without_a_registry_is_refused() {
    let pair = Pair::new();
    let store = pair.store().await;
    let shelf = Shelf(BTreeMap::from([("other/key".to_owned(), Vec::new())]));
    let refused = import_bucket(&store, Box::new(shelf)).await.unwrap_err();
    assert!(matches!(refused, ImportRegistryError::UnknownBucket(shown) if shown == "s3://shelf"));
}
