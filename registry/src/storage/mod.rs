// SPDX-License-Identifier: Apache-2.0
//! What a registry keeps: bytes in [`Data`], names in [`Meta`], and the algorithms over the two.
//!
//! Two notions are kept apart. *Content* is bytes with a digest, global and stored once.
//! *Membership* is the right of one repository to serve a digest; it comes from an upload into that
//! repository or a permitted mount, never from a manifest that mentions the digest.
//!
//! [`Store`] joins the traits; [`disk`] implements them on one directory, [`memory`] in a double for
//! tests, the crate `registry-s3` in a bucket. All run the suite in `contract`.
//! [`gc`] removes what nothing refers to; its protocol has a publisher's half in `repository` and
//! `manifest`. [`scrub`] finds what is damaged and mends what can be mended.
//!
//! Invariants
//! 1. Content first, pointers later; on delete pointers first, content later.
//! 2. Whatever a call acknowledged is durable.
//! 3. A membership that is live has a marker under its digest, and content that is not dead.
//!
//! Ours: no specification covers this; `docs/registry.md` has the layout and the guarantees.

pub(crate) mod adopt;
#[expect(clippy::unwrap_used, reason = "tests, of other crates too")]
pub mod contract;
pub mod data;
pub mod disk;
pub mod error;
pub mod gc;
pub mod key;
pub mod manifest;
pub mod memory;
pub mod meta;
mod precedence;
pub mod record;
pub mod referrer;
pub mod repository;
pub mod scrub;
pub mod session;
pub mod store;
pub mod tag;
#[cfg(test)]
mod tests;
mod turn;
mod unpublish;
pub mod upload;
mod withdraw;

pub use data::{
    Adopted, Answer, Bytes, Data, Guard, Location, Placed, Publication, Resume, Staged, Stream,
};
pub use error::StorageError;
pub use gc::{GcPolicy, GcReport, Turns};
pub use manifest::{ManifestPut, PutManifestError, StoredManifest};
pub use meta::{Condition, Listed, Meta, Version, Write};
pub use repository::{Blob, Mounted};
pub use scrub::{ScrubLevel, ScrubPolicy, ScrubReport};
pub use session::SessionId;
pub use store::{Backend, Clock, SparsePolicy, Store, nonce};
pub use tag::{StoredTag, Untagged};
