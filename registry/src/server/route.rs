// SPDX-License-Identifier: Apache-2.0
//! From a request to its handler: path, method, rights, in this order and for every request.

use std::sync::Arc;

use axum::extract::State;
use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::uri::Authority;
use http::{Method, Request, StatusCode};
use tokio_util::task::TaskTracker;

use super::accept::Peer;
use super::access::{Access, Action, Caller, Need, Principal, Refusal, Sender, Unidentified};
use super::answer::{API_VERSION, Answer, ApiError, NAMESPACE, whole};
use super::auth::{Cursor, TOKEN_PATH, TokenRequest, later};
use super::body::RequestBody;
use super::config::{Config, Limits};
use super::monitor::Requester;
use super::query::{Query, namespace};
use super::{blob, catalog, manifest, monitor, referrer, tag, upload};
use crate::endpoint::Resource;
use crate::error::ErrorCode;
use crate::storage::Store;

/// What all requests share.
#[derive(Debug)]
pub(super) struct App {
    pub(super) store: Store,
    pub(super) config: Config,
    /// Who may do what.
    pub(super) access: Arc<dyn Access>,
    pub(super) cursor: Cursor,
    /// Requests that change something, so that they end even if the client hangs up.
    pub(super) changes: TaskTracker,
}

/// One request, past routing.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) query: Query,
    /// Who sends it; may do what the method means for the resource.
    pub(super) caller: Caller,
}

/// One request whose sender is not known yet.
#[derive(Debug)]
struct Asking {
    method: Method,
    headers: HeaderMap,
    query: Query,
    authority: Option<Authority>,
    peer: Option<Peer>,
    requester: Requester,
}

impl Asking {
    fn of(mut parts: Parts) -> Self {
        let mut headers = parts.headers;
        for (_, value) in headers
            .iter_mut()
            .filter(|(name, _)| **name == header::AUTHORIZATION)
        {
            value.set_sensitive(true);
        }
        Self {
            method: parts.method,
            headers,
            query: Query::of(&parts.uri),
            authority: parts.uri.into_parts().authority,
            peer: parts.extensions.get::<Option<Peer>>().copied().flatten(),
            requester: parts.extensions.remove().unwrap_or_default(),
        }
    }

    fn sender(&self) -> Sender<'_> {
        Sender {
            headers: &self.headers,
            authority: self.authority.as_ref().map(Authority::as_str),
            peer: self.peer,
        }
    }

    fn into_call(self, caller: Caller) -> Call {
        Call {
            method: self.method,
            headers: self.headers,
            query: self.query,
            caller,
        }
    }
}

/// Answers one request, watched.
pub(super) async fn handle(
    State(app): State<Arc<App>>,
    request: Request<axum::body::Body>,
) -> Answer {
    monitor::watch(app, request, answer).await
}

async fn answer(app: Arc<App>, request: Request<axum::body::Body>) -> Answer {
    let namespace = namespace(request.uri());
    let mut answer = match dispatch(&app, request).await {
        Ok(answer) => answer,
        Err(error) => {
            if let Some(fault) = &error.fault {
                (app.config.report.0)(fault);
            }
            error.into_answer()
        }
    };
    let namespace = namespace.filter(|_| !answer.status().is_client_error());
    let headers = answer.headers_mut();
    headers.extend(namespace.map(|value| (NAMESPACE, value)));
    headers.insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    // Whatever was stored, no browser shall take it for a page.
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    answer
}

