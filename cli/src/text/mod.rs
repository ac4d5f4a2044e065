// SPDX-License-Identifier: Apache-2.0
//! Values as people read them: sizes, times, tables, and docker's `--format` templates.

mod amount;
mod table;
mod template;

pub(crate) use amount::{age, rfc3339, size};
pub(crate) use table::{spaced, table};
pub(crate) use template::Template;
