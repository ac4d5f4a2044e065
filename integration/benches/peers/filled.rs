// SPDX-License-Identifier: Apache-2.0
//! A registry directory that is full before it is served: what takes days of pushes, written by
//! its documented key schema in minutes.
//!
//! Nothing here is synced: it is a bench's, and the measured server never wrote it.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

use integration::Random;
use oci::Digest;
use rusqlite::{Connection, OpenFlags, Transaction, params};
use serde_json::json;

use crate::load::{MANIFEST, manifest};

/// How old everything is.
const AGE: Duration = Duration::from_hours(48);
/// Into how many ranges of digests a collector may divide its work.
const RANGES: u8 = 16;

/// One blob: its digest, its size, and the repository that has it.
struct Blob {
    digest: Digest,
    size: usize,
    incarnation: char,
    repository: String,
}

/// The database of a directory that nobody serves.
struct Filler<'a> {
    root: &'a Path,
    random: Random,
    blobs: Vec<Blob>,
    at: u64,
}

impl Filler<'_> {
    fn nonce(&mut self) -> String {
        format!("{:016x}", self.random.next_u64())
    }

    fn put(&mut self, to: &Transaction<'_>, key: &str, value: &[u8]) {
        let version = i64::from_ne_bytes(self.random.next_u64().to_ne_bytes());
        let sql = "INSERT INTO record (key, value, version, written_at) VALUES (?1, ?2, ?3, ?4)";
        let mut statement = to.prepare_cached(sql).expect("the table is there");
        let row = params![key, value, version, i64::try_from(self.at).expect("small")];
        statement.execute(row).expect("keys are new");
    }

    /// Writes a file and remembers the blob.
    fn blob(&mut self, repository: &str, bytes: &[u8], incarnation: char) -> Digest {
        let digest = oci::sha256(bytes);
        let path = self.root.join(location(&digest));
        fs::write(path, bytes).expect("the directory is writable");
        self.blobs.push(Blob {
            digest: digest.clone(),
            size: bytes.len(),
            incarnation,
            repository: repository.to_owned(),
        });
        digest
    }

    /// Gives `repository` `count` blobs, of which a manifest names the first half.
    fn repository(&mut self, to: &Transaction<'_>, repository: &str, count: usize) {
        let blob = |number: usize| format!("{repository} {number}").into_bytes();
        let mut layers = Vec::new();
        for number in 0..count {
            let bytes = blob(number);
            let digest = self.blob(repository, &bytes, 'b');
            if number < count / 2 {
                layers.push((digest.to_string(), bytes.len()));
            }
            let nonce = self.nonce();
            let membership = json!({
                "state": "live", "incarnation": "b0", "nonce": nonce, "size": bytes.len(),
                "location": location(&digest), "origin": "upload", "at": self.at,
            });
            let key = format!("l/{repository}/@b/sha256/{}", digest.hex());
            self.put(to, &key, membership.to_string().as_bytes());
        }
        let (config, size) = layers.first().cloned().expect("there are layers");
        let manifest = manifest(&config, size, &layers);
        self.manifest(to, repository, manifest.as_bytes(), "latest");
    }

    /// Gives `repository` a manifest under a tag.
    fn manifest(&mut self, to: &Transaction<'_>, repository: &str, bytes: &[u8], tag: &str) {
        let digest = self.blob(repository, bytes, 'm');
        let (nonce, at, size) = (self.nonce(), self.at, bytes.len());
        let header = json!({
            "state": "live", "incarnation": "m0", "nonce": nonce, "mediaType": MANIFEST,
            "size": size, "at": at,
        });
        let record = [header.to_string().as_bytes(), b"\n", bytes].concat();
        let key = format!("l/{repository}/@m/sha256/{}", digest.hex());
        self.put(to, &key, &record);
        self.tag(to, repository, &digest, size, tag);
        let key = format!("n/{repository}");
        self.put(to, &key, nonce.as_bytes());
    }

    fn tag(
        &mut self,
        to: &Transaction<'_>,
        repository: &str,
        digest: &Digest,
        size: usize,
        tag: &str,
    ) {
        let nonce = self.nonce();
        let record = json!({
            "digest": digest.to_string(), "mediaType": MANIFEST, "size": size, "nonce": nonce,
            "at": self.at,
        });
        self.put(
            to,
            &format!("l/{repository}/@t/{tag}"),
            record.to_string().as_bytes(),
        );
        let reverse = format!("l/{repository}/@x/sha256-{}/{tag}", digest.hex());
        self.put(to, &reverse, b"");
    }

    /// Writes the records of what lies among the blobs, in the order of their keys.
    fn contents(&mut self, to: &Transaction<'_>) {
        let mut blobs = std::mem::take(&mut self.blobs);
        blobs.sort_by(|one, other| one.digest.cmp(&other.digest));
        for Blob { digest, size, .. } in &blobs {
            let nonce = self.nonce();
            let content = json!({
                "state": "live", "size": size, "location": location(digest), "nonce": nonce,
            });
            let key = format!("c/sha256/{}", digest.hex());
            self.put(to, &key, content.to_string().as_bytes());
        }
        for Blob {
            digest,
            size,
            incarnation,
            repository,
        } in &blobs
        {
            let marker = format!(
                "k/sha256/{}/{repository}/{size}-{incarnation}0",
                digest.hex()
            );
            self.put(to, &marker, b"");
        }
    }
}

