// SPDX-License-Identifier: Apache-2.0
//! The registry server: HTTP in front of a [`Store`](crate::storage::Store).
//!
//! Data order: [`serve`] accepts connections; `route` turns a request into a resource of
//! [`endpoint`](crate::endpoint) and asks [`Access`] about it; one file per resource answers, named
//! as in the client (`blob`, `upload`, `manifest`, `tag`, `referrer`); `answer` holds what all
//! answers share. Every failure is an `ApiError` in the protocol's JSON.
//!
//! HTTP/1.1 without TLS for now. TLS goes between listener and connection in `serve`, HTTP/2 is a
//! switch of the connection builder there, other schemes of authentication implement [`Access`].
//!
//! Invariants
//! 1. A request that changes something runs to its end even if the client hangs up.
//! 2. No body is held in memory beyond one unit of copying, except manifests.
//! 3. Every length, count and wait has a limit in [`Limits`] or a named constant.
//!
//! Spec: distribution-spec §API.

mod access;
mod answer;
mod blob;
mod body;
mod condition;
mod config;
mod connection;
mod manifest;
pub mod monitor;
mod query;
mod referrer;
mod route;
mod serve;
mod tag;
mod upload;

pub use access::{Access, Action, AllowAll, Decision, Need};
pub use config::{Config, GcSchedule, Limits, Reporter};
pub use serve::{ServeError, collect, serve};
