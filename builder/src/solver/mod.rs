// SPDX-License-Identifier: Apache-2.0
//! Graph → results, each step at most once, from the cache where that is right.
//!
//! [`key`] says under which keys a step's result may be found, [`machine`] decides what happens
//! next (pure: events in, actions out), [`driver`] carries actions out and feeds events.
//!
//! How a step is looked up (`docs/ARCHITECTURE.md` has the reasons):
//!
//! 1. Every vertex gets a *key*: its operation and the keys of its inputs. Where it only reads
//!    chosen files of an input, the content of those files stands for the input; content of a local
//!    directory is there from the start.
//! 2. A record under that key ends it: nothing that the vertex depends on is run or fetched.
//! 3. A vertex without record is run only if its result is wanted. Then its inputs are made first,
//!    the content of files it reads from them is known, and a second look may find a record under
//!    the *content key*.
//! 4. A result is recorded under the content key, and under the first key as an alias, so that the
//!    next build finds it in step 2.

pub(crate) mod driver;
pub(crate) mod key;
pub(crate) mod machine;
#[cfg(test)]
mod oracle;
