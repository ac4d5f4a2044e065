// SPDX-License-Identifier: Apache-2.0
//! Rules that naive builders get wrong, by number: what lowering makes of a few lines.
//!
//! `Observed:` BuildKit 73ed6825, for every expected value; `tests/llb` compares whole graphs.

mod arguments;
mod config;
mod files;
mod lowered;
mod steps;
#[path = "../support/mod.rs"]
mod support;
