// SPDX-License-Identifier: Apache-2.0
//! The rules and the outline against BuildKit: `NAME.cases` hold what it answered to the same files.
//!
//! The answers were recorded from a running BuildKit 73ed6825 (`buildctl build --opt
//! requestid=frontend.lint` and its like), with the images of [`case::Shelf`] in its registry.
//! `case` reads the files, `rules` and `outline` compare, `pages` tries the examples of
//! `docs/rules/`.

mod case;
mod outline;
mod pages;
mod rules;
