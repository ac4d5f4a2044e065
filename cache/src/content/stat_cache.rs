// SPDX-License-Identifier: Apache-2.0
//! The stat cache: which version of a file has which digest, from build to build.
//!
//! A version is device, inode, size, modification and change time. One row of `state.db` holds a
//! whole tree, packed: 50,000 files are 4 MB, read and written at once.
//!
//! Invariant: a version is remembered only if the file was last changed well before it was read;
//! otherwise a second change within one tick of the file system's clock would look the same.
//!
//! Docs: git `Documentation/technical/racy-git.txt`.

use std::collections::HashMap;

use rusqlite::{OptionalExtension, params};

use crate::file::{Meta, Timestamp};
use crate::record::CacheKey;
use crate::root::{DatabaseError, Query};
use crate::{SourceOwners, Store};

/// The first bytes of a packed tree; another version is thrown away.
const MAGIC: &[u8; 8] = b"kilnst01";

/// One packed file: device, inode, size, two times of 8 + 4 bytes, digest.
const ROW_BYTES: usize = 8 + 8 + 8 + 12 + 12 + 32;

/// How many files one tree may remember. Ours: 80 MB of row; larger trees are read again in part.
const FILES_MAX: usize = 1_000_000;

/// File systems take the time from a clock that ticks every 1 to 10 ms.
const TICK_NANOS: i128 = 20_000_000;

/// Some file systems keep whole seconds, FAT even ones.
const COARSE_TICK_NANOS: i128 = 2_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    size_bytes: u64,
    mtime: Timestamp,
    ctime: Timestamp,
    digest: [u8; 32],
    /// Seen in this session.
    is_live: bool,
}

/// The remembered files of one tree.
#[derive(Debug, Default)]
pub(crate) struct StatCache {
    versions: HashMap<(u64, u64), Version>,
    is_changed: bool,
    /// Versions that this session added.
    inserted: usize,
}

impl StatCache {
    /// Returns the digest of this version of a file.
    pub(super) fn get(&mut self, meta: &Meta) -> Option<[u8; 32]> {
        let version = self.versions.get_mut(&(meta.dev, meta.ino))?;
        let is_same = version.size_bytes == meta.size_bytes
            && version.mtime == meta.mtime
            && version.ctime == meta.ctime;
        version.is_live |= is_same;
        is_same.then_some(version.digest)
    }

    /// Remembers a version that was read at `read_at` (kernel time), unless it is too young.
    pub(super) fn insert(&mut self, meta: &Meta, digest: [u8; 32], read_at: Timestamp) {
        let is_coarse = meta.mtime.nanos == 0 && meta.ctime.nanos == 0;
        let tick = if is_coarse {
            COARSE_TICK_NANOS
        } else {
            TICK_NANOS
        };
        let changed = nanos(meta.mtime).max(nanos(meta.ctime));
        let key = (meta.dev, meta.ino);
        if changed + tick > nanos(read_at) {
            self.is_changed |= self.versions.remove(&key).is_some();
            return;
        }
        if self.versions.len() >= FILES_MAX && !self.versions.contains_key(&key) {
            return;
        }
        self.is_changed = true;
        self.inserted += 1;
        self.versions.insert(
            key,
            Version {
                size_bytes: meta.size_bytes,
                mtime: meta.mtime,
                ctime: meta.ctime,
                digest,
                is_live: true,
            },
        );
    }

    /// Returns how many files this session read.
    #[cfg(test)]
    pub(super) fn inserted(&self) -> usize {
        self.inserted
    }

    fn unpack(bytes: &[u8]) -> Self {
        let mut cache = Self::default();
        let Some(rows) = bytes.strip_prefix(MAGIC) else {
            return cache;
        };
        cache.versions.reserve(rows.len() / ROW_BYTES);
        for row in rows.chunks_exact(ROW_BYTES).take(FILES_MAX) {
            let mut row = Row(row);
            let key = (row.u64(), row.u64());
            let version = Version {
                size_bytes: row.u64(),
                mtime: row.time(),
                ctime: row.time(),
                digest: row.take(),
                is_live: false,
            };
            cache.versions.insert(key, version);
        }
        cache
    }

    /// Packs what this session saw, and as much again of what it did not: another target of the same
    /// Dockerfile may use those.
    fn pack(&self) -> Vec<u8> {
        let mut keys: Vec<_> = self.versions.keys().copied().collect();
        keys.sort_unstable();
        let live = self.versions.values().filter(|one| one.is_live).count();
        let mut others = live.max(10_000);
        let mut bytes = MAGIC.to_vec();
        bytes.reserve(keys.len() * ROW_BYTES);
        for key in keys {
            let version = &self.versions[&key];
            if !version.is_live {
                if others == 0 {
                    continue;
                }
                others -= 1;
            }
            for number in [key.0, key.1, version.size_bytes] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            for time in [version.mtime, version.ctime] {
                bytes.extend_from_slice(&time.secs.to_le_bytes());
                bytes.extend_from_slice(&time.nanos.to_le_bytes());
            }
            bytes.extend_from_slice(&version.digest);
        }
        bytes
    }
}

