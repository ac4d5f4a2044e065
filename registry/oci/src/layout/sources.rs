// SPDX-License-Identifier: Apache-2.0
//! Where a blob is known to be: repositories it was pulled from or pushed to.
//!
//! A push to another repository of the same registry then asks the registry to mount the blob
//! instead of sending it. Losing this costs bytes, never correctness; so no sync, no lock, and
//! errors are not reported. One file a blob, one repository a line, only ever appended to.
//!
//! Ours: containerd keeps the same in a label of the content store, OCI layouts have no such place.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use super::{Layout, disk};
use crate::{Digest, Repository};

/// How much of a list is read, in bytes: some two hundred repositories.
const SOURCES_MAX_BYTES: u64 = 16 << 10;

impl Layout {
    /// Notes that `repository` has the blob.
    pub fn remember_source(&self, digest: &Digest, repository: &Repository) {
        let path = self.source_path(digest);
        let length = std::fs::metadata(&path).map_or(0, |metadata| metadata.len());
        if length > SOURCES_MAX_BYTES / 2 {
            // Old entries are the least useful: start over.
            disk::remove_quietly(&path);
        }
        let known = self.sources(digest);
        if known.contains(repository) || std::fs::create_dir_all(self.disk.sources_dir()).is_err() {
            return;
        }
        let opened = OpenOptions::new().append(true).create(true).open(path);
        if let Ok(mut file) = opened {
            // One short write: appended whole, whoever else appends.
            file.write_all(format!("{repository}\n").as_bytes()).ok();
        }
    }

    /// Returns the repositories that are thought to have the blob, latest first.
    pub fn sources(&self, digest: &Digest) -> Vec<Repository> {
        let Ok(bytes) = disk::read_small(&self.source_path(digest), SOURCES_MAX_BYTES) else {
            return Vec::new();
        };
        let mut found: Vec<Repository> = String::from_utf8_lossy(&bytes)
            .lines()
            .filter_map(|line| line.parse().ok())
            .collect();
        found.reverse();
        found
    }

    /// Forgets all of them: the blob is gone.
    pub(super) fn forget_sources(&self, digest: &Digest) {
        disk::remove_quietly(&self.source_path(digest));
    }

    fn source_path(&self, digest: &Digest) -> PathBuf {
        let name = format!("{}-{}", digest.algorithm(), digest.hex());
        self.disk.sources_dir().join(name)
    }
}