async fn dispatch(app: &Arc<App>, request: Request<axum::body::Body>) -> Result<Answer, ApiError> {
    let (parts, body) = request.into_parts();
    let expects = parts.headers.contains_key(header::EXPECT);
    let limits = &app.config.limits;
    let body = RequestBody::new(body, limits.body_idle, expects);
    let mut body = body.with_blob_max(limits.upload_max_bytes);
    if let Err(error) = refuse_oversized(&parts, limits) {
        body.drain().await;
        return Err(error);
    }
    if parts.uri.path() == TOKEN_PATH
        && let Some(issuer) = app.access.issuer()
    {
        let asking = Asking::of(parts);
        let request = TokenRequest {
            method: &asking.method,
            sender: asking.sender(),
            query: &asking.query,
            requester: &asking.requester,
        };
        return issuer.answer(request, &mut body).await;
    }
    let resource = match routed(&parts) {
        Ok(resource) => resource,
        Err(error) => {
            body.drain().await;
            return Err(error);
        }
    };
    let asking = Asking::of(parts);
    if matches!(asking.method, Method::GET | Method::HEAD) {
        let caller = authorize(app, &resource, &asking).await?;
        let call = asking.into_call(caller);
        return read(app, &resource, &call).await;
    }
    let app = Arc::clone(app);
    let tracker = app.changes.clone();
    let task = tracker.spawn(async move {
        let result = match authorize(&app, &resource, &asking).await {
            Ok(caller) => {
                let call = asking.into_call(caller);
                change(&app, &resource, &call, &mut body).await
            }
            Err(error) => Err(error),
        };
        if result.is_err() {
            body.drain().await;
        }
        result
    });
    // A panic there is a bug of ours; this request fails, the others do not.
    task.await
        .unwrap_or_else(|_| Err(ApiError::new(ErrorCode::Unknown, "internal error")))
}

/// Returns the resource, if it takes the method.
fn routed(parts: &Parts) -> Result<Resource, ApiError> {
    let resource = Resource::parse(parts.uri.path())?;
    if resource.methods().any(|method| *method == parts.method) {
        return Ok(resource);
    }
    Err(wrong_method(&resource))
}

