// SPDX-License-Identifier: Apache-2.0
//! What refers to a manifest (end-12).

use http::header;
use oci::{Digest, Index};

use super::answer::{Answer, ApiError, FILTERS_APPLIED, set, whole};
use super::query::escape;
use super::route::{App, Call};
use crate::endpoint::{Name, Resource};

/// Answers end-12a and end-12b: never 404, a manifest without referrers has an empty list.
pub(super) async fn list(
    app: &App,
    name: &Name,
    digest: &Digest,
    call: &Call,
) -> Result<Answer, ApiError> {
    let start = call.query.get("start").unwrap_or_default();
    let page = app.store.referrers(name, digest, start).await?;
    // A raw `+` decodes to a blank, which no media type holds.
    let filter = call.query.get("artifactType");
    let filter = filter.map(|text| text.replace(' ', "+"));
    let filter = filter.filter(|text| !text.is_empty());
    let mut descriptors = page.descriptors;
    if let Some(wanted) = &filter {
        descriptors.retain(|one| one.artifact_type.as_ref() == Some(wanted));
    }
    let index = Index::new(descriptors);
    let content_type = oci::MediaType::OciIndex;
    let mut answer = whole(content_type.as_str(), index.to_bytes());
    let headers = answer.headers_mut();
    if filter.is_some() {
        set(headers, FILTERS_APPLIED, "artifactType");
    }
    if let Some(next) = page.next {
        let path = Resource::Referrers(name.clone(), digest.clone()).path();
        let mut query = format!("start={}", escape(&next));
        if let Some(wanted) = &filter {
            query = format!("artifactType={}&{query}", escape(wanted));
        }
        let link = format!("<{path}?{query}>; rel=\"next\"");
        set(headers, header::LINK, &link);
    }
    Ok(answer)
}
