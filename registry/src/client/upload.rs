// SPDX-License-Identifier: Apache-2.0
//! One blob from a file to a registry: mounted if it can be, else sent, resumed when cut.
//!
//! Order: `POST` opens a session, with `mount` if another repository of the registry is known to
//! have the blob; `PUT` sends it whole. After a cut the registry is asked how far it got (end-13),
//! the rest goes as one `PATCH`, and an empty `PUT` closes. A registry that lost the session gets
//! a new one.
//!
//! Spec: distribution-spec §Pushing blobs (end-4a, end-5, end-6, end-11, end-13).

use http::Method;
use http::header::{CONTENT_RANGE, CONTENT_TYPE, LOCATION, RANGE};
use oci::{Digest, Repository};
use reqwest::Response;
use url::Url;

use super::Client;
use super::body::FileBody;
use super::challenge::Scope;
use super::error::{CallError, TransportError};
use super::progress::{Outcome, Progress, TransferEvent, in_one_line};
use super::push::PushError;
use super::transport::{Call, CallBody, Endpoint, refusal};
use crate::endpoint::{Name, Resource};
use crate::error::ErrorCode;

/// How many cuts in a row, without a byte acknowledged between them, end an upload.
const FAILURES_MAX: u32 = 5;

/// What is to be sent, and whereto.
#[derive(Debug)]
pub(super) struct Upload<'a> {
    pub(super) endpoint: &'a Endpoint,
    pub(super) repository: &'a Repository,
    pub(super) digest: &'a Digest,
    pub(super) size_bytes: u64,
    pub(super) path: std::path::PathBuf,
    pub(super) progress: &'a Progress,
}

/// What a POST led to.
pub(super) enum Opened {
    /// The registry took the blob over from another repository.
    Mounted,
    /// The blob is to be sent here.
    Session(Url),
}

impl Client {
    /// Opens an upload, or has the blob mounted from `source`, a repository of the same registry.
    pub(super) async fn open_upload(
        &self,
        endpoint: &Endpoint,
        repository: &Repository,
        mount: Option<(&Digest, &Repository)>,
    ) -> Result<Opened, CallError> {
        let mut scopes = vec![Scope::push(repository)];
        let mut url = endpoint.url(&Resource::Uploads(Name::of(repository)).path());
        if let Some((digest, source)) = mount {
            scopes.push(Scope::pull(source));
            url.query_pairs_mut()
                .append_pair("mount", &digest.to_string())
                .append_pair("from", source.path());
        }
        let call = Call::new(Method::POST, url, &scopes);
        let wanted: &[u16] = if mount.is_some() { &[201, 202] } else { &[202] };
        let response = self.transport.expect(endpoint, &call, wanted).await?;
        if response.status() == 201 {
            return Ok(Opened::Mounted);
        }
        let location = location(endpoint, &response, &call.url)?;
        Ok(Opened::Session(location.ok_or_else(|| {
            CallError::protocol(endpoint.host(), "an upload without Location")
        })?))
    }

    /// Sends the whole blob into a session, or as many as it takes.
    pub(super) async fn send_blob(
        &self,
        upload: &Upload<'_>,
        session: Url,
    ) -> Result<Outcome, PushError> {
        let mut session = session;
        let mut sent_bytes = 0;
        let mut failures = 0;
        loop {
            let error = match self.send_rest(upload, &session, sent_bytes).await {
                Ok(()) => return Ok(Outcome::Transferred),
                Err(error) => error,
            };
            let source = match error {
                CallError::Transport(source) if source.is_transient() => source,
                error if is_lost_session(&error) && failures < FAILURES_MAX => {
                    failures += 1;
                    (session, sent_bytes) = (self.reopen(upload).await?, 0);
                    continue;
                }
                error => return Err(blob_error(upload, error)),
            };
            failures += 1;
            if failures > FAILURES_MAX {
                return Err(PushError::Interrupted {
                    digest: upload.digest.clone(),
                    sent_bytes,
                    size_bytes: upload.size_bytes,
                    source,
                });
            }
            upload.progress.tell(TransferEvent::Retrying {
                digest: upload.digest.clone(),
                host: upload.endpoint.host().into(),
                reason: in_one_line(&source),
            });
            self.transport.pause(failures - 1).await;
            // The cut may have come after the last byte arrived.
            if self.is_complete(upload).await? {
                return Ok(Outcome::Transferred);
            }
            let resumed = self.position(upload, &session).await?;
            let (next, acknowledged) = match resumed {
                Some(resumed) => resumed,
                None => (self.reopen(upload).await?, 0),
            };
            if acknowledged > sent_bytes {
                failures = 1;
            }
            (session, sent_bytes) = (next, acknowledged);
            upload.progress.tell(TransferEvent::Advanced {
                digest: upload.digest.clone(),
                done_bytes: sent_bytes,
            });
        }
    }

