// SPDX-License-Identifier: Apache-2.0
//! What the manifests of one repository refer to, as far as they have been read.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use oci::{Digest, Document, MediaType};

use super::pages::Pages;
use crate::endpoint::Name;
use crate::storage::error::StorageError;
use crate::storage::key;
use crate::storage::manifest::references;
use crate::storage::meta::{Listed, Version};
use crate::storage::record::State;
use crate::storage::store::Store;

/// One manifest.
pub(super) struct Seen {
    /// The line of the listing it was last read at.
    pub(super) line: Listed,
    pub(super) state: State,
    /// What an index lists; empty for an image.
    pub(super) children: Vec<Digest>,
    pub(super) subject: Option<Digest>,
}

/// The manifests of one repository.
#[derive(Default)]
pub(super) struct View {
    /// By digest.
    pub(super) manifests: BTreeMap<Digest, Seen>,
    /// Everything that a readable manifest names or has named since the first look.
    pub(super) named: HashSet<Digest>,
    /// Whether there is a manifest that this version cannot read: nobody knows what it names.
    pub(super) is_blind: bool,
}

impl View {
    /// Looks at what is there; what has not changed since the last look is not read again.
    pub(super) async fn look(&mut self, store: &Store, name: &Name) -> Result<(), StorageError> {
        let prefix = key::manifests(name);
        let mut pages = Pages::new(&*store.meta, prefix.clone());
        let mut gone: BTreeSet<Digest> = self.manifests.keys().cloned().collect();
        while let Some(line) = pages.next().await? {
            let id = line.key.strip_prefix(&prefix).unwrap_or_default();
            let Ok(digest) = id.replacen('/', ":", 1).parse::<Digest>() else {
                continue;
            };
            gone.remove(&digest);
            if !self.knows(&digest, &line.version) {
                self.read(store, digest, line).await?;
            }
        }
        for digest in &gone {
            self.manifests.remove(digest);
        }
        Ok(())
    }

    fn knows(&self, digest: &Digest, version: &Version) -> bool {
        let seen = self.manifests.get(digest);
        seen.is_some_and(|seen| seen.line.version == *version)
    }

    async fn read(
        &mut self,
        store: &Store,
        digest: Digest,
        mut line: Listed,
    ) -> Result<(), StorageError> {
        let Some((header, bytes, version)) = store.manifest_record(&line.key).await? else {
            self.manifests.remove(&digest);
            return Ok(());
        };
        line.version = version;
        let mut children = Vec::new();
        // Its bytes are lost: what they named may be needed when they come back.
        self.is_blind |= header.state == State::Quarantined;
        if header.state.is_readable() {
            let media_type = MediaType::parse(&header.media_type);
            match Document::parse(bytes.to_vec(), Some(&media_type)) {
                Err(_) => self.is_blind = true,
                Ok(document) => {
                    let named = references(&document).into_iter();
                    let named: Vec<Digest> = named.map(|one| one.digest.clone()).collect();
                    self.named.extend(named.iter().cloned());
                    if matches!(document, Document::Index(..)) {
                        children = named;
                    }
                }
            }
        }
        let seen = Seen {
            line,
            state: header.state,
            children,
            subject: header.subject,
        };
        self.manifests.insert(digest, seen);
        Ok(())
    }

    /// Returns what readable indexes list.
    pub(super) fn children(&self) -> HashSet<&Digest> {
        let readable = self.manifests.values();
        let readable = readable.filter(|seen| seen.state.is_readable());
        readable.flat_map(|seen| &seen.children).collect()
    }

    /// Tells whether a manifest is there for readers.
    pub(super) fn is_readable(&self, digest: &Digest) -> bool {
        let seen = self.manifests.get(digest);
        seen.is_some_and(|seen| seen.state.is_readable())
    }
}
