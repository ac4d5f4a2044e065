// SPDX-License-Identifier: Apache-2.0
//! The journal of names: one line of JSON per change of a tag or manifest.
//!
//! It exists to rebuild the database from the files under `blobs/` should the database be lost, so
//! it is synced about once a second and not with every commit. Lines are written before the commit
//! they belong to: a line may name a change that was never acknowledged, none is missing that was
//! acknowledged more than a second before a power cut.
//!
//! ```text
//! {"at":1700000000,"key":"l/a/b/@t/latest","value":{"digest":"sha256:…",…}}
//! {"at":1700000001,"key":"l/a/b/@t/latest","value":null}
//! ```

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::value::RawValue;

use crate::storage::error::StorageError;
use crate::storage::meta::Write;

/// How often it is synced.
const SYNC_EVERY: Duration = Duration::from_secs(1);

#[derive(serde::Serialize)]
struct Line<'a> {
    at: u64,
    key: &'a str,
    value: Option<&'a RawValue>,
}

/// The open journal.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    size_bytes: u64,
    unsynced_since: Option<Instant>,
}

impl Journal {
    pub(super) fn open(root: &Path) -> Result<Self, StorageError> {
        let path = root.join("journal/names.jsonl");
        let open = OpenOptions::new().create(true).append(true).open(&path);
        let opened = open.and_then(|file| Ok((file.metadata()?.len(), file)));
        let (size_bytes, file) = opened.map_err(|source| StorageError::io("open", path, source))?;
        Ok(Self {
            file,
            size_bytes,
            unsynced_since: None,
        })
    }

    /// Appends the lines of the steps that are about tags and manifests.
    pub(super) fn append<'a>(
        &mut self,
        at: u64,
        steps: impl Iterator<Item = &'a Write>,
    ) -> io::Result<()> {
        let mut text = Vec::new();
        for step in steps {
            let (key, value) = match step {
                Write::Put(key, bytes, _) if is_name(key) => (key, header(bytes)),
                Write::Delete(key, _) if is_name(key) => (key, None),
                _ => continue,
            };
            serde_json::to_writer(&mut text, &Line { at, key, value })?;
            text.push(b'\n');
        }
        if text.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.file.write_all(&text) {
            // Half a line would spoil the next one too.
            self.file.set_len(self.size_bytes)?;
            return Err(error);
        }
        self.size_bytes += text.len() as u64;
        self.unsynced_since.get_or_insert_with(Instant::now);
        Ok(())
    }

    /// Returns how long the next sync may wait; none if there is nothing to sync.
    pub(super) fn sync_due(&self) -> Option<Duration> {
        let since = self.unsynced_since?;
        Some(SYNC_EVERY.saturating_sub(since.elapsed()))
    }

    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.unsynced_since = None;
        self.file.sync_data()
    }
}

fn is_name(key: &str) -> bool {
    key.contains("/@t/") || key.contains("/@m/")
}

/// Returns the JSON of a record: all of a tag's, the first line of a manifest's.
fn header(record: &[u8]) -> Option<&RawValue> {
    let end = record.iter().position(|&byte| byte == b'\n');
    let end = end.unwrap_or(record.len());
    serde_json::from_slice(&record[..end]).ok()
}
