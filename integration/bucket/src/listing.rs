// SPDX-License-Identifier: Apache-2.0
//! One page of the keys of a bucket.

use std::collections::BTreeMap;
use std::ops::Bound;

/// The most keys and prefixes in a page.
///
/// Docs: S3 API reference, `ListObjectsV2`.
pub(crate) const PAGE_KEYS_MAX: usize = 1000;

/// Which keys to list.
#[derive(Debug)]
pub(crate) struct Query<'a> {
    pub(crate) prefix: &'a str,
    pub(crate) delimiter: Option<&'a str>,
    /// Only what sorts after this key or common prefix.
    pub(crate) after: Option<&'a str>,
    pub(crate) max: usize,
}

/// What a page holds.
#[derive(Debug)]
pub(crate) struct Page<'a, V> {
    pub(crate) entries: Vec<(&'a str, &'a V)>,
    /// Prefixes up to the delimiter, each once, in place of the keys below it.
    pub(crate) prefixes: Vec<String>,
    /// What the next page is after, if there is one.
    pub(crate) next: Option<String>,
}

/// Lists a page of `keys` in byte order.
pub(crate) fn page<'a, V>(keys: &'a BTreeMap<String, V>, query: &Query<'_>) -> Page<'a, V> {
    let mut page = Page {
        entries: Vec::new(),
        prefixes: Vec::new(),
        next: None,
    };
    let mut last: Option<String> = None;
    let mut from = start(query);
    while let Some((key, value)) = keys
        .range::<str, _>((bound(&from), Bound::Unbounded))
        .next()
    {
        if !key.starts_with(query.prefix) {
            break;
        }
        if page.entries.len() + page.prefixes.len() == query.max {
            page.next = last;
            break;
        }
        if let Some(common) = common_prefix(key, query) {
            from = Bound::Included(successor(common));
            page.prefixes.push(common.to_owned());
            last = Some(common.to_owned());
        } else {
            from = Bound::Excluded(key.clone());
            page.entries.push((key, value));
            last = Some(key.clone());
        }
    }
    page
}

/// Where the first key of the page may be.
fn start(query: &Query<'_>) -> Bound<String> {
    match query.after {
        Some(after) if after >= query.prefix => match common_prefix(after, query) {
            // A page that ended with a common prefix goes on after all keys below it.
            Some(common) if common == after => Bound::Included(successor(common)),
            _ => Bound::Excluded(after.to_owned()),
        },
        _ => Bound::Included(query.prefix.to_owned()),
    }
}

fn bound(bound: &Bound<String>) -> Bound<&str> {
    bound.as_ref().map(String::as_str)
}

/// The part of `key` up to the first delimiter after the prefix, with it.
fn common_prefix<'k>(key: &'k str, query: &Query<'_>) -> Option<&'k str> {
    let delimiter = query.delimiter.filter(|delimiter| !delimiter.is_empty())?;
    let rest = key.strip_prefix(query.prefix)?;
    let at = rest.find(delimiter)?;
    Some(&key[..query.prefix.len() + at + delimiter.len()])
}

/// The least text that sorts after everything that begins with `prefix`.
fn successor(prefix: &str) -> String {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        // `step_by` on a range of characters leaps over the surrogates.
        if let Some(next) = (last..=char::MAX).nth(1) {
            text.push(next);
            return text;
        }
    }
    // Only for a prefix of nothing but the last character there is: nothing sorts after it.
    format!("{prefix}{}", char::MAX)
}