    /// Sends the bytes from `offset` on and closes the session.
    async fn send_rest(
        &self,
        upload: &Upload<'_>,
        session: &Url,
        offset: u64,
    ) -> Result<(), CallError> {
        let scopes = [Scope::push(upload.repository)];
        let endpoint = upload.endpoint;
        let file = CallBody::File(FileBody {
            path: upload.path.clone(),
            digest: upload.digest.clone(),
            offset,
            size_bytes: upload.size_bytes,
            progress: upload.progress.clone(),
        });
        let octets = "application/octet-stream";
        let mut closing = session.clone();
        let mut body = file;
        if offset > 0 {
            if offset < upload.size_bytes {
                let range = format!("{offset}-{}", upload.size_bytes - 1);
                let mut call = Call::new(Method::PATCH, session.clone(), &scopes)
                    .header(CONTENT_TYPE, octets)
                    .header(CONTENT_RANGE, &range);
                call.body = body;
                let response = self.transport.expect(endpoint, &call, &[202]).await?;
                closing = location(endpoint, &response, session)?.unwrap_or(closing);
            }
            body = CallBody::Empty;
        }
        let digest = upload.digest.to_string();
        closing.query_pairs_mut().append_pair("digest", &digest);
        let mut call = Call::new(Method::PUT, closing, &scopes).header(CONTENT_TYPE, octets);
        call.body = body;
        self.transport.expect(endpoint, &call, &[201, 204]).await?;
        Ok(())
    }

    async fn reopen(&self, upload: &Upload<'_>) -> Result<Url, PushError> {
        let opened = self.open_upload(upload.endpoint, upload.repository, None);
        match opened.await.map_err(|error| blob_error(upload, error))? {
            Opened::Session(session) => Ok(session),
            Opened::Mounted => unreachable!("201 is accepted only when a mount was asked for"),
        }
    }

    async fn is_complete(&self, upload: &Upload<'_>) -> Result<bool, PushError> {
        let scopes = [Scope::push(upload.repository)];
        let (repository, digest) = (upload.repository, upload.digest);
        let found = self.stat_at(upload.endpoint, repository, digest, &scopes);
        let found = found.await.map_err(|error| blob_error(upload, error))?;
        Ok(found == Some(upload.size_bytes))
    }

    /// Asks how many bytes of a session the registry has; none if it knows nothing of it.
    async fn position(
        &self,
        upload: &Upload<'_>,
        session: &Url,
    ) -> Result<Option<(Url, u64)>, PushError> {
        let scopes = [Scope::push(upload.repository)];
        let call = Call::new(Method::GET, session.clone(), &scopes);
        let response = self.transport.send(upload.endpoint, &call).await;
        let response = response.map_err(|error| blob_error(upload, error))?;
        if response.status() != 204 {
            return match refusal(upload.endpoint, response).await {
                error @ CallError::Api(_) if !error.is_denied() => Ok(None),
                error => Err(blob_error(upload, error)),
            };
        }
        let range = response.headers().get(RANGE);
        let acknowledged = range.and_then(|value| acknowledged(value.to_str().ok()?));
        let next = location(upload.endpoint, &response, session);
        let next = next.map_err(|error| blob_error(upload, error))?;
        let fits = |bytes: &u64| *bytes <= upload.size_bytes;
        Ok(acknowledged
            .filter(fits)
            .map(|bytes| (next.unwrap_or_else(|| session.clone()), bytes)))
    }
}

/// Returns how many bytes `Range: 0-LAST` stands for. `0-0` is what docker's registry says at the
/// start as well as after one byte: nothing is lost by sending that byte again, in a new session.
fn acknowledged(range: &str) -> Option<u64> {
    let last = range.strip_prefix("bytes=").unwrap_or(range);
    let last: u64 = last.strip_prefix("0-")?.parse().ok()?;
    (last > 0).then(|| last.saturating_add(1))
}

/// Returns the upload location of an answer, relative ones against the request. The same host by
/// plain HTTP means the same as by HTTPS: proxies in front of registries get it wrong.
fn location(
    endpoint: &Endpoint,
    response: &Response,
    current: &Url,
) -> Result<Option<Url>, CallError> {
    let Some(value) = response.headers().get(LOCATION) else {
        return Ok(None);
    };
    let bad = || CallError::protocol(endpoint.host(), "a malformed Location");
    let mut next = current
        .join(value.to_str().map_err(|_| bad())?)
        .map_err(|_| bad())?;
    let base = endpoint.base();
    let same_host = next.host() == base.host() && next.port().is_none() && base.port().is_none();
    if same_host && base.scheme() == "https" && next.scheme() == "http" {
        next.set_scheme("https").map_err(|()| bad())?;
    }
    Ok(Some(next))
}

fn is_lost_session(error: &CallError) -> bool {
    let Some(error) = error.api() else {
        return false;
    };
    error.has_code(ErrorCode::BlobUploadUnknown)
        || error.has_code(ErrorCode::BlobUploadInvalid)
        || matches!(error.status, 404 | 416)
}

/// Says what an error means for the blob.
pub(super) fn blob_error(upload: &Upload<'_>, error: CallError) -> PushError {
    let rejected = |error: &CallError| {
        let api = error.api();
        api.is_some_and(|api| api.has_code(ErrorCode::DigestInvalid))
    };
    match error {
        error if rejected(&error) => {
            PushError::DigestRejected(upload.endpoint.host().into(), upload.digest.clone())
        }
        CallError::Transport(source @ TransportError::Read { .. }) => PushError::Blob {
            digest: upload.digest.clone(),
            source: Box::new(source.into()),
        },
        error if error.is_denied() => PushError::denied(upload.repository, error),
        error => PushError::Blob {
            digest: upload.digest.clone(),
            source: Box::new(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledged_bytes() {
        for (range, expected) in [
            ("0-99", Some(100)),
            ("bytes=0-99", Some(100)),
            ("0-0", None),
            ("0--1", None),
            ("5-9", None),
            ("0-18446744073709551615", Some(u64::MAX)),
            ("", None),
        ] {
            assert_eq!(acknowledged(range), expected, "{range}");
        }
    }
}
