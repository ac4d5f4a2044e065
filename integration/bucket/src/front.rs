// SPDX-License-Identifier: Apache-2.0
//! What stands between the wire and the protocol: it logs every request.
//!
//! A request is known by its operation and key only once `s3s` has read and verified it. So the
//! [`Front`] sends an [`Exchange`] along, and the [`Gate`], which `s3s` asks for permission, notes
//! them there.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::body::Incoming;
use hyper::service::Service;
use s3s::access::{S3Access, S3AccessContext};
use s3s::service::S3Service;
use s3s::{Body, HttpError, S3Result, s3_error};

use crate::log::{Log, Operation, Request};

/// One request on its way; logged when it goes.
#[derive(Debug)]
struct Exchange {
    log: Arc<Log>,
    request: Mutex<Request>,
}

impl Exchange {
    fn new(log: &Arc<Log>, method: &http::Method) -> Self {
        let began = log.tick();
        let request = Request {
            operation: Operation::Other,
            method: method.to_string(),
            key: String::new(),
            status: None,
            began,
            ended: began,
        };
        Self {
            log: Arc::clone(log),
            request: Mutex::new(request),
        }
    }

    fn update(&self, change: impl FnOnce(&mut Request)) {
        change(&mut self.request.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Puts the request into the log also if its client went away in the middle.
struct Entry(Arc<Exchange>);

impl Drop for Entry {
    fn drop(&mut self) {
        self.0.update(|request| self.0.log.add(request.clone()));
    }
}

/// The service of every connection.
#[derive(Clone, Debug)]
pub(crate) struct Front {
    inner: S3Service,
    log: Arc<Log>,
}

impl Front {
    pub(crate) fn new(inner: S3Service, log: Arc<Log>) -> Self {
        Self { inner, log }
    }

    async fn answer(
        self,
        request: http::Request<Incoming>,
    ) -> Result<http::Response<Body>, HttpError> {
        let mut request = request.map(Body::from);
        let exchange = Arc::new(Exchange::new(&self.log, request.method()));
        let entry = Entry(Arc::clone(&exchange));
        request.extensions_mut().insert(Arc::clone(&exchange));
        let response = self.inner.call(request).await?;
        exchange.update(|request| request.status = Some(response.status().as_u16()));
        drop(entry);
        Ok(response)
    }
}

impl Service<http::Request<Incoming>> for Front {
    type Response = http::Response<Body>;
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn call(&self, request: http::Request<Incoming>) -> Self::Future {
        Box::pin(self.clone().answer(request))
    }
}

/// Notes what a verified request is about.
#[derive(Debug)]
pub(crate) struct Gate;

#[async_trait::async_trait]
impl S3Access for Gate {
    async fn check(&self, context: &mut S3AccessContext<'_>) -> S3Result<()> {
        if context.credentials().is_none() {
            return Err(s3_error!(AccessDenied, "unsigned request"));
        }
        let operation = Operation::from_name(context.s3_op().name());
        let key = match context.s3_path().as_object() {
            Some((_, key)) => key.to_owned(),
            None => listed_prefix(context.uri()),
        };
        if let Some(exchange) = context.extensions_mut().get::<Arc<Exchange>>() {
            exchange.update(|request| {
                request.operation = operation;
                request.key = key;
            });
        }
        Ok(())
    }
}

/// The prefix that a list asks for.
fn listed_prefix(uri: &http::Uri) -> String {
    let query = uri.query().unwrap_or_default();
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    let prefix = pairs.find(|(name, _)| name == "prefix");
    prefix.map_or_else(String::new, |(_, prefix)| prefix.into_owned())
}
