// SPDX-License-Identifier: Apache-2.0
//! A new database from the journal and the files, and a look at the one that is there.
//!
//! The journal says what was where: tags, manifests, blobs of repositories, and that something was
//! deleted. The rest follows: the bytes of a manifest lie among the blobs, and from them come its
//! entry among the referrers; markers and content records support what is there; reverse entries
//! support tags. A manifest never gives its repository a blob: what the journal does not say a
//! repository had, it has not, or a manifest that only mentions another repository's blob would
//! open it.
//!
//! What is lost: unfinished uploads, unless the old database can still be read, and names
//! acknowledged within about a second before a power cut that took the database too.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use oci::{Digest, Document, MediaType, Tag};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};

use super::data::place;
use super::root::Root;
use super::{journal, meta, repair};
use crate::endpoint::Name;
use crate::storage::data::Location;
use crate::storage::error::StorageError;
use crate::storage::key;
use crate::storage::manifest::{ManifestPut, digest_of};
use crate::storage::meta::Condition;
use crate::storage::record::{self, Content, ManifestHeader, Membership, State, TagRecord};
use crate::storage::referrer::referrer_descriptor;
use crate::storage::store::{Clock, nonce, random};

/// How many records are read at once.
const PAGE: i64 = 1000;
/// The largest manifest that is read back.
const MANIFEST_MAX_BYTES: u64 = 64 << 20;
/// The database while it is made.
const NEXT: &str = "meta.db.new";

/// What a rebuilt database holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rebuilt {
    /// Tags.
    pub tags: u64,
    /// Manifests.
    pub manifests: u64,
    /// Blobs of repositories.
    pub memberships: u64,
    /// Names whose bytes are missing or damaged; quarantined, so that a push brings them back.
    pub lost: Vec<String>,
    /// Lines of the journal that could not be read.
    pub bad_lines: u64,
    /// Where the old database was put, if there was one.
    pub old: Option<PathBuf>,
}

/// Looks whether `path` holds a registry whose database is whole. Blocking. Returns what is wrong
/// with the database; nothing is changed.
///
/// # Errors
///
/// [`StorageError::NoRegistry`], [`StorageError::DatabaseLost`], [`StorageError::InUse`], and what
/// the operating system refuses.
pub fn check(path: &Path) -> Result<Vec<String>, StorageError> {
    let _root = open_existing(path)?;
    let database = path.join("meta.db");
    if !database.exists() {
        return Err(StorageError::DatabaseLost(database));
    }
    Ok(problems(&database).unwrap_or_else(|error| vec![error.to_string()]))
}

fn problems(database: &Path) -> rusqlite::Result<Vec<String>> {
    let database = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let mut statement = database.prepare("PRAGMA integrity_check(100)")?;
    let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
    let mut problems = rows.collect::<rusqlite::Result<Vec<_>>>()?;
    problems.retain(|line| line != "ok");
    Ok(problems)
}

/// Makes a new database for the registry at `path`, and puts the old one beside it. Blocking.
///
/// # Errors
///
/// See [`check`]; the old database is where it was then, or aside.
pub fn rebuild(path: &Path, clock: Clock) -> Result<Rebuilt, StorageError> {
    let root = open_existing(path)?;
    journal::sweep(path);
    let next = path.join(NEXT);
    for name in [
        NEXT,
        "meta.db.new-wal",
        "meta.db.new-shm",
        "meta.db.new-journal",
    ] {
        fs::remove_file(path.join(name)).unwrap_or_default();
    }
    let failed = |error| StorageError::meta(&next, error);
    let mut database = Connection::open(&next).map_err(failed)?;
    database.execute_batch(meta::SCHEMA).map_err(failed)?;
    let transaction = database.transaction().map_err(failed)?;
    let mut builder = Builder {
        root: &root,
        database: &transaction,
        now: clock.seconds(),
        rebuilt: Rebuilt::default(),
    };
    builder.keep_state(&path.join("meta.db"));
    let bad = journal::replay(path, |change| builder.apply(change))?;
    builder.rebuilt.bad_lines = bad;
    builder.finish()?;
    let mut rebuilt = builder.rebuilt;
    transaction.commit().map_err(failed)?;
    database.close().map_err(|(_, error)| failed(error))?;
    rebuilt.old = replace(path, clock.seconds())
        .map_err(|source| StorageError::io("replace", path.join("meta.db"), source))?;
    Ok(rebuilt)
}

/// Locks the registry at `path`; nothing is created where there is none.
fn open_existing(path: &Path) -> Result<Root, StorageError> {
    let is_registry = path.join("version").exists() && path.join("blobs").exists();
    if !is_registry {
        return Err(StorageError::NoRegistry(path.to_owned()));
    }
    Root::open(path)
}

