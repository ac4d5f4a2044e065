// SPDX-License-Identifier: Apache-2.0
//! Uploads of blobs: at once, in chunks, as a stream, by mount (end-4, end-5, end-6, end-11, end-13,
//! end-14).

use std::future::pending;

use bytes::Bytes;
use http::StatusCode;
use http::header;
use oci::{Algorithm, Digest};

use super::access::Principal;
use super::answer::{Answer, ApiError, UPLOAD_UUID, created, empty, set};
use super::body::{End, RequestBody, Sink, Taking};
use super::condition;
use super::route::{App, Call};
use crate::endpoint::{Name, Resource};
use crate::error::ErrorCode;
use crate::storage::data::Stage;
use crate::storage::upload::{Held, Piece, Progress, UploadError};
use crate::storage::{Mounted, SessionId};

/// The parameter of an upload's address that lets its bearer go on. Docs: distribution has one of
/// that name.
pub(super) const PASS: &str = "_state";
/// How many repositories an anonymous mount tries.
const MOUNTS_MAX: usize = 100;

/// Answers end-4a, end-4b and end-11.
pub(super) async fn start(
    app: &App,
    name: &Name,
    call: &Call,
    body: &mut RequestBody,
) -> Result<Answer, ApiError> {
    if let Some(digest) = call.query.digest("mount")?
        && mount(app, name, &digest, call).await?
    {
        return Ok(blob_created(name, &digest));
    }
    if let Some(wanted) = call.query.get("digest-algorithm")
        && Algorithm::from_name(wanted).is_none()
    {
        let message = "digest algorithm is not supported (sha256 and sha512 are)";
        return Err(ApiError::new(ErrorCode::DigestInvalid, message));
    }
    if let Some(digest) = call.query.digest("digest")? {
        put_whole(app, name, &digest, (call, body)).await?;
        return Ok(blob_created(name, &digest));
    }
    let id = app.store.open_session(name, call.caller.principal.as_str());
    let mut answer = empty(StatusCode::ACCEPTED);
    describe(&mut answer, &location(app, name, &id, call), &id, 0);
    Ok(answer)
}

/// Tries to mount; false if the client should upload. That nobody has the blob and that the client
/// may not see who has it look the same.
async fn mount(app: &App, name: &Name, digest: &Digest, call: &Call) -> Result<bool, ApiError> {
    let sources = match call.query.get("from") {
        Some(from) => from.parse().into_iter().collect(),
        None => app.store.repositories_with(digest).await?,
    };
    let mut last = None;
    for from in sources.into_iter().take(MOUNTS_MAX) {
        // A repository has a marker per incarnation; they follow each other.
        if last.as_ref() == Some(&from) {
            continue;
        }
        if call.caller.rights.sees(&from)
            && app.store.mount(name, &from, digest).await? == Mounted::Yes
        {
            return Ok(true);
        }
        last = Some(from);
    }
    Ok(false)
}

/// Takes a blob that comes in one body: nothing outlives the request unless it is complete.
async fn put_whole(
    app: &App,
    name: &Name,
    digest: &Digest,
    (call, body): (&Call, &mut RequestBody),
) -> Result<(), ApiError> {
    let chunk = chunk(call)?;
    let stage = Stage::whole(digest, chunk.length);
    let mut staged = app.store.data.stage(stage).await?;
    match body.copy_to(&mut staged, pending()).await? {
        End::Complete => {}
        End::BrokenOff(error) => return Err(error),
        End::TakenOver => return Err(UploadError::Busy.into()),
    }
    check_length(chunk, staged.offset())?;
    app.store.publish_blob(name, digest, &mut *staged).await?;
    Ok(())
}

/// Answers end-5.
pub(super) async fn append(
    app: &App,
    (name, session): (&Name, &str),
    call: &Call,
    body: &mut RequestBody,
) -> Result<Answer, ApiError> {
    let id = session_of(app, name, session, call)?;
    let offset = receive(app, name, &id, (call, body)).await?;
    let mut answer = empty(StatusCode::ACCEPTED);
    describe(&mut answer, &location(app, name, &id, call), &id, offset);
    Ok(answer)
}