/// Reads the fields of a packed row, which is always long enough.
struct Row<'a>(&'a [u8]);

impl Row<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut field = [0; N];
        let (head, rest) = self.0.split_at(N.min(self.0.len()));
        field[..head.len()].copy_from_slice(head);
        self.0 = rest;
        field
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take())
    }

    fn time(&mut self) -> Timestamp {
        Timestamp {
            secs: i64::from_le_bytes(self.take()),
            nanos: u32::from_le_bytes(self.take()),
        }
    }
}

fn nanos(time: Timestamp) -> i128 {
    i128::from(time.secs) * 1_000_000_000 + i128::from(time.nanos)
}

/// Returns the time by the clock that file systems use. Not the store's clock: this is compared
/// with the times of files, and a fixed clock would make the comparison lie.
pub(super) fn kernel_now() -> Timestamp {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    Timestamp {
        secs: now.tv_sec,
        nanos: u32::try_from(now.tv_nsec).unwrap_or(0),
    }
}

fn tree_key(tree: &str, owners: SourceOwners) -> CacheKey {
    let owners = match owners {
        SourceOwners::Kept => b"kept",
        SourceOwners::Root => b"root",
    };
    CacheKey::of("stat tree", &[tree.as_bytes(), owners])
}

impl Store {
    pub(super) fn load_stat_cache(
        &self,
        tree: &str,
        owners: SourceOwners,
    ) -> Result<StatCache, DatabaseError> {
        let key = tree_key(tree, owners);
        let bytes = self.with_database(|connection| {
            connection
                .prepare_cached("SELECT entries FROM stat_tree WHERE tree = ?1")
                .and_then(|mut statement| {
                    statement
                        .query_row(params![key.as_bytes()], |row| row.get::<_, Vec<u8>>(0))
                        .optional()
                })
                .query("read the stat cache")
        })?;
        Ok(bytes.map_or_else(StatCache::default, |bytes| StatCache::unpack(&bytes)))
    }

    pub(super) fn save_stat_cache(
        &self,
        tree: &str,
        owners: SourceOwners,
        cache: &mut StatCache,
    ) -> Result<(), DatabaseError> {
        if !cache.is_changed {
            return Ok(());
        }
        let key = tree_key(tree, owners);
        let bytes = cache.pack();
        let now = self.now().secs;
        self.with_database(|connection| {
            connection
                .execute(
                    "INSERT OR REPLACE INTO stat_tree (tree, entries, last_used)
                     VALUES (?1, ?2, ?3)",
                    params![key.as_bytes(), bytes, now],
                )
                .query("write the stat cache")
        })?;
        cache.is_changed = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::Kind;

    fn meta(ino: u64, changed_secs: i64) -> Meta {
        let time = Timestamp {
            secs: changed_secs,
            nanos: 5,
        };
        Meta {
            kind: Kind::File,
            mode: 0o644,
            owner: crate::Owner::ROOT,
            size_bytes: 3,
            mtime: time,
            ctime: time,
            dev: 1,
            ino,
            links: 1,
            rdev: 0,
        }
    }

    #[test]
    fn packed_tree_is_the_same_tree() {
        let mut cache = StatCache::default();
        for ino in 0..100 {
            cache.insert(&meta(ino, 50), [7; 32], Timestamp::from_secs(100));
        }
        let mut back = StatCache::unpack(&cache.pack());
        for ino in 0..100 {
            assert_eq!(back.get(&meta(ino, 50)), Some([7; 32]));
        }
        assert_eq!(back.get(&meta(3, 51)), None, "another time");
        assert!(StatCache::unpack(b"kilnst99aaaa").versions.is_empty());
        assert!(StatCache::unpack(b"").versions.is_empty());
    }

    #[test]
    fn racy_timestamps_are_not_remembered() {
        // Docs: racy-git.
        let mut cache = StatCache::default();
        cache.insert(&meta(1, 100), [7; 32], Timestamp::from_secs(100));
        assert_eq!(cache.get(&meta(1, 100)), None);
        cache.insert(&meta(1, 100), [7; 32], Timestamp::from_secs(101));
        assert_eq!(cache.get(&meta(1, 100)), Some([7; 32]));
    }
}
