// SPDX-License-Identifier: Apache-2.0
//! The registry server: HTTP in front of a [`Store`](crate::storage::Store).
//!
//! Data order: [`serve`] accepts connections, each of which is a task of `accept`; `route` turns a request into a resource of
//! [`endpoint`](crate::endpoint) and asks `access` about it; one file per resource answers, named
//! as in the client (`blob`, `upload`, `manifest`, `tag`, `referrer`); `answer` holds what all
//! answers share. Every failure is an `ApiError` in the protocol's JSON.
//!
//! HTTP/1.1 and HTTP/2, with TLS ([`TlsConfig`]) or without; schemes of authentication come
//! behind `access::Access`.
//!
//! Invariants
//! 1. A request that changes something runs to its end even if the client hangs up.
//! 2. No body is held in memory beyond one unit of copying, except manifests.
//! 3. Every length, count and wait has a limit in [`Limits`] or a named constant.
//!
//! Spec: distribution-spec §API.

mod accept;
mod access;
mod activity;
mod answer;
pub mod auth;
mod blob;
mod body;
mod catalog;
mod certificate;
mod condition;
mod config;
mod connection;
#[cfg(fuzzing)]
pub mod fuzz;
mod manifest;
pub mod monitor;
mod pace;
mod query;
mod referrer;
mod route;
mod schedule;
mod serve;
mod tag;
mod tls;
mod upload;

pub use certificate::PemError;
pub use config::{Config, GcSchedule, Limits, Reporter, ScrubSchedule};
pub use serve::{ServeError, collect, serve};
pub use tls::{TlsConfig, TlsError, TlsVersion};