/// Appends the body to the session and makes it durable; returns the new offset.
async fn receive(
    app: &App,
    name: &Name,
    id: &SessionId,
    (call, body): (&Call, &mut RequestBody),
) -> Result<u64, ApiError> {
    let chunk = chunk(call)?;
    let slot = app.store.slot(id);
    let held = app
        .store
        .resume((id, &slot), piece(chunk), Algorithm::Sha256);
    let mut held = held
        .await
        .map_err(|error| refused(error, || location(app, name, id, call)))?;
    let before = held.offset();
    let end = fill(&mut held, body).await?;
    if let End::Complete = end
        && let Err(error) = check_length(chunk, held.offset() - before)
    {
        // The end of it was not recorded: the session goes on from where it was.
        held.close();
        return Err(error);
    }
    let after = held.save().await?;
    match end {
        End::Complete => Ok(after),
        End::BrokenOff(error) => Err(error),
        End::TakenOver => Err(UploadError::Busy.into()),
    }
}

async fn fill(held: &mut Held<'_>, body: &mut RequestBody) -> Result<End, UploadError> {
    let stop = held.stop();
    let end = body.copy_to(held, stop).await;
    if end.is_err() {
        held.close();
    }
    end
}

impl Sink for Held<'_> {
    fn offset(&mut self) -> u64 {
        Held::offset(self)
    }

    fn ready(&mut self) -> Taking<'_, u64> {
        Box::pin(Held::ready(self))
    }

    fn append(&mut self, pieces: Vec<Bytes>) -> Taking<'_, ()> {
        Box::pin(Held::append(self, pieces))
    }

    fn pause(&mut self) -> Taking<'_, ()> {
        Box::pin(Held::pause(self))
    }
}

/// Answers end-6.
pub(super) async fn finish(
    app: &App,
    (name, session): (&Name, &str),
    call: &Call,
    body: &mut RequestBody,
) -> Result<Answer, ApiError> {
    let id = session_of(app, name, session, call)?;
    let Some(digest) = call.query.digest("digest")? else {
        let message = "the closing request needs the digest of the blob";
        return Err(ApiError::new(ErrorCode::DigestInvalid, message));
    };
    match app.store.progress(&id).await? {
        // The answer to the first try was lost.
        Progress::Done(done) if done == digest => body.drain().await,
        // So was the request itself, on its way through; its bytes are all there.
        Progress::Committing(wanted) if wanted == digest => {
            body.drain().await;
            app.store.publish_again(name, &id, &digest).await?;
        }
        Progress::Done(_) | Progress::Committing(_) => return Err(UploadError::Unknown.into()),
        Progress::New if !app.store.is_held(&id) => {
            if chunk(call)?.start.is_some_and(|start| start != 0) {
                let error = UploadError::OutOfOrder { offset_bytes: 0 };
                return Err(refused(error, || location(app, name, &id, call)));
            }
            put_whole(app, name, &digest, (call, body)).await?;
        }
        Progress::New | Progress::Open(_) => close(app, (name, &id), &digest, call, body).await?,
    }
    Ok(blob_created(name, &digest))
}

/// Takes the last piece of a session that has bytes already.
async fn close(
    app: &App,
    (name, id): (&Name, &SessionId),
    digest: &Digest,
    call: &Call,
    body: &mut RequestBody,
) -> Result<(), ApiError> {
    let chunk = chunk(call)?;
    let slot = app.store.slot(id);
    let held = app
        .store
        .resume((id, &slot), piece(chunk), digest.algorithm());
    let mut held = held
        .await
        .map_err(|error| refused(error, || location(app, name, id, call)))?;
    let before = held.offset();
    let failed = match fill(&mut held, body).await? {
        End::Complete => check_length(chunk, held.offset() - before).err(),
        End::BrokenOff(error) => Some(error),
        End::TakenOver => Some(UploadError::Busy.into()),
    };
    if let Some(error) = failed {
        // The end of it is not recorded, so that the same request can be sent again.
        held.close();
        return Err(error);
    }
    Ok(held.publish(name, digest).await?)
}

