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

use std::io;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::UnixStream;
use tokio::task::spawn_local;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::answer::{Problem, not_kept};
use super::copy::{ReplayError, ReplaySource};
use super::head::has_hidden;
use super::program::{Busy, Replay};
use super::served::Served;
use crate::config::ReplayPolicy;
use crate::config::owned_headers::{is_hop_by_hop, is_owned};
use crate::escape::Escaped;

/// How much of a response is read, in bytes, and how long sending and reading may take.
const MAX_RESPONSE: usize = 16 * 1024 * 1024;
const MAX_TIME: Duration = Duration::from_secs(30 * 60);

/// What is asked for.
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

/// Sends a request that repeats another one, or one of the reader's own. Returns its id.
///
/// # Errors
///
/// A [`Problem`] if it may not or cannot be sent.
pub(super) fn send(
    served: &Rc<Served>,
    original: Option<u128>,
    order: &[u8],
) -> Result<u128, Problem> {
    const WRONG: &str =
        "the body is not what the path takes\nhint: send JSON like {\"confirm\": true}";
    const PAUSED: &str = "requests are not recorded now, so this one would not be shown\nhint: resume recording first";
    let order: Order = match order {
        b"" => Order::default(),
        order => serde_json::from_slice(order).map_err(|_| bad_request(WRONG))?,
    };
    let policy = served.keeping.get().replay;
    if policy == ReplayPolicy::Off {
        return Err(replay_off(
            "requests are not sent again here (`inspect.replay`)",
        ));
    }
    if !served.recorder.is_recording() {
        return Err(Problem::new(StatusCode::CONFLICT, "paused", PAUSED));
    }
    let edit = order.edit.unwrap_or_default();
    let source = edit.apply(served, original)?;
    let route = source.route;
    let request = request(source)?;
    check(policy, request.method(), order.confirm)?;
    let id = fastrand::u128(..);
    launch(
        served,
        request,
        Replay {
            id,
            original,
            route,
        },
    )?;
    Ok(id)
}

impl Edit {
    /// Returns true if nothing of the original is left.
    fn is_complete(&self) -> bool {
        let has_body = self.body.is_some() || self.body_base64.is_some();
        has_body && self.method.is_some() && self.target.is_some() && self.headers.is_some()
    }

    /// The request to send.
    fn apply(self, served: &Served, original: Option<u128>) -> Result<ReplaySource, Problem> {
        const METHOD: &str = "a request of one's own needs a method and a target\nhint: give `edit.method` and `edit.target`";
        const BASE64: &str = "`body_base64` is not Base64";
        let nothing = ReplaySource {
            method: String::new(),
            target: String::new(),
            headers: Vec::new(),
            body: Vec::new(),
            route: None,
        };
        let mut source = match original.map(|id| served.store.borrow().replay_source(id)) {
            Some(Ok(source)) => source,
            Some(Err(error)) if error == ReplayError::NotFound || !self.is_complete() => {
                return Err(not_replayable(error));
            }
            None if self.method.is_none() || self.target.is_none() => {
                return Err(bad_request(METHOD));
            }
            Some(Err(_)) | None => nothing,
        };
        let bytes = |(name, value): (String, String)| (name, value.into_bytes());
        let headers = self
            .headers
            .map(|headers| headers.into_iter().map(bytes).collect());
        let decode = |text: String| BASE64_STANDARD.decode(text);
        let decoded = self.body_base64.map(decode).transpose();
        let body = decoded
            .map_err(|_| bad_request(BASE64))?
            .or_else(|| self.body.map(String::into_bytes));
        source.method = self.method.unwrap_or(source.method);
        source.target = self.target.unwrap_or(source.target);
        source.headers = headers.unwrap_or(source.headers);
        source.body = body.unwrap_or(source.body);
        Ok(source)
    }
}

/// The request as it is sent to the proxy.
fn request(source: ReplaySource) -> Result<Request<Full<Bytes>>, Problem> {
    const METHOD: &str = "the method cannot be sent\nhint: use one like `GET` or `POST`";
    const TARGET: &str = "the target is no path and query\nhint: begin it with `/`, and percent-encode what URLs cannot contain";
    let method = Method::from_bytes(source.method.as_bytes()).ok();
    let method = method.filter(|method| *method != Method::CONNECT);
    let (target, headers) = (source.target, headers(source.headers)?);
    let is_path = target.starts_with('/') && !target.contains('#');
    let values = headers.values().map(HeaderValue::as_bytes);
    if values
        .chain([target.as_bytes(), &source.body])
        .any(has_hidden)
    {
        return Err(not_replayable(ReplayError::HiddenValues));
    }
    let target = Uri::try_from(target).ok().filter(|_| is_path);
    let mut request = Request::new(Full::new(Bytes::from(source.body)));
    *request.method_mut() = method.ok_or_else(|| bad_request(METHOD))?;
    *request.uri_mut() = target.ok_or_else(|| bad_request(TARGET))?;
    *request.headers_mut() = headers;
    Ok(request)
}

