// SPDX-License-Identifier: Apache-2.0
//! Lists: the tags of a repository (end-8), and the repositories.

use http::header;
use serde::Serialize;

use super::answer::{Answer, ApiError, set, whole};
use super::query::escape;
use super::route::{App, Call};
use crate::endpoint::{Name, Resource};
use crate::error::ErrorCode;
use crate::storage::meta::LIST_MAX;
use crate::storage::tag::Page;

/// The longest page; larger wishes get it too. Docs: distribution's default.
const PAGE_MAX: usize = LIST_MAX - 1;
/// A page of repositories without `n`. Docs: distribution's default.
const CATALOG_PAGE: usize = 100;

#[derive(Serialize)]
struct Tags<'a> {
    name: &'a str,
    tags: &'a [String],
}

#[derive(Serialize)]
struct Repositories<'a> {
    repositories: &'a [String],
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
    let path = Resource::Tags(name.clone()).path();
    Ok(answer(&body, &page, &path))
}

/// Answers the catalog.
pub(super) async fn catalog(app: &App, call: &Call) -> Result<Answer, ApiError> {
    let limit = call.query.page_length()?.unwrap_or(CATALOG_PAGE);
    let last = call.query.get("last").unwrap_or_default();
    let page = app.store.repositories(last, limit.min(PAGE_MAX)).await?;
    let body = Repositories {
        repositories: &page.names,
    };
    Ok(answer(&body, &page, &Resource::Catalog.path()))
}

fn answer(body: &impl Serialize, page: &Page, path: &str) -> Answer {
    let bytes = serde_json::to_vec(body).expect("names are strings");
    let mut answer = whole("application/json", bytes);
    // Spec: distribution-spec §Listing Tags: `n=0` has no next page.
    if let Some(last) = page.names.last().filter(|_| page.more) {
        let query = format!("n={}&last={}", page.names.len(), escape(last));
        let link = format!("<{path}?{query}>; rel=\"next\"");
        set(answer.headers_mut(), header::LINK, &link);
    }
    answer
}
