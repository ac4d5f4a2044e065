// SPDX-License-Identifier: Apache-2.0
//! Manifests by tag and by digest (end-3, end-7, end-9).

use axum::body::Body;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode};
use oci::{Algorithm, Digest, Document, MediaType, Tag};

use super::answer::{Answer, ApiError, CONTENT_DIGEST, SUBJECT, TAG, created, empty, set};
use super::blob::IMMUTABLE;
use super::body::{RequestBody, too_large};
use super::condition;
use super::route::{App, Call};
use crate::endpoint::{ManifestRef, Name, Resource};
use crate::error::ErrorCode;
use crate::storage::manifest::{digest_of, subject};
use crate::storage::{Condition, ManifestPut, Untagged};

/// Answers end-3.
pub(super) async fn get(
    app: &App,
    name: &Name,
    reference: &ManifestRef,
    call: &Call,
) -> Result<Answer, ApiError> {
    let (digest, caching) = match reference {
        ManifestRef::Digest(digest) => (digest.clone(), IMMUTABLE),
        ManifestRef::Tag(tag) => {
            let stored = app.store.tag(name, tag).await?;
            (stored.ok_or_else(unknown)?.digest, "no-cache")
        }
    };
    let stored = app.store.manifest(name, &digest).await?;
    let stored = stored.ok_or_else(unknown)?;
    let is_known = condition::lists(&call.headers, &header::IF_NONE_MATCH, &digest);
    let mut answer = if is_known {
        empty(StatusCode::NOT_MODIFIED)
    } else {
        let length = HeaderValue::from(stored.bytes.len());
        let mut answer = Response::new(match call.method {
            Method::HEAD => Body::empty(),
            _ => Body::from(stored.bytes),
        });
        let headers = answer.headers_mut();
        headers.insert(header::CONTENT_LENGTH, length);
        set(headers, header::CONTENT_TYPE, &stored.header.media_type);
        answer
    };
    let headers = answer.headers_mut();
    set(headers, CONTENT_DIGEST, &digest.to_string());
    set(headers, header::ETAG, &condition::entity_tag(&digest));
    set(headers, header::CACHE_CONTROL, caching);
    Ok(answer)
}

/// Answers end-7.
pub(super) async fn put(
    app: &App,
    (name, reference): (&Name, &ManifestRef),
    call: &Call,
    body: &mut RequestBody,
) -> Result<Answer, ApiError> {
    let asked = asked_tags(call, app.config.limits.tags_max)?;
    let bytes = received(app, call, body).await?;
    let (digest, tags) = match reference {
        ManifestRef::Tag(tag) => {
            let mut tags = vec![tag.clone()];
            tags.extend(asked.iter().filter(|other| *other != tag).cloned());
            (digest_of(Algorithm::Sha256, &bytes), tags)
        }
        ManifestRef::Digest(digest) => {
            verify(digest, &bytes)?;
            (digest.clone(), asked.clone())
        }
    };
    let references_max = app.config.limits.references_max;
    let (document, media_type) = parse(bytes, &call.headers, references_max)?;
    let tag_condition = tag_condition(app, (name, &digest), tags.first(), call).await?;
    let put = ManifestPut {
        name,
        digest,
        document,
        media_type,
        tags,
        tag_condition,
    };
    let sparse = app.store.put_manifest(&put).await?;
    let resource = Resource::Manifest(name.clone(), ManifestRef::Digest(put.digest.clone()));
    let mut answer = created(&resource.path(), &put.digest);
    let headers = answer.headers_mut();
    if let Some(subject) = subject(&put.document) {
        set(headers, SUBJECT, &subject.digest.to_string());
    }
    for tag in &asked {
        if let Ok(value) = HeaderValue::from_str(tag.as_str()) {
            headers.append(TAG, value);
        }
    }
    if sparse > 0 {
        // Spec: distribution-spec §Warnings.
        let text = format!("299 - \"{sparse} of the references are not in this repository\"");
        set(headers, header::WARNING, &text);
    }
    Ok(answer)
}

/// Answers end-9.
///
/// Spec: RFC 9110 §13.2.1: what is not there is that, whatever the conditions are.
pub(super) async fn delete(
    app: &App,
    name: &Name,
    reference: &ManifestRef,
    call: &Call,
) -> Result<Answer, ApiError> {
    let may = |digest: &Digest| condition::allows(&call.headers, Some(digest));
    let deleted = match reference {
        ManifestRef::Tag(tag) => app.store.delete_tag_if(name, tag, may).await?,
        // What has a digest only ever comes or goes: no moment lies between look and removal.
        ManifestRef::Digest(digest) if !may(digest) => {
            let stored = app.store.manifest(name, digest).await?;
            stored.map_or(Untagged::Absent, |_| Untagged::Kept)
        }
        ManifestRef::Digest(digest) if app.store.delete_manifest(name, digest).await? => {
            Untagged::Yes
        }
        ManifestRef::Digest(_) => Untagged::Absent,
    };
    match deleted {
        Untagged::Yes => Ok(empty(StatusCode::ACCEPTED)),
        Untagged::Absent => Err(unknown()),
        Untagged::Kept => Err(condition::failed()),
    }
}