async fn read(app: &App, resource: &Resource, call: &Call) -> Result<Answer, ApiError> {
    match resource {
        Resource::Base => Ok(whole("application/json", "{}")),
        // None beside the catalog, which is no extension in this sense.
        Resource::Extensions => Ok(whole("application/json", r#"{"extensions":[]}"#)),
        Resource::Catalog => catalog::list(app, call).await,
        Resource::Tags(name) => tag::list(app, name, call).await,
        Resource::Blob(name, digest) => blob::get(app, name, digest, call).await,
        Resource::Manifest(name, reference) => manifest::get(app, name, reference, call).await,
        Resource::Referrers(name, digest) => referrer::list(app, name, digest, call).await,
        Resource::Upload(name, session) => upload::status(app, (name, session), call).await,
        Resource::Uploads(_) => Err(wrong_method(resource)),
    }
}

async fn change(
    app: &App,
    resource: &Resource,
    call: &Call,
    body: &mut RequestBody,
) -> Result<Answer, ApiError> {
    refuse_encoding(&call.headers)?;
    match (resource, &call.method) {
        (Resource::Uploads(name), _) => upload::start(app, name, call, body).await,
        (Resource::Upload(name, session), &Method::PATCH) => {
            upload::append(app, (name, session), call, body).await
        }
        (Resource::Upload(name, session), &Method::PUT) => {
            upload::finish(app, (name, session), call, body).await
        }
        (Resource::Upload(name, session), _) => upload::cancel(app, (name, session), call).await,
        (Resource::Manifest(name, reference), &Method::PUT) => {
            manifest::put(app, (name, reference), call, body).await
        }
        (Resource::Manifest(name, reference), _) => {
            refuse_delete(app)?;
            manifest::delete(app, name, reference, call).await
        }
        (Resource::Blob(name, digest), _) => {
            refuse_delete(app)?;
            blob::delete(app, name, digest, call).await
        }
        _ => Err(wrong_method(resource)),
    }
}

/// Finds out who sends a request, and whether he may.
async fn authorize(app: &App, resource: &Resource, asking: &Asking) -> Result<Caller, ApiError> {
    let needs = needs(resource, &asking.method);
    let identified = app.access.identify(asking.sender()).await;
    if let Ok(caller) = &identified {
        asking.requester.tell(&caller.principal);
    }
    if let Ok(caller) = &identified
        && caller.has_all(&needs)
    {
        return Ok(caller.clone());
    }
    if let Resource::Upload(_, session) = resource
        && let Some(owner) = owner(app, session, asking, &identified).await
        && owner.has_all(&needs)
    {
        asking.requester.tell(&owner.principal);
        return Ok(owner);
    }
    let identified = identified.as_ref().map_err(Clone::clone);
    let also = mount_source(asking);
    match app.access.refuse(asking.sender(), identified, &needs, also) {
        Refusal::Denied => Err(ApiError::new(
            ErrorCode::Denied,
            "requested access to the resource is denied",
        )),
        Refusal::Challenge(challenge) => {
            Err(unauthorized().with_header(header::WWW_AUTHENTICATE, &challenge))
        }
        Refusal::Later(wait) => Err(later(wait)),
    }
}

fn unauthorized() -> ApiError {
    ApiError::new(ErrorCode::Unauthorized, "authentication required")
}

fn needs(resource: &Resource, method: &Method) -> Vec<Need> {
    let actions: &[Action] = match (resource, method) {
        (Resource::Base | Resource::Extensions, _) => &[Action::Base],
        (Resource::Catalog, _) => &[Action::Catalog],
        // Cancelling an upload takes nothing from the repository.
        (Resource::Upload(..), _) | (_, &Method::POST | &Method::PUT) => {
            &[Action::Pull, Action::Push]
        }
        (_, &Method::DELETE) => &[Action::Delete],
        _ => &[Action::Pull],
    };
    let needs = actions.iter().map(|action| Need {
        repository: resource.name().cloned(),
        action: *action,
    });
    needs.collect()
}

/// Returns what a mount could use besides: without it the client uploads.
fn mount_source(asking: &Asking) -> Option<Need> {
    let from = asking
        .query
        .get("from")
        .filter(|_| asking.method == Method::POST)?;
    Some(Need {
        repository: Some(from.parse().ok()?),
        action: Action::Pull,
    })
}

/// Returns the owner of an upload if the request brings the pass for it, and no sign of being
/// somebody else's. A wrong password is one.
async fn owner(
    app: &App,
    session: &str,
    asking: &Asking,
    identified: &Result<Caller, Unidentified>,
) -> Option<Caller> {
    let owner = app.store.passes(session, asking.query.get(upload::PASS)?)?;
    let owner = Principal::from_text(&owner);
    let fits = match identified {
        Ok(caller) => caller.principal == Principal::Anonymous || caller.principal == owner,
        Err(Unidentified::BadToken) => true,
        Err(Unidentified::BadCredentials | Unidentified::Busy(_)) => false,
    };
    if !fits {
        return None;
    }
    app.access.owner(owner).await
}

/// Refuses what no client needs. Spec: RFC 9110 §15.5.15 (414), RFC 6585 §5 (431).
fn refuse_oversized(parts: &Parts, limits: &Limits) -> Result<(), ApiError> {
    let target = parts
        .uri
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    let (status, message) = if target > limits.uri_max_bytes {
        (StatusCode::URI_TOO_LONG, "the path and query are too long")
    } else if parts.headers.len() > limits.headers_max {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        (status, "there are too many header fields")
    } else if size(&parts.headers) > limits.headers_max_bytes {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        (status, "the header fields are too large")
    } else {
        return Ok(());
    };
    Err(ApiError::new(ErrorCode::Unsupported, message).with_status(status))
}

/// Returns the size of header fields. Spec: RFC 9113 §6.5.2.
fn size(headers: &HeaderMap) -> usize {
    let sizes = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 32);
    sizes.sum()
}

fn wrong_method(resource: &Resource) -> ApiError {
    let methods: Vec<&str> = resource.methods().map(Method::as_str).collect();
    let message = "this resource does not take the method";
    ApiError::new(ErrorCode::Unsupported, message).with_header(header::ALLOW, &methods.join(", "))
}

fn refuse_delete(app: &App) -> Result<(), ApiError> {
    if app.config.deletes {
        return Ok(());
    }
    let message = "deleting is switched off in this registry";
    Err(ApiError::new(ErrorCode::Unsupported, message))
}

/// Refuses encoded bodies: a digest is of the bytes as they are stored.
fn refuse_encoding(headers: &HeaderMap) -> Result<(), ApiError> {
    let mut encodings = headers.get_all(header::CONTENT_ENCODING).into_iter();
    if encodings.all(|value| value.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Ok(());
    }
    let message = "request bodies must not have a Content-Encoding";
    let error = ApiError::new(ErrorCode::Unsupported, message);
    Err(error.with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE))
}
