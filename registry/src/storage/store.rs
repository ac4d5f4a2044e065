// SPDX-License-Identifier: Apache-2.0
//! The registry's state: both traits, a clock, and the choices that the algorithms depend on.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;

use super::data::Data;
use super::error::StorageError;
use super::key;
use super::meta::{Condition, Meta, Version, Write};
use super::precedence::Precedence;
use super::record;
use super::session::{SessionId, SessionSigner};
use super::upload::Slot;
use crate::endpoint::Name;

/// How often an operation starts again after losing a race, before it gives up.
pub(crate) const RACES_MAX: usize = 64;

/// Tells the time; a function, so that tests can fix it and libraries need not know the clock.
#[derive(Clone, Copy)]
pub struct Clock(pub fn() -> SystemTime);

impl Clock {
    /// Returns the seconds since 1970.
    pub fn seconds(&self) -> u64 {
        (self.0)()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs())
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// Which manifests may refer to content that the repository does not have.
///
/// Spec: distribution-spec §Pushing Manifests (a registry may refuse, may accept). Whatever is
/// accepted, a reference never gives access to a blob.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SparsePolicy {
    /// None.
    Strict,
    /// An index may lack some of its manifests.
    Index,
    /// Any: mirrors of one platform need it, and the conformance tool checks it. What was there
    /// and has been deleted is still refused, so that a client which trusted an old answer sends
    /// it again.
    #[default]
    All,
}

/// Where a registry keeps its state: both halves, opened.
#[derive(Clone, Debug)]
pub struct Backend {
    /// The bytes.
    pub data: Arc<dyn Data>,
    /// The names.
    pub meta: Arc<dyn Meta>,
}

/// A registry's state, shared by all requests.
pub struct Store {
    pub(crate) data: Arc<dyn Data>,
    pub(crate) meta: Arc<dyn Meta>,
    pub(crate) clock: Clock,
    pub(crate) sparse: SparsePolicy,
    pub(crate) signer: SessionSigner,
    secret: hmac::Key,
    pub(crate) slots: Mutex<HashMap<SessionId, Arc<Slot>>>,
    pub(crate) precedence: Precedence,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("data", &self.data)
            .field("meta", &self.meta)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the registry that lies in `backend`; a new one gets its signing secret.
    ///
    /// # Errors
    ///
    /// Whatever the traits report.
    ///
    /// # Cancellation
    ///
    /// At most the secret has been written.
    pub async fn open(
        backend: Backend,
        clock: Clock,
        sparse: SparsePolicy,
    ) -> Result<Self, StorageError> {
        let Backend { data, meta } = backend;
        let secret = secret(&*meta).await?;
        Ok(Self {
            data,
            meta,
            clock,
            sparse,
            signer: SessionSigner::new(&secret),
            secret: hmac::Key::new(hmac::HMAC_SHA256, &secret),
            slots: Mutex::default(),
            precedence: Precedence::default(),
        })
    }

    /// Returns a key for `purpose`, the same in all replicas, from which no other follows.
    pub(crate) fn derive(&self, purpose: &str) -> [u8; 32] {
        // No repository has a colon in its name, so no session is signed over the same text.
        let tag = hmac::sign(&self.secret, format!("key:{purpose}").as_bytes());
        let mut key = [0; 32];
        key.copy_from_slice(tag.as_ref());
        key
    }

    /// Reads one record.
    pub(crate) async fn read<T: serde::de::DeserializeOwned>(
        &self,
        key: &str,
    ) -> Result<Option<(T, Version)>, StorageError> {
        match self.meta.get(key).await? {
            None => Ok(None),
            Some((bytes, version)) => Ok(Some((record::decode(key, &bytes)?, version))),
        }
    }

    /// The step that marks `name` as changed.
    pub(crate) fn changed(name: &Name) -> Write {
        Write::Put(key::changes(name), nonce().into_bytes(), Condition::Any)
    }

    pub(crate) fn now(&self) -> u64 {
        self.clock.seconds()
    }
}

async fn secret(meta: &dyn Meta) -> Result<Vec<u8>, StorageError> {
    loop {
        if let Some((bytes, _)) = meta.get(key::INSTANCE).await? {
            let record: Instance = record::decode(key::INSTANCE, &bytes)?;
            return Ok(record.secret.into_bytes());
        }
        let fresh = Instance {
            secret: hex(&random::<{ SessionSigner::SECRET_BYTES }>()),
        };
        let put = Write::Put(
            key::INSTANCE.into(),
            record::encode(&fresh),
            Condition::Absent,
        );
        match meta.write(vec![put]).await {
            Ok(()) | Err(StorageError::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
    }
}

/// What makes this registry one, shared by its replicas.
#[derive(serde::Serialize, serde::Deserialize)]
struct Instance {
    secret: String,
}

/// Returns random bytes.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    #[cfg(test)]
    if super::gc::numbers::fill(&mut bytes) {
        return bytes;
    }
    aws_lc_rs::rand::fill(&mut bytes).expect("the kernel has random numbers");
    bytes
}

/// Returns a fresh nonce: 64 random bits, in hexadecimal.
pub fn nonce() -> String {
    hex(&random::<8>())
}

/// Returns bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes everything");
        text
    })
}