/// Puts the new database in the place of the old one. In between there is none, and a start is
/// refused.
fn replace(path: &Path, now: u64) -> std::io::Result<Option<PathBuf>> {
    File::open(path.join(NEXT))?.sync_all()?;
    let old = path.join(format!("meta.db.old-{now}"));
    let mut moved = None;
    // The log goes after its database, to a name that still belongs to it.
    for suffix in ["", "-wal"] {
        let from = path.join(format!("meta.db{suffix}"));
        if from.exists() {
            fs::rename(from, path.join(format!("meta.db.old-{now}{suffix}")))?;
            moved = Some(old.clone());
        }
    }
    fs::remove_file(path.join("meta.db-shm")).unwrap_or_default();
    fs::rename(path.join(NEXT), path.join("meta.db"))?;
    File::open(path)?.sync_all()?;
    Ok(moved)
}

struct Builder<'a> {
    root: &'a Root,
    database: &'a Connection,
    now: u64,
    rebuilt: Rebuilt,
}

impl Builder<'_> {
    /// Copies what no journal has from the old database, if it can be read: the signing secret and
    /// unfinished uploads.
    fn keep_state(&self, old: &Path) {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
        let copy = || -> rusqlite::Result<()> {
            let old = Connection::open_with_flags(old, flags)?;
            let sql = "SELECT key, value FROM record \
                       WHERE key GLOB 'meta/*' OR key GLOB 'u/*' OR key GLOB 'g/scrub'";
            let mut statement = old.prepare(sql)?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                self.put_raw(
                    &row.get::<_, String>(0)?,
                    &row.get::<_, Vec<u8>>(1)?,
                    self.now,
                )?;
            }
            Ok(())
        };
        // It is being replaced because it is damaged or gone.
        copy().unwrap_or_default();
    }

    fn apply(&self, change: journal::Change) -> Result<(), StorageError> {
        match change.value {
            Some(value) => self.put_at(&change.key, value.get().as_bytes(), change.at),
            None => self.delete(&change.key),
        }
    }

    /// Goes through the names and adds all that supports them. Within a repository blobs come
    /// before manifests, and those before tags, by the order of their keys.
    fn finish(&mut self) -> Result<(), StorageError> {
        let mut last = String::from("l/");
        loop {
            let page = self.page(&last).map_err(|error| self.failed(error))?;
            let Some((key, ..)) = page.last() else {
                return Ok(());
            };
            last.clone_from(key);
            for (key, value, at) in page {
                self.name(&key, &value, at)?;
            }
        }
    }

    fn name(&mut self, key: &str, value: &[u8], at: u64) -> Result<(), StorageError> {
        let parts = key
            .strip_prefix("l/")
            .and_then(|rest| rest.split_once("/@"));
        let Some((name, rest)) = parts else {
            return Ok(());
        };
        let (Ok(name), Some((kind, id))) = (name.parse::<Name>(), rest.split_once('/')) else {
            return self.drop_name(key);
        };
        let digest = key::digest_in(id, '/');
        let done = match (kind, digest, id.parse::<Tag>()) {
            ("b", Some(digest), _) => self.membership(key, &name, &digest, value, at),
            ("m", Some(digest), _) => self.manifest(key, &name, &digest, value, at),
            ("t", _, Ok(tag)) => self.tag(key, &name, &tag, value),
            ("x" | "r", ..) => return Ok(()),
            _ => return self.drop_name(key),
        };
        match done {
            Err(StorageError::BadRecord { .. }) => self.drop_name(key)?,
            other => other?,
        }
        self.put(&key::changes(&name), nonce().as_bytes())
    }

    /// Leaves out a name that cannot be read.
    fn drop_name(&mut self, key: &str) -> Result<(), StorageError> {
        self.rebuilt.lost.push(key.to_owned());
        self.delete(key)
    }

    fn membership(
        &mut self,
        key: &str,
        name: &Name,
        digest: &Digest,
        value: &[u8],
        at: u64,
    ) -> Result<(), StorageError> {
        let mut found: Membership = record::decode(key, value)?;
        if found.state == State::Dead {
            return Ok(());
        }
        let is_whole = match repair::size(self.root, digest) {
            Ok(size) => size == found.size_bytes,
            Err(StorageError::Missing(_)) => false,
            Err(error) => return Err(error),
        };
        found.state = State::Quarantined;
        if is_whole {
            found.state = State::Live;
            found.location = Location(place(digest).into());
            self.content(digest, found.size_bytes)?;
            self.rebuilt.memberships += 1;
        } else {
            self.rebuilt.lost.push(key.to_owned());
        }
        let marker = key::marker(digest, name, found.size_bytes, &found.incarnation);
        self.put(&marker, &[])?;
        self.put_at(key, &record::encode(&found), at)
    }

    fn manifest(
        &mut self,
        key: &str,
        name: &Name,
        digest: &Digest,
        value: &[u8],
        at: u64,
    ) -> Result<(), StorageError> {
        let mut header: ManifestHeader = record::decode(key, value)?;
        if header.state == State::Dead {
            return self.put_at(key, &record::encode_manifest(&header, &[]), at);
        }
        let marker = key::marker(digest, name, header.size_bytes, &header.incarnation);
        self.put(&marker, &[])?;
        let media_type = MediaType::parse(&header.media_type);
        let bytes = self.bytes(digest, header.size_bytes);
        let document = bytes.and_then(|bytes| Document::parse(bytes, Some(&media_type)).ok());
        let Some(document) = document else {
            self.rebuilt.lost.push(key.to_owned());
            header.state = State::Quarantined;
            return self.put_at(key, &record::encode_manifest(&header, &[]), at);
        };
        self.rebuilt.manifests += 1;
        self.content(digest, header.size_bytes)?;
        header.state = State::Live;
        self.put_at(key, &record::encode_manifest(&header, document.bytes()), at)?;
        let Some(subject) = &header.subject else {
            return Ok(());
        };
        let entry = key::referrer(name, subject, digest);
        let put = ManifestPut {
            name,
            digest: digest.clone(),
            document,
            media_type: header.media_type.clone(),
            tags: Vec::new(),
            tag_condition: Condition::Any,
        };
        let descriptor = record::encode(&referrer_descriptor(&put));
        self.put(&format!("{entry}{}", header.incarnation), &descriptor)
    }

    fn tag(&mut self, key: &str, name: &Name, tag: &Tag, value: &[u8]) -> Result<(), StorageError> {
        let found: TagRecord = record::decode(key, value)?;
        let manifest = key::manifest(name, &found.digest);
        let header = self.get(&manifest)?;
        let header = header.map(|bytes| record::decode_manifest(&manifest, &bytes));
        if header
            .transpose()?
            .is_none_or(|(header, _)| header.state == State::Dead)
        {
            return self.drop_name(key);
        }
        self.rebuilt.tags += 1;
        self.put(&key::tag_on(name, &found.digest, tag), &[])
    }

    fn content(&self, digest: &Digest, size_bytes: u64) -> Result<(), StorageError> {
        let content = Content {
            state: State::Live,
            size_bytes,
            location: Location(place(digest).into()),
            nonce: nonce(),
        };
        self.put(&key::content(digest), &record::encode(&content))
    }

    /// Returns the bytes of a manifest, if they are there and right.
    fn bytes(&self, digest: &Digest, size_bytes: u64) -> Option<Vec<u8>> {
        let file = File::open(self.root.path.join(place(digest))).ok()?;
        let mut bytes = Vec::new();
        let mut limited = file.take(size_bytes.min(MANIFEST_MAX_BYTES) + 1);
        limited.read_to_end(&mut bytes).ok()?;
        (digest_of(digest.algorithm(), &bytes) == *digest).then_some(bytes)
    }

    fn page(&self, after: &str) -> rusqlite::Result<Vec<(String, Vec<u8>, u64)>> {
        let sql = "SELECT key, value, written_at FROM record \
                   WHERE key > ?1 AND key < 'l0' ORDER BY key LIMIT ?2";
        let mut statement = self.database.prepare_cached(sql)?;
        let rows = statement.query_map(params![after, PAGE], |row| {
            let at = u64::try_from(row.get::<_, i64>(2)?).unwrap_or_default();
            Ok((row.get(0)?, row.get(1)?, at))
        })?;
        rows.collect()
    }

    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        let read = || {
            let sql = "SELECT value FROM record WHERE key = ?1";
            let mut statement = self.database.prepare_cached(sql)?;
            statement.query_row([key], |row| row.get(0)).optional()
        };
        read().map_err(|error| self.failed(error))
    }

    fn put(&self, key: &str, value: &[u8]) -> Result<(), StorageError> {
        self.put_at(key, value, self.now)
    }

    fn put_at(&self, key: &str, value: &[u8], at: u64) -> Result<(), StorageError> {
        let put = self.put_raw(key, value, at);
        put.map_err(|error| self.failed(error))
    }

    fn put_raw(&self, key: &str, value: &[u8], at: u64) -> rusqlite::Result<()> {
        let sql = "INSERT OR REPLACE INTO record (key, value, version, written_at) \
                   VALUES (?1, ?2, ?3, ?4)";
        let version = i64::from_ne_bytes(random());
        let at = i64::try_from(at).unwrap_or(i64::MAX);
        let mut statement = self.database.prepare_cached(sql)?;
        statement
            .execute(params![key, value, version, at])
            .map(drop)
    }

    fn delete(&self, key: &str) -> Result<(), StorageError> {
        let sql = "DELETE FROM record WHERE key = ?1";
        let deleted = self.database.execute(sql, [key]).map(drop);
        deleted.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: rusqlite::Error) -> StorageError {
        StorageError::meta(self.root.path.join(NEXT), error)
    }
}

#[cfg(test)]
mod tests;