fn location(digest: &Digest) -> String {
    format!("blobs/sha256/{}/{}", &digest.hex()[..2], digest.hex())
}

/// Fills the directory `root`, which was served before and is not now, through `fill`.
#[expect(
    clippy::disallowed_methods,
    reason = "a bench is a program of its own, and the registry it fills goes by the real time"
)]
fn fill(root: &Path, fill: impl FnOnce(&mut Filler<'_>, &Transaction<'_>)) {
    let mut database = Connection::open(root.join("meta.db")).expect("the registry made it");
    let fast = "PRAGMA synchronous = OFF; PRAGMA cache_size = -200000;";
    database.execute_batch(fast).expect("SQLite knows this");
    for byte in 0..=u8::MAX {
        let shard = root.join(format!("blobs/sha256/{byte:02x}"));
        fs::create_dir_all(shard).expect("the directory is writable");
    }
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let at = since.expect("it is after 1970").saturating_sub(AGE);
    let mut filler = Filler {
        root,
        random: Random::seeded(0x1000),
        blobs: Vec::new(),
        at: at.as_secs(),
    };
    let transaction = database.transaction().expect("nobody else writes");
    fill(&mut filler, &transaction);
    filler.contents(&transaction);
    transaction.commit().expect("the disk is large enough");
}

/// Fills `root` with `repositories` repositories of `count` blobs, half of them named by a manifest.
pub(crate) fn with_blobs(root: &Path, repositories: usize, count: usize) {
    fill(root, |filler, transaction| {
        for number in 0..repositories {
            filler.repository(transaction, &format!("full/r{number:05}"), count);
        }
    });
}

/// Fills `root` with one repository, `full/tags`, of `count` manifests with a tag each.
pub(crate) fn with_tags(root: &Path, count: usize) {
    fill(root, |filler, transaction| {
        let config = filler.blob("full/tags", b"{}", 'b');
        for number in 0..count {
            let layer = (format!("sha256:{number:064x}"), number);
            let manifest = manifest(&config.to_string(), 2, &[layer]);
            let digest = filler.blob("full/tags", manifest.as_bytes(), 'm');
            let header = json!({
                "state": "live", "incarnation": "m0", "nonce": "0", "mediaType": MANIFEST,
                "size": manifest.len(), "at": filler.at,
            });
            let record = format!("{header}\n{manifest}");
            let key = format!("l/full/tags/@m/sha256/{}", digest.hex());
            filler.put(transaction, &key, record.as_bytes());
            let tag = tag_name(number);
            filler.tag(transaction, "full/tags", &digest, manifest.len(), &tag);
        }
        filler.put(transaction, "n/full/tags", b"0");
    });
}

/// Returns the name of the tag `number`.
pub(crate) fn tag_name(number: usize) -> String {
    format!("v{number:06}")
}

/// Gives distribution's storage `root` the repository `full/tags` with `count` tags.
pub(crate) fn distribution_with_tags(root: &Path, count: usize) {
    let tags = root.join("docker/registry/v2/repositories/full/tags/_manifests/tags");
    let link = format!("sha256:{:064x}", 1);
    for number in 0..count {
        let current = tags.join(tag_name(number)).join("current");
        fs::create_dir_all(&current).expect("the directory is writable");
        fs::write(current.join("link"), &link).expect("the directory is writable");
    }
}

/// Tells the garbage of a filled directory from what stays, while somebody serves it.
#[derive(Debug)]
pub(crate) struct Garbage {
    database: Connection,
    /// The last of each range: a collector comes to it last.
    last: Vec<String>,
}

impl Garbage {
    /// Looks at `root`, as [`with_blobs`] left it.
    pub(crate) fn of(root: &Path, repositories: usize, count: usize) -> Self {
        let mut last = vec![String::new(); usize::from(RANGES)];
        for repository in 0..repositories {
            for number in count / 2..count {
                let bytes = format!("full/r{repository:05} {number}");
                let hex = oci::sha256(bytes.as_bytes()).hex().to_owned();
                let range = usize::from_str_radix(&hex[..1], 16).expect("hexadecimal");
                last[range] = std::mem::take(&mut last[range]).max(hex);
            }
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
        let database = Connection::open_with_flags(root.join("meta.db"), flags);
        last.retain(|hex| !hex.is_empty());
        Self {
            database: database.expect("it is there"),
            last,
        }
    }

    /// Says whether all of it is gone.
    pub(crate) fn is_gone(&self) -> bool {
        self.last.iter().all(|hex| {
            let sql = "SELECT count(*) FROM record WHERE key = ?1";
            let key = format!("c/sha256/{hex}");
            let found = self
                .database
                .query_row(sql, [key], |row| row.get::<_, i64>(0));
            found.is_ok_and(|count| count == 0)
        })
    }

    /// Waits until all of it is gone.
    pub(crate) fn wait(&self, timeout: Duration) {
        let deadline = std::time::Instant::now() + timeout;
        while !self.is_gone() {
            assert!(
                std::time::Instant::now() < deadline,
                "garbage stays for {timeout:?}"
            );
            thread::sleep(Duration::from_millis(100));
        }
    }
}
