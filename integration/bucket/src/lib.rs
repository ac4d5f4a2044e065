// SPDX-License-Identifier: Apache-2.0
//! An S3 server for tests: real HTTP and signatures, atomic conditions, and faults on demand.
//!
//! [`Server::start`] serves one bucket from a thread and a runtime of its own, so that blocking and
//! async tests use it alike, and stops when dropped. What a client may rely on at a real store
//! holds here: a condition is checked and its write done under one lock, a read or list that begins
//! after an answer sees what was answered, `ETag`s name content (so the same bytes twice have the
//! same one), parts have a least size. What a client must not rely on can be taken away: conditions
//! ([`Conditions`]), parts of any size, answers ([`Fault`]).
//!
//! ```text
//! hyper ─► front (log, faults on the wire) ─► s3s (signatures, XML) ─► gate (faults before doing)
//!                                                                        └► service ─► store
//! ```
//!
//! Owns `store` (what the bucket holds; no I/O, no protocol), `content` (bytes in memory or in a
//! temporary directory), `service` (S3 operations over the store), `faults`, `log` and `front`.
//!
//! Does not know the registry: it is what `registry-s3` is tested against, so it shares no code
//! with it.
//!
//! Docs: the S3 API reference; what stores leave out or do otherwise is `Observed` of those stores.

mod content;
mod faults;
mod front;
mod listing;
mod log;
mod options;
mod server;
mod service;
mod store;
mod upload;

pub use faults::{Fault, Faults, Rule};
pub use log::{Operation, Request, sequential};
pub use options::{Conditions, Options};
pub use server::{ObjectInfo, Server, StartError};
