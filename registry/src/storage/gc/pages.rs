// SPDX-License-Identifier: Apache-2.0
//! A listing of any length, line by line.

use std::collections::VecDeque;

use crate::storage::error::StorageError;
use crate::storage::meta::{LIST_MAX, Listed, Meta};

/// All records below a prefix, in order; one page is in memory at a time.
///
/// What is written behind the place where the listing stands is not seen.
pub(in crate::storage) struct Pages<'a> {
    meta: &'a dyn Meta,
    prefix: String,
    after: String,
    lines: VecDeque<Listed>,
    is_last: bool,
}

impl<'a> Pages<'a> {
    pub(in crate::storage) fn new(meta: &'a dyn Meta, prefix: impl Into<String>) -> Self {
        Self {
            meta,
            prefix: prefix.into(),
            after: String::new(),
            lines: VecDeque::new(),
            is_last: false,
        }
    }

    /// Returns the listing from the key behind `after` on.
    pub(in crate::storage) fn from(mut self, after: impl Into<String>) -> Self {
        self.after = after.into();
        self
    }

    /// Returns the next line without moving on.
    pub(in crate::storage) async fn peek(&mut self) -> Result<Option<&Listed>, StorageError> {
        if self.lines.is_empty() && !self.is_last {
            let page = self.meta.list(&self.prefix, &self.after, LIST_MAX).await?;
            self.is_last = page.len() < LIST_MAX;
            if let Some(last) = page.last() {
                self.after.clone_from(&last.key);
            }
            self.lines = page.into();
        }
        Ok(self.lines.front())
    }

    /// Returns the next line and moves on.
    pub(in crate::storage) async fn next(&mut self) -> Result<Option<Listed>, StorageError> {
        self.peek().await?;
        Ok(self.lines.pop_front())
    }
}