/// Answers end-13.
pub(super) async fn status(
    app: &App,
    (name, session): (&Name, &str),
    call: &Call,
) -> Result<Answer, ApiError> {
    let id = session_of(app, name, session, call)?;
    let offset = match app.store.progress(&id).await? {
        Progress::New => 0,
        Progress::Open(offset) => offset,
        Progress::Committing(_) | Progress::Done(_) => return Err(UploadError::Unknown.into()),
    };
    let mut answer = empty(StatusCode::NO_CONTENT);
    describe(&mut answer, &location(app, name, &id, call), &id, offset);
    Ok(answer)
}

/// Answers end-14.
pub(super) async fn cancel(
    app: &App,
    (name, session): (&Name, &str),
    call: &Call,
) -> Result<Answer, ApiError> {
    let id = session_of(app, name, session, call)?;
    app.store.cancel(&id).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

fn chunk(call: &Call) -> Result<condition::Chunk, ApiError> {
    let contradiction = || {
        let message = "Content-Range is malformed, or says other than Content-Length";
        ApiError::new(ErrorCode::SizeInvalid, message)
    };
    condition::chunk(&call.headers).ok_or_else(contradiction)
}

fn piece(chunk: condition::Chunk) -> Piece {
    Piece {
        start: chunk.start,
        length: chunk.length,
    }
}

fn check_length(chunk: condition::Chunk, received: u64) -> Result<(), ApiError> {
    match chunk.length {
        Some(length) if length != received => {
            let message = format!("the request announced {length} bytes and held {received}");
            Err(ApiError::new(ErrorCode::SizeInvalid, message))
        }
        _ => Ok(()),
    }
}

/// Turns a refusal into an answer. One that is out of order says where the upload is, so that the
/// client can go on (spec: 416 with `Range`; regclient wants `Location` too).
fn refused(error: UploadError, location: impl FnOnce() -> String) -> ApiError {
    let offset = match error {
        UploadError::OutOfOrder { offset_bytes } => Some(offset_bytes),
        _ => None,
    };
    let answer = ApiError::from(error);
    match offset {
        Some(offset) => answer
            .with_header(header::RANGE, &range_text(offset))
            .with_header(header::LOCATION, &location()),
        None => answer,
    }
}

fn blob_created(name: &Name, digest: &Digest) -> Answer {
    let blob = Resource::Blob(name.clone(), digest.clone());
    created(&blob.path(), digest)
}

/// Returns the session that a path names, if it is the caller's.
fn session_of(
    app: &App,
    name: &Name,
    session: &str,
    call: &Call,
) -> Result<SessionId, UploadError> {
    let owner = call.caller.principal.as_str();
    app.store.session(name, owner, session)
}

/// Returns where an upload goes on. Where callers have to say who they are, the address says it for
/// this one session, because tokens expire in the middle of large blobs.
fn location(app: &App, name: &Name, id: &SessionId, call: &Call) -> String {
    let path = Resource::Upload(name.clone(), id.to_string()).path();
    match &call.caller.principal {
        Principal::Everybody => path,
        owner => format!("{path}?{PASS}={}", app.store.pass(id, owner.as_str())),
    }
}

/// Docs: distribution writes `0-0` for nothing as well as for one byte, and clients expect it.
fn range_text(offset: u64) -> String {
    format!("0-{}", offset.saturating_sub(1))
}

fn describe(answer: &mut Answer, location: &str, id: &SessionId, offset: u64) {
    let headers = answer.headers_mut();
    set(headers, header::LOCATION, location);
    set(headers, header::RANGE, &range_text(offset));
    set(headers, UPLOAD_UUID, id.as_str());
}
