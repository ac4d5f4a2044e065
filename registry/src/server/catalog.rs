// SPDX-License-Identifier: Apache-2.0
//! The list of repositories: those that the caller may pull from.
//!
//! Only what lies under the caller's horizon is listed, page by page, and only so much for one
//! request; a page may therefore be shorter than asked for although there is a next one. Whoever
//! may see nothing gets a list without a next page.
//!
//! Docs: distribution's catalog API.

use serde::Serialize;

use super::answer::{Answer, ApiError, whole};
use super::route::{App, Call};
use super::tag::{PAGE_MAX, link};
use crate::endpoint::Resource;
use crate::storage::StorageError;

/// A page without `n`. Docs: distribution's default.
const PAGE: usize = 100;
/// How often the storage is asked for one page.
const LISTS_MAX: usize = 16;
/// How many names are got at once at least, if some of them may not be shown.
const LIST_MIN: usize = 200;

#[derive(Serialize)]
struct Repositories<'a> {
    repositories: &'a [String],
}

/// What was found, and where to go on.
struct Found {
    names: Vec<String>,
    next: Option<String>,
}

/// Answers the catalog.
pub(super) async fn list(app: &App, call: &Call) -> Result<Answer, ApiError> {
    let limit = call.query.page_length()?.unwrap_or(PAGE).min(PAGE_MAX);
    let last = app.cursor.open(call.query.get("last").unwrap_or_default());
    let found = find(app, call, &last, limit).await?;
    let body = Repositories {
        repositories: &found.names,
    };
    let bytes = serde_json::to_vec(&body).expect("names are strings");
    let mut answer = whole("application/json", bytes);
    if let Some(next) = found.next {
        link(&mut answer, &Resource::Catalog.path(), limit, &next);
    }
    Ok(answer)
}

async fn find(app: &App, call: &Call, last: &str, limit: usize) -> Result<Found, StorageError> {
    let mut found = Found {
        names: Vec::new(),
        next: None,
    };
    // Spec: distribution-spec §Listing Tags: `n=0` has no next page.
    if limit == 0 {
        return Ok(found);
    }
    let rights = &call.caller.rights;
    let mut lists = 0;
    for prefix in rights.horizon() {
        let mut after = before(&prefix);
        if *last > *after {
            last.clone_into(&mut after);
        }
        let is_past = |name: &str| name > prefix.as_str() && !name.starts_with(&prefix);
        while !is_past(&after) {
            if lists == LISTS_MAX {
                found.next = Some(app.cursor.seal(&after));
                return Ok(found);
            }
            lists += 1;
            let wanted = limit + 1 - found.names.len();
            let page = app
                .store
                .repositories(&after, wanted.clamp(LIST_MIN, PAGE_MAX))
                .await?;
            for name in page.names {
                if is_past(&name) {
                    after = name;
                    break;
                }
                let visible = name.parse().is_ok_and(|name| rights.sees(&name));
                if visible && found.names.len() == limit {
                    found.next = found.names.last().cloned();
                    return Ok(found);
                }
                after.clone_from(&name);
                found.names.extend(visible.then_some(name));
            }
            if !page.more {
                break;
            }
        }
    }
    Ok(found)
}

/// Returns a text that comes after every name before `prefix`, and before all that begin with it.
fn before(prefix: &str) -> String {
    // Names hold ASCII below `~` only, so that one sorts after whatever may follow.
    let Some((last, head)) = prefix.as_bytes().split_last() else {
        return String::new();
    };
    let head = head.iter().copied().chain([last.saturating_sub(1), b'~']);
    head.map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_a_prefix_begins() {
        let names = [
            "a", "team", "team-x", "team.y/z", "team/a", "team/app", "team0", "teb", "z9z",
        ];
        for prefix in ["", "a", "team", "team/", "team/a", "team/app", "teb", "zz"] {
            let start = before(prefix);
            for name in names {
                let inside = name.starts_with(prefix);
                assert!(!inside || *name > *start, "{name} under {prefix}");
                assert!(
                    inside || *name > *prefix || *name <= *start,
                    "{name} before {prefix}"
                );
            }
        }
    }
}
