// SPDX-License-Identifier: Apache-2.0
//! The seam between requests and whoever decides about them.
//!
//! Every request passes here before its handler: [`Access::identify`] finds out who sends it, once;
//! the [`Caller`] that comes out is asked about each right, by the router, by a mount for the
//! repository it takes from, and by the catalog for each name it shows. How somebody proves who he
//! is (passwords and tokens in `auth`; identities of other services later) is the business of an
//! implementation.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;

use super::accept::Peer;
use super::auth::Issuer;
use crate::endpoint::Name;

/// What may be done. Spec: distribution's token scopes (`pull`, `push`, `delete`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Action {
    /// Read blobs, manifests, tags, referrers of a repository.
    Pull,
    /// Add to a repository.
    Push,
    /// Take from a repository.
    Delete,
    /// List repositories.
    Catalog,
    /// Find out whether this is a registry.
    Base,
}

/// One right that a request needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Need {
    /// Where; none for [`Action::Catalog`] and [`Action::Base`].
    pub(super) repository: Option<Name>,
    /// What.
    pub(super) action: Action,
}

/// What a request says about its sender.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sender<'a> {
    pub(super) headers: &'a HeaderMap,
    /// The host of an address in absolute form, and of every request of HTTP/2.
    pub(super) authority: Option<&'a str>,
    pub(super) peer: Option<Peer>,
}

/// On whose behalf a request comes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Principal {
    /// Nobody asks: the registry is open.
    Everybody,
    /// Somebody who did not say who he is.
    Anonymous,
    /// A user.
    User(Box<str>),
}

impl Principal {
    /// Returns a text for signatures and tokens; names of users hold no colon.
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Everybody => "",
            Self::Anonymous => ":anonymous",
            Self::User(name) => name,
        }
    }

    /// Reads back what [`Self::as_str`] returned.
    pub(super) fn from_text(text: &str) -> Self {
        match text {
            "" => Self::Everybody,
            ":anonymous" => Self::Anonymous,
            name => Self::User(name.into()),
        }
    }
}

/// What a caller may do.
pub(super) trait Rights: fmt::Debug + Send + Sync {
    /// Tells whether the credentials of this request give the right.
    fn has(&self, need: &Need) -> bool;

    /// Tells whether the principal may pull from `name`, whatever this request's credentials were
    /// made out for. Tokens name the repository of a push, not all those that a mount may try.
    fn sees(&self, name: &Name) -> bool;

    /// Returns prefixes, sorted and none the prefix of another, under which lies every name that
    /// the principal may pull from.
    fn horizon(&self) -> Vec<String>;
}

/// Whoever sends a request, known.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) principal: Principal,
    pub(super) rights: Arc<dyn Rights>,
}

impl Caller {
    /// Tells whether every one of `needs` is met.
    pub(super) fn has_all(&self, needs: &[Need]) -> bool {
        needs.iter().all(|need| self.rights.has(need))
    }
}

/// Why a request does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Who is asking? The text goes into `WWW-Authenticate`.
    Challenge(String),
    /// No.
    Denied,
    /// Too many attempts; the next after so long.
    Later(Duration),
}

/// Why it is not known who sends a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unidentified {
    /// A token that is not good, or no longer.
    BadToken,
    /// Credentials that are wrong.
    BadCredentials,
    /// Too many attempts; the next after so long.
    Busy(Duration),
}

/// An answer that takes a while.
pub(super) type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Decides about requests.
pub(super) trait Access: fmt::Debug + Send + Sync + 'static {
    /// Finds out who sends a request.
    fn identify<'a>(&'a self, sender: Sender<'a>) -> Pending<'a, Result<Caller, Unidentified>>;

    /// Returns the owner of an upload with the rights that he has by now; none if he is gone.
    fn owner(&self, principal: Principal) -> Pending<'_, Option<Caller>>;

    /// Says no to a request that has not all of `needs`. `also` is what it could use besides.
    fn refuse(
        &self,
        sender: Sender<'_>,
        caller: Result<&Caller, Unidentified>,
        needs: &[Need],
        also: Option<Need>,
    ) -> Refusal;

    /// Returns who issues tokens, if there are any.
    fn issuer(&self) -> Option<Issuer>;
}

/// Lets everybody do everything.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AllowAll;

impl Access for AllowAll {
    fn identify<'a>(&'a self, _: Sender<'a>) -> Pending<'a, Result<Caller, Unidentified>> {
        Box::pin(std::future::ready(Ok(Self::caller())))
    }

    fn owner(&self, _: Principal) -> Pending<'_, Option<Caller>> {
        Box::pin(std::future::ready(Some(Self::caller())))
    }

    fn refuse(
        &self,
        _: Sender<'_>,
        _: Result<&Caller, Unidentified>,
        _: &[Need],
        _: Option<Need>,
    ) -> Refusal {
        Refusal::Denied
    }

    fn issuer(&self) -> Option<Issuer> {
        None
    }
}

impl AllowAll {
    fn caller() -> Caller {
        Caller {
            principal: Principal::Everybody,
            rights: Arc::new(Self),
        }
    }
}

impl Rights for AllowAll {
    fn has(&self, _: &Need) -> bool {
        true
    }

    fn sees(&self, _: &Name) -> bool {
        true
    }

    fn horizon(&self) -> Vec<String> {
        vec![String::new()]
    }
}