/// Returns the tags in the query.
fn asked_tags(call: &Call, tags_max: usize) -> Result<Vec<Tag>, ApiError> {
    let mut tags = Vec::new();
    for text in call.query.all("tag") {
        let tag = text.parse::<Tag>();
        let tag = tag.map_err(|error| ApiError::new(ErrorCode::TagInvalid, error.to_string()))?;
        if !tags.contains(&tag) {
            tags.push(tag);
        }
        if tags.len() > tags_max {
            let message = format!("more than {tags_max} tags in one request");
            let error = ApiError::new(ErrorCode::TagInvalid, message);
            return Err(error.with_status(StatusCode::URI_TOO_LONG));
        }
    }
    Ok(tags)
}

async fn received(app: &App, call: &Call, body: &mut RequestBody) -> Result<Vec<u8>, ApiError> {
    let limit = app.config.limits.manifest_max_bytes;
    let length = call.headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > limit) {
        return Err(too_large(limit));
    }
    body.whole(limit).await
}

fn verify(digest: &Digest, bytes: &[u8]) -> Result<(), ApiError> {
    let actual = digest_of(digest.algorithm(), bytes);
    if actual == *digest {
        return Ok(());
    }
    let message = format!("the manifest has digest {actual}, not {digest}");
    Err(ApiError::new(ErrorCode::DigestInvalid, message))
}

/// Returns the document and the media type under which it will be served.
pub(super) fn parse(
    bytes: Vec<u8>,
    headers: &HeaderMap,
    references_max: usize,
) -> Result<(Document, String), ApiError> {
    let invalid = |message: String| ApiError::new(ErrorCode::ManifestInvalid, message);
    let told = headers.get(header::CONTENT_TYPE);
    let told = told.and_then(|value| value.to_str().ok());
    // Parameters, such as a charset, say nothing about JSON.
    let told = told.map(|text| text.split(';').next().unwrap_or(text).trim());
    let told = told.filter(|text| !text.is_empty()).map(MediaType::parse);
    let document =
        Document::parse(bytes, told.as_ref()).map_err(|error| invalid(with_causes(&error)))?;
    let (own, references) = match &document {
        Document::Manifest(manifest, _) => (&manifest.media_type, manifest.layers.len() + 1),
        Document::Index(index, _) => (&index.media_type, index.manifests.len()),
    };
    if references > references_max {
        let message = format!("manifest has {references} references, at most {references_max}");
        return Err(invalid(message));
    }
    let is_document = |media_type: &&MediaType| media_type.is_manifest() || media_type.is_index();
    let media_type = match (own, told.as_ref()) {
        (Some(own), Some(told)) if own != told => {
            return Err(invalid(format!(
                "Content-Type says {told}, the manifest says {own}"
            )));
        }
        (Some(own), _) => own.to_string(),
        (None, told) => told
            .filter(is_document)
            .map_or_else(|| document.media_type().to_string(), ToString::to_string),
    };
    Ok((document, media_type))
}

/// Returns the message with those of its causes: the client has only this text.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// Returns when the tag may move: always, unless the client saw something it insists on.
///
/// A put by digest without tags is about the manifest itself, which only ever comes or goes.
async fn tag_condition(
    app: &App,
    (name, digest): (&Name, &Digest),
    tag: Option<&Tag>,
    call: &Call,
) -> Result<Condition, ApiError> {
    let has = |header: &HeaderName| call.headers.contains_key(header);
    if !has(&header::IF_MATCH) && !has(&header::IF_NONE_MATCH) {
        return Ok(Condition::Any);
    }
    let (current, condition) = if let Some(tag) = tag {
        let stored = app.store.tag(name, tag).await?;
        let digest = stored.as_ref().map(|stored| stored.digest.clone());
        let version = stored.map(|stored| stored.version);
        (digest, Condition::unchanged(version))
    } else {
        let stored = app.store.manifest(name, digest).await?;
        (stored.map(|_| digest.clone()), Condition::Any)
    };
    if condition::allows(&call.headers, current.as_ref()) {
        return Ok(condition);
    }
    Err(condition::failed())
}

fn unknown() -> ApiError {
    let message = "the repository does not have this manifest";
    ApiError::new(ErrorCode::ManifestUnknown, message)
}
