// SPDX-License-Identifier: Apache-2.0
//! Lists that come in pages: tags of a repository, repositories of a registry.
//!
//! Spec: distribution-spec §Listing Tags (end-8). Docs: distribution's catalog API.

use http::Method;
use http::header::{HeaderMap, LINK};
use oci::Repository;
use serde::Deserialize;
use url::Url;

use super::Client;
use super::challenge::Scope;
use super::error::CallError;
use super::transport::{Call, Endpoint, read_body};
use crate::endpoint::{Name, Resource};

/// The largest page that is read, in bytes.
const PAGE_MAX_BYTES: usize = 16 << 20;
/// The most pages that are followed.
const PAGES_MAX: usize = 10_000;

#[derive(Deserialize)]
struct TagPage {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct CatalogPage {
    #[serde(default)]
    repositories: Option<Vec<String>>,
}

impl Client {
    /// Returns all tags of a repository, as the registry sorts them.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    ///
    /// # Cancellation
    ///
    /// Nothing stays behind.
    pub async fn tags(&self, repository: &Repository) -> Result<Vec<String>, CallError> {
        let path = Resource::Tags(Name::of(repository)).path();
        let scopes = [Scope::pull(repository)];
        let endpoint = self.transport.endpoint(repository.host()).await?;
        let pages: Vec<TagPage> = self.pages(&endpoint, &path, &scopes).await?;
        let tags = pages.into_iter().filter_map(|page| page.tags);
        Ok(tags.flatten().collect())
    }

    /// Returns the paths of all repositories of the registry `host`. Public registries refuse.
    ///
    /// # Errors
    ///
    /// See [`CallError`].
    ///
    /// # Cancellation
    ///
    /// Nothing stays behind.
    pub async fn catalog(&self, host: &str) -> Result<Vec<String>, CallError> {
        let scopes = [Scope::catalog()];
        let endpoint = self.transport.endpoint(host).await?;
        let path = Resource::Catalog.path();
        let pages: Vec<CatalogPage> = self.pages(&endpoint, &path, &scopes).await?;
        let repositories = pages.into_iter().filter_map(|page| page.repositories);
        Ok(repositories.flatten().collect())
    }

    /// Reads the page at `path` and all that follow it.
    pub(super) async fn pages<T: for<'de> Deserialize<'de>>(
        &self,
        endpoint: &Endpoint,
        path: &str,
        scopes: &[Scope],
    ) -> Result<Vec<T>, CallError> {
        let mut pages = Vec::new();
        let mut next = Some(endpoint.url(path));
        while let Some(url) = next {
            if pages.len() == PAGES_MAX {
                return Err(CallError::protocol(endpoint.host(), "a list without end"));
            }
            let call = Call::new(Method::GET, url.clone(), scopes);
            let response = self.transport.expect(endpoint, &call, &[200]).await?;
            next = next_page(response.headers(), &url);
            let body = read_body(response, PAGE_MAX_BYTES, endpoint.host()).await?;
            let page = serde_json::from_slice(&body);
            let bad = |_| CallError::protocol(endpoint.host(), "a list that is no valid JSON");
            pages.push(page.map_err(bad)?);
        }
        Ok(pages)
    }
}

/// Returns where the next page is. Never another host: the link comes from an answer.
pub(super) fn next_page(headers: &HeaderMap, current: &Url) -> Option<Url> {
    let link = headers.get(LINK)?.to_str().ok()?;
    let (target, parameters) = link.strip_prefix('<')?.split_once('>')?;
    if !parameters.contains("next") {
        return None;
    }
    let next = current.join(target).ok()?;
    (next.origin() == current.origin() && next != *current).then_some(next)
}
