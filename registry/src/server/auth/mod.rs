// SPDX-License-Identifier: Apache-2.0
//! Who may do what, in a registry that is not open: users, rules, tokens.
//!
//! Data order: `config` is what the server is told; `htpasswd` reads the file of users, `users`
//! keeps it fresh, `password` checks passwords; `rule` says who may do what; `scope` is the language
//! in which clients ask for rights, `token` carries them, `issuer` hands tokens out; `origin` knows
//! how the registry is called from outside; `gate` puts them together behind
//! `Access`. `cursor` hides where a list of repositories goes on.
//!
//! Invariants
//! 1. A password is seen by `password` alone, is in no `Debug` and no message, and is kept only as
//!    a hash under a key that dies with the process.
//! 2. What a token allows is at most what its user may do when it is used: rules and the file of
//!    users are asked again for each request.
//! 3. Without the right to pull, no answer depends on what a repository holds.
//!
//! Docs: distribution's token authentication; `docs/registry-auth.md`.

mod config;
mod cursor;
mod gate;
mod htpasswd;
mod issuer;
mod origin;
mod password;
mod rule;
mod scope;
mod token;
mod users;

pub use config::{Anonymous, AuthConfig, AuthError};
pub(super) use cursor::Cursor;
pub(super) use gate::Gate;
pub use htpasswd::{HashPasswordError, PasswordHash, ReadUsersError, hash_line};
pub(super) use issuer::{Issuer, TOKEN_PATH, TokenRequest, later};
pub use origin::{Network, ParseNetworkError};
pub use rule::{Actions, ParseRuleError, Pattern, Rule, Who};
