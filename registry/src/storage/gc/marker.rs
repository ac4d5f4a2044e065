// SPDX-License-Identifier: Apache-2.0
//! Markers that support nothing: how to be sure that none ever will need them.

use oci::{Algorithm, Digest};

use crate::endpoint::Name;
use crate::storage::data::Location;
use crate::storage::error::StorageError;
use crate::storage::key;
use crate::storage::meta::{Condition, Write};
use crate::storage::record::{self, ManifestHeader, Membership, Origin, State};
use crate::storage::store::{Store, nonce};

/// A marker's key taken apart.
pub(in crate::storage) struct Marker {
    pub(in crate::storage) digest: Digest,
    pub(in crate::storage) name: Name,
    pub(in crate::storage) incarnation: String,
}

impl Marker {
    pub(in crate::storage) fn parse(key: &str) -> Option<Self> {
        let rest = key.strip_prefix(key::MARKERS)?;
        let (algorithm, rest) = rest.split_once('/')?;
        let (hex, rest) = rest.split_once('/')?;
        let (name, support) = rest.rsplit_once('/')?;
        let (_, incarnation) = support.split_once('-')?;
        Algorithm::from_name(algorithm)?;
        Some(Self {
            digest: format!("{algorithm}:{hex}").parse().ok()?,
            name: name.parse().ok()?,
            incarnation: incarnation.to_owned(),
        })
    }

    /// Tells whether it supports a manifest, or else a blob.
    pub(in crate::storage) fn is_of_manifest(&self) -> bool {
        self.incarnation.starts_with(key::MANIFEST_INCARNATION)
    }
}

impl Store {
    /// Makes sure that no record of the marker's incarnation is or becomes readable; false if one
    /// is, or if somebody is at it.
    ///
    /// A publisher writes its record on condition of the version that it saw when it chose the
    /// incarnation. A new version without that incarnation therefore stops it for good.
    pub(in crate::storage) async fn forbid(
        &self,
        marker: &Marker,
        dry_run: bool,
    ) -> Result<bool, StorageError> {
        let is_manifest = marker.is_of_manifest();
        let (key, seen) = if is_manifest {
            let key = key::manifest(&marker.name, &marker.digest);
            let seen = self.manifest_record(&key).await?;
            let seen = seen.map(|(found, _, version)| (found.state, found.incarnation, version));
            (key, seen)
        } else {
            let key = key::membership(&marker.name, &marker.digest);
            let seen = self.read::<Membership>(&key).await?;
            let seen = seen.map(|(found, version)| (found.state, found.incarnation, version));
            (key, seen)
        };
        if let Some((state, incarnation, _)) = &seen
            && state.is_there()
        {
            return Ok(*incarnation != marker.incarnation);
        }
        if dry_run {
            return Ok(true);
        }
        let bytes = if is_manifest {
            self.dead_manifest()
        } else {
            self.dead_membership()
        };
        let condition = Condition::unchanged(seen.map(|(_, _, version)| version));
        let put = Write::Put(key, bytes, condition);
        self.write_or_lose(vec![put]).await
    }

    fn dead_membership(&self) -> Vec<u8> {
        record::encode(&Membership {
            state: State::Dead,
            incarnation: String::new(),
            nonce: nonce(),
            size_bytes: 0,
            location: Location("".into()),
            origin: Origin::Upload,
            at: self.now(),
        })
    }

    fn dead_manifest(&self) -> Vec<u8> {
        let header = ManifestHeader {
            state: State::Dead,
            incarnation: String::new(),
            nonce: nonce(),
            media_type: String::new(),
            size_bytes: 0,
            subject: None,
            pushes: Vec::new(),
            at: self.now(),
        };
        record::encode_manifest(&header, &[])
    }
}