/// The headers as they are sent to the proxy: without those of the connection, of the length and of
/// HTTP/2, and without those that the proxy does not take from callers.
fn headers(fields: Vec<(String, Vec<u8>)>) -> Result<HeaderMap, Problem> {
    const WRONG: &str = "a header cannot be sent\nhint: use names of letters, digits and `-`, and values without line feeds";
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let name = name.to_ascii_lowercase();
        let is_taken = !is_owned(&name) || ["host", "x-project-id"].contains(&&*name);
        if !is_taken || is_hop_by_hop(name.as_bytes()) || name.starts_with(':') {
            continue;
        }
        let name = HeaderName::try_from(name).map_err(|_| bad_request(WRONG))?;
        let value = HeaderValue::try_from(value).map_err(|_| bad_request(WRONG))?;
        headers.append(name, value);
    }
    // By its name, a page was allowed or not; it proves nothing here.
    headers
        .entry(HOST)
        .or_insert(HeaderValue::from_static("localhost"));
    Ok(headers)
}

/// Checks whether a method may be sent.
fn check(policy: ReplayPolicy, method: &Method, is_confirmed: bool) -> Result<(), Problem> {
    const CONFIRM: &str = "a request with this method may change something at the gateway\nhint: confirm that it is to be sent";
    let is_safe = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
    match policy {
        _ if is_safe => Ok(()),
        ReplayPolicy::Ask if is_confirmed => Ok(()),
        ReplayPolicy::Ask => {
            let status = StatusCode::CONFLICT;
            Err(Problem::new(status, "needs_confirmation", CONFIRM))
        }
        ReplayPolicy::Safe | ReplayPolicy::Off => Err(replay_off(
            "only GET, HEAD and OPTIONS are sent again here (`inspect.replay`)",
        )),
    }
}

/// Hands one end of a connection to the program, and sends the request over the other.
fn launch(
    served: &Rc<Served>,
    request: Request<Full<Bytes>>,
    replay: Replay,
) -> Result<(), Problem> {
    const MANY: &str =
        "requests enough are being sent again\nhint: wait until one has its response";
    const BUSY: &str =
        "the proxy takes no more connections\nhint: see `limits.connections`, or wait";
    let permit = Arc::clone(&served.replays).try_acquire_owned();
    let permit = permit
        .map_err(|_| Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_replays", MANY))?;
    let busy = || Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", BUSY);
    let (ours, theirs) = pair().map_err(|_| busy())?;
    served
        .program
        .serve(theirs, replay)
        .map_err(|Busy| busy())?;
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

fn pair() -> io::Result<(UnixStream, StdUnixStream)> {
    let (ours, theirs) = StdUnixStream::pair()?;
    ours.set_nonblocking(true)?;
    theirs.set_nonblocking(true)?;
    Ok((UnixStream::from_std(ours)?, theirs))
}

/// Sends a request, and reads its response to the end or to the limit.
async fn exchange(stream: UnixStream, request: Request<Full<Bytes>>) -> hyper::Result<()> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let _connection = AbortOnDropHandle::new(spawn_local(connection));
    let mut body = sender.send_request(request).await?.into_body();
    let mut left = MAX_RESPONSE;
    while let Some(frame) = body.frame().await {
        let length = frame?.data_ref().map_or(0, Bytes::len);
        let Some(less) = left.checked_sub(length) else {
            break;
        };
        left = less;
    }
    Ok(())
}

fn bad_request(text: &str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad_request", text)
}

fn replay_off(text: &str) -> Problem {
    Problem::new(StatusCode::FORBIDDEN, "replay_off", text)
}

/// The problem with a request that is not kept as it was.
fn not_replayable(error: ReplayError) -> Problem {
    let (code, hint) = match error {
        ReplayError::NotFound => return not_kept(),
        ReplayError::BodyNotKept => (
            "body_not_kept",
            "give the whole request, or raise `inspect.bodies`",
        ),
        ReplayError::HiddenValues => ("hidden_values", "edit the request, and give them"),
        ReplayError::WebSocket => ("websocket", "open it with its own client"),
    };
    let text = format!("{error}\nhint: {hint}");
    Problem::new(StatusCode::CONFLICT, code, &text)
}
