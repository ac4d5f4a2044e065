// SPDX-License-Identifier: Apache-2.0
//! The walk: directories become tasks, files that are not remembered become batches of them, and a
//! directory is digested when the last of its entries is.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::stat_cache::{StatCache, kernel_now};
use super::{ContentError, digest};
use crate::PathFilter;
use crate::file::{Attempt, FileError, Kind, Meta, XattrMap, stat_fd};
use crate::pool::{self, Queue};
use crate::source::{Source, Verdict};
use crate::view::{Entry, MergedDir, content_xattrs};

/// How many files one task reads.
const BATCH: usize = 64;

/// The walk over one chosen directory.
pub(super) struct Walk<'a> {
    source: &'a Source<'a>,
    filter: Option<&'a dyn PathFilter>,
    cache: &'a Mutex<StatCache>,
}

/// A directory whose entries are not all digested yet.
struct Pending {
    parent: Option<Arc<Pending>>,
    name: Vec<u8>,
    /// Its header's digest, if it counts.
    own: Option<[u8; 32]>,
    /// It counts only if something in it does.
    is_looked_at: bool,
    entries: Mutex<Vec<(Vec<u8>, [u8; 32])>>,
}

enum Task {
    Dir {
        parent: Option<(Arc<MergedDir>, Entry)>,
        opened: Option<Arc<MergedDir>>,
        pending: Arc<Pending>,
        relative: PathBuf,
    },
    Files {
        dir: Arc<MergedDir>,
        entries: Vec<Entry>,
        pending: Arc<Pending>,
    },
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        source: &'a Source<'a>,
        filter: Option<&'a dyn PathFilter>,
        cache: &'a Mutex<StatCache>,
    ) -> Self {
        Self {
            source,
            filter,
            cache,
        }
    }

    pub(super) fn dir_header(&self, meta: &Meta, xattrs: &XattrMap) -> [u8; 32] {
        let header = digest::header(meta, self.source.owner_of(meta), b"", xattrs);
        *header.finalize().as_bytes()
    }

    /// Returns the digest of a directory, or `None` if filters leave nothing of it and it does not
    /// count by itself.
    pub(super) fn tree(
        &self,
        dir: Arc<MergedDir>,
        own: Option<[u8; 32]>,
    ) -> Result<Option<[u8; 32]>, ContentError> {
        let result = Mutex::new(None);
        let first = Task::Dir {
            parent: None,
            opened: Some(dir),
            pending: Arc::new(Pending {
                parent: None,
                name: Vec::new(),
                own,
                is_looked_at: false,
                entries: Mutex::default(),
            }),
            relative: PathBuf::new(),
        };
        pool::run(first, |task, queue| self.step(task, queue, &result))?;
        Ok(result.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    fn step(
        &self,
        task: Task,
        queue: &Queue<Task, ContentError>,
        result: &Mutex<Option<[u8; 32]>>,
    ) -> Result<(), ContentError> {
        let pending = match task {
            Task::Dir {
                parent,
                opened,
                pending,
                relative,
            } => {
                let dir = match (opened, parent) {
                    (Some(dir), _) => dir,
                    (None, Some((parent, entry))) => Arc::new(parent.open_dir(&entry.name)?),
                    (None, None) => unreachable!("a directory is open or has a parent"),
                };
                self.list(&dir, (&pending, &relative), queue)?;
                pending
            }
            Task::Files {
                dir,
                entries,
                pending,
            } => {
                let mut digests = Vec::with_capacity(entries.len());
                for entry in &entries {
                    let digest = self.read(&dir, entry)?;
                    digests.push((entry.name.as_bytes().to_vec(), digest));
                }
                pending.add(digests);
                pending
            }
        };
        if let Some(digest) = release(pending) {
            *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(digest);
        }
        Ok(())
    }

    fn list(
        &self,
        dir: &Arc<MergedDir>,
        (pending, relative): (&Arc<Pending>, &Path),
        queue: &Queue<Task, ContentError>,
    ) -> Result<(), ContentError> {
        let (mut files, mut dirs) = (Vec::new(), Vec::new());
        for entry in dir.entries()? {
            let is_dir = entry.meta.is_dir();
            let below = relative.join(&entry.name);
            let path = dir.path().join(&entry.name);
            let own = (self.filter, below.as_path());
            match self.source.verdict_of(&path, own, is_dir) {
                Verdict::Skip => {}
                verdict if is_dir => dirs.push((entry, below, verdict)),
                Verdict::Look => {}
                Verdict::Take => files.push(entry),
            }
        }
        let unread = self.remembered(files, pending);
        for (entry, relative, verdict) in dirs {
            let own = self.dir_header(&entry.meta, &dir.xattrs(&entry)?);
            queue.push(Task::Dir {
                pending: Arc::new(Pending {
                    parent: Some(Arc::clone(pending)),
                    name: entry.name.as_bytes().to_vec(),
                    own: Some(own),
                    is_looked_at: verdict == Verdict::Look,
                    entries: Mutex::default(),
                }),
                parent: Some((Arc::clone(dir), entry)),
                opened: None,
                relative,
            });
        }
        let mut unread = unread.into_iter().peekable();
        while unread.peek().is_some() {
            queue.push(Task::Files {
                dir: Arc::clone(dir),
                entries: unread.by_ref().take(BATCH).collect(),
                pending: Arc::clone(pending),
            });
        }
        Ok(())
    }

    /// Adds the digests of files that did not change since they were read; returns the others.
    fn remembered(&self, files: Vec<Entry>, pending: &Pending) -> Vec<Entry> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = Vec::with_capacity(files.len());
        let mut unread = Vec::new();
        for entry in files {
            match cache.get(&entry.meta) {
                Some(digest) => known.push((entry.name.as_bytes().to_vec(), digest)),
                None => unread.push(entry),
            }
        }
        drop(cache);
        pending.add(known);
        unread
    }

    /// Returns the digest of one entry that is no directory.
    pub(super) fn entry(&self, dir: &MergedDir, entry: &Entry) -> Result<[u8; 32], ContentError> {
        let known = self
            .cache
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&entry.meta);
        match known {
            Some(digest) => Ok(digest),
            None => self.read(dir, entry),
        }
    }

    fn read(&self, dir: &MergedDir, entry: &Entry) -> Result<[u8; 32], ContentError> {
        let started = kernel_now();
        let meta = &entry.meta;
        let owner = self.source.owner_of(meta);
        let path = || dir.path().join(&entry.name);
        let digest = match meta.kind {
            Kind::File => {
                let file = dir.open_file(entry)?;
                let xattrs = content_xattrs(&file, &path())?;
                let mut hasher = digest::header(meta, owner, b"", &xattrs);
                hash_file(&mut hasher, &file).attempt("read", path())?;
                let after = stat_fd(&file).attempt("stat", path())?;
                if !is_same_version(meta, &after) {
                    let error = std::io::Error::other("it changed while it was read");
                    return Err(FileError::new("read", path(), error).into());
                }
                hasher
            }
            Kind::Symlink => {
                let target = dir.read_link(entry)?;
                digest::header(meta, owner, target.to_bytes(), &XattrMap::new())
            }
            _ => digest::header(meta, owner, b"", &XattrMap::new()),
        };
        let digest = *digest.finalize().as_bytes();
        self.cache
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(meta, digest, started);
        Ok(digest)
    }
}

fn hash_file(hasher: &mut blake3::Hasher, file: &std::fs::File) -> std::io::Result<()> {
    hasher.update_reader(file).map(drop)
}

fn is_same_version(before: &Meta, after: &Meta) -> bool {
    (before.dev, before.ino, before.size_bytes) == (after.dev, after.ino, after.size_bytes)
        && before.mtime == after.mtime
        && before.ctime == after.ctime
}

impl Pending {
    fn add(&self, digests: Vec<(Vec<u8>, [u8; 32])>) {
        self.entries
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(digests);
    }
}

/// Lets go of a directory. The last one to do so digests it and adds it to its parent; at the top
/// that is the result.
fn release(pending: Arc<Pending>) -> Option<[u8; 32]> {
    let mut next = Arc::into_inner(pending);
    while let Some(done) = next {
        let mut entries = done
            .entries
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        entries.sort_unstable();
        let digest = digest::of_dir(done.own.as_ref(), &entries);
        let Some(parent) = done.parent else {
            return Some(digest);
        };
        if !(done.is_looked_at && entries.is_empty()) {
            parent.add(vec![(done.name, digest)]);
        }
        next = Arc::into_inner(parent);
    }
    None
}
