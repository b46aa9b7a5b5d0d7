//! Sends a request of the store again, or an edited one.
//!
//! It enters at the front, over a connection like that of a caller. So guard, routes, methods,
//! limits and the breaker of the key hold for it, and it is signed anew. Its response is read and
//! dropped: the inspector records it like every other.
//!
//! # What can go wrong
//!
//! The caller's token and hidden values are not kept, so a request that had some cannot be sent
//! again as it was. A response may never end; then it is cut off.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::json;
use tokio::net::UnixStream;
use tokio::task::spawn_local;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::answer::{ApiBody, json_of};
use super::copy::{ReplaySource, is_from_caller, replay_source};
use super::entry::Entry;
use super::problem::{self, HIDDEN_VALUES, Problem};
use super::program::Replay;
use super::served::Served;
use super::view;
use crate::config::ReplayPolicy;
use crate::escape::Escaped;

/// How much of a response is read, in bytes, and how long sending and reading may take.
const MAX_RESPONSE: usize = 16 * 1024 * 1024;
const MAX_TIME: Duration = Duration::from_secs(30 * 60);

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Order {
    confirm: bool,
    edit: Option<Edit>,
}

/// What is sent in place of what was received. What is not given stays as it was.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Edit {
    method: Option<String>,
    /// Path and query.
    target: Option<String>,
    headers: Option<Vec<(String, String)>>,
    body: Option<String>,
    body_base64: Option<String>,
}

/// Sends a request that repeats another one, or one of the reader's own, and answers with its id.
pub(super) fn send(
    served: &Rc<Served>,
    original: Option<&Entry>,
    order: &[u8],
) -> Result<Response<ApiBody>, Problem> {
    let order: Order = match order {
        b"" => Order::default(),
        order => serde_json::from_slice(order).map_err(|_| problem::BAD_ORDER)?,
    };
    let policy = served.config.borrow().replay;
    if policy == ReplayPolicy::Off {
        return Err(problem::REPLAY_OFF);
    }
    if !served.recorder.is_recording() {
        return Err(problem::PAUSED);
    }
    let source = order.edit.unwrap_or_default().apply(original)?;
    let route = source.route;
    let request = request(source)?;
    check(policy, request.method(), order.confirm)?;
    let replay = Replay {
        id: fastrand::u128(..),
        original: original.map(|entry| entry.id),
        route,
    };
    launch(served, request, replay)?;
    let answer = json!({"id": view::id(replay.id)});
    Ok(json_of(StatusCode::ACCEPTED, &answer))
}

impl Edit {
    /// Returns true if nothing of the original is left.
    fn is_complete(&self) -> bool {
        let has_body = self.body.is_some() || self.body_base64.is_some();
        has_body && self.method.is_some() && self.target.is_some() && self.headers.is_some()
    }

    fn apply(self, original: Option<&Entry>) -> Result<ReplaySource, Problem> {
        let mut source = match original.map(replay_source) {
            Some(Ok(source)) => source,
            Some(Err(problem)) if !self.is_complete() => return Err(problem),
            None if self.method.is_none() || self.target.is_none() => {
                return Err(problem::NO_TARGET);
            }
            Some(Err(_)) | None => ReplaySource::default(),
        };
        if let Some(headers) = self.headers {
            let headers = headers.into_iter();
            let headers = headers.map(|(name, value)| (name, value.into_bytes()));
            source.headers = headers.collect();
        }
        if let Some(text) = self.body_base64 {
            let decoded = BASE64_STANDARD.decode(text);
            source.body = decoded.map_err(|_| problem::BAD_BASE64)?;
        } else if let Some(text) = self.body {
            source.body = text.into_bytes();
        }
        source.method = self.method.unwrap_or(source.method);
        source.target = self.target.unwrap_or(source.target);
        Ok(source)
    }
}

fn request(mut source: ReplaySource) -> Result<Request<Full<Bytes>>, Problem> {
    source.headers.retain(|(name, _)| is_from_caller(name));
    if source.has_hidden() {
        return Err(HIDDEN_VALUES);
    }
    let method = Method::from_bytes(source.method.as_bytes()).ok();
    let method = method.filter(|method| *method != Method::CONNECT);
    let target = source.target;
    let is_path = target.starts_with('/') && !target.contains('#');
    let target = Uri::try_from(target).ok().filter(|_| is_path);
    let mut request = Request::new(Full::new(Bytes::from(source.body)));
    *request.method_mut() = method.ok_or(problem::BAD_METHOD)?;
    *request.uri_mut() = target.ok_or(problem::BAD_TARGET)?;
    *request.headers_mut() = headers(source.headers)?;
    Ok(request)
}

fn headers(fields: Vec<(String, Vec<u8>)>) -> Result<HeaderMap, Problem> {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let name = HeaderName::try_from(name).map_err(|_| problem::BAD_HEADER)?;
        let value = HeaderValue::try_from(value).map_err(|_| problem::BAD_HEADER)?;
        headers.append(name, value);
    }
    // HTTP/1.1 requires a `Host`. Without one in the request, any name of this machine will do.
    let host = headers.entry(HOST);
    host.or_insert(HeaderValue::from_static("localhost"));
    Ok(headers)
}

/// True for a method that changes nothing, so that sending it again needs no confirmation.
pub(super) fn is_safe(method: &str) -> bool {
    ["GET", "HEAD", "OPTIONS"].contains(&method)
}

fn check(policy: ReplayPolicy, method: &Method, is_confirmed: bool) -> Result<(), Problem> {
    match policy {
        _ if is_safe(method.as_str()) => Ok(()),
        ReplayPolicy::Ask if is_confirmed => Ok(()),
        ReplayPolicy::Ask => Err(problem::UNCONFIRMED),
        ReplayPolicy::Safe | ReplayPolicy::Off => Err(problem::REPLAY_OFF),
    }
}

/// Hands one end of a connection to the program, and sends the request over the other.
fn launch(
    served: &Rc<Served>,
    request: Request<Full<Bytes>>,
    replay: Replay,
) -> Result<(), Problem> {
    let permit = Arc::clone(&served.replays).try_acquire_owned();
    let permit = permit.map_err(|_| problem::TOO_MANY_REPLAYS)?;
    let (ours, theirs) = UnixStream::pair().map_err(|_| problem::NO_CONNECTION)?;
    let theirs = theirs.into_std().map_err(|_| problem::NO_CONNECTION)?;
    if !served.program.serve(theirs, replay) {
        return Err(problem::NO_CONNECTION);
    }
    if !request.method().is_safe() {
        let (method, path) = (request.method(), Escaped(request.uri().path()));
        tracing::warn!("the inspector sends a request: {method} {path}");
    }
    spawn_local(async move {
        // The outcome is not returned: the store shows it.
        let _ = timeout(MAX_TIME, exchange(ours, request)).await;
        drop(permit);
    });
    Ok(())
}

/// Sends a request, and reads its response to the end or to the limit.
async fn exchange(stream: UnixStream, request: Request<Full<Bytes>>) -> hyper::Result<()> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let _connection = AbortOnDropHandle::new(spawn_local(connection));
    let body = sender.send_request(request).await?.into_body();
    let mut body = Limited::new(body, MAX_RESPONSE);
    while let Some(Ok(_)) = body.frame().await {}
    Ok(())
}
