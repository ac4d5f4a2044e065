// SPDX-License-Identifier: Apache-2.0
//! The one place that decides who may do what.
//!
//! Every request passes here before its handler, with everything it needs; a mount asks a second
//! time for the repository it takes from. Issuing and checking tokens or passwords is the business
//! of an implementation.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use http::HeaderMap;

use crate::endpoint::Name;

/// What may be done. Spec: distribution's token scopes (`pull`, `push`, `delete`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Read blobs, manifests, tags, referrers of a repository.
    Pull,
    /// Add to a repository.
    Push,
    /// Take from a repository.
    Delete,
    /// List every repository.
    Catalog,
    /// Find out whether this is a registry.
    Base,
}

/// One right that a request needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// Where; none for [`Action::Catalog`] and [`Action::Base`].
    pub repository: Option<Name>,
    /// What.
    pub action: Action,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Go on.
    Allow,
    /// Who is asking? The text goes into `WWW-Authenticate`.
    Challenge(String),
    /// No.
    Deny,
}

/// Decides about requests.
pub trait Access: fmt::Debug + Send + Sync + 'static {
    /// Decides whether the sender of `headers` has all of `needs`.
    fn decide<'a>(
        &'a self,
        headers: &'a HeaderMap,
        needs: &'a [Need],
    ) -> Pin<Box<dyn Future<Output = Decision> + Send + 'a>>;
}

/// Lets everybody do everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct AllowAll;

impl Access for AllowAll {
    fn decide<'a>(
        &'a self,
        _: &'a HeaderMap,
        _: &'a [Need],
    ) -> Pin<Box<dyn Future<Output = Decision> + Send + 'a>> {
        Box::pin(std::future::ready(Decision::Allow))
    }
}
