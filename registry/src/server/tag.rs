// SPDX-License-Identifier: Apache-2.0
//! The tags of a repository (end-8).

use http::header;
use serde::Serialize;

use super::answer::{Answer, ApiError, set, whole};
use super::query::escape;
use super::route::{App, Call};
use crate::endpoint::{Name, Resource};
use crate::error::ErrorCode;
use crate::storage::meta::LIST_MAX;

/// The longest page; larger wishes get it too. Docs: distribution's default.
pub(super) const PAGE_MAX: usize = LIST_MAX - 1;

#[derive(Serialize)]
struct Tags<'a> {
    name: &'a str,
    tags: &'a [String],
}

/// Answers end-8a and end-8b.
pub(super) async fn list(app: &App, name: &Name, call: &Call) -> Result<Answer, ApiError> {
    let limit = call.query.page_length()?.unwrap_or(PAGE_MAX);
    let last = call.query.get("last").unwrap_or_default();
    let page = app.store.tags(name, last, limit.min(PAGE_MAX)).await?;
    let unknown = || ApiError::new(ErrorCode::NameUnknown, "there is no such repository");
    let page = page.ok_or_else(unknown)?;
    let body = Tags {
        name: name.as_str(),
        tags: &page.names,
    };
    let bytes = serde_json::to_vec(&body).expect("names are strings");
    let mut answer = whole("application/json", bytes);
    // Spec: distribution-spec §Listing Tags: `n=0` has no next page.
    if let Some(last) = page.names.last().filter(|_| page.more) {
        let path = Resource::Tags(name.clone()).path();
        link(&mut answer, &path, page.names.len(), last);
    }
    Ok(answer)
}

/// Says where the next page of a list is.
pub(super) fn link(answer: &mut Answer, path: &str, length: usize, last: &str) {
    let query = format!("n={length}&last={}", escape(last));
    let link = format!("<{path}?{query}>; rel=\"next\"");
    set(answer.headers_mut(), header::LINK, &link);
}
