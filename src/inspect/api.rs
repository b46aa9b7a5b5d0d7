//! The API on the inspector's thread: reads the store, and changes what is recorded.

use std::rc::Rc;

use bytes::Bytes;
use http::header::CONTENT_DISPOSITION;
use http::{HeaderValue, Method, Response, StatusCode};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::spawn_local;

use super::answer::{
    ApiBody, JSON, Problem, download, json_of, method_not_allowed, not_kept, respond, stream,
};
use super::copy::CopyKind;
use super::endpoint::{Endpoint, Parameters};
use super::feed;
use super::har;
use super::note::Side;
use super::replay;
use super::served::Served;

const TEXT: &str = "text/plain; charset=utf-8";
const BYTES: &str = "application/octet-stream";

/// A request to the API that has shown the token.
#[derive(Debug)]
pub(super) struct ApiRequest {
    pub(super) method: Method,
    /// The path below `/inspect/v1/`.
    pub(super) path: String,
    pub(super) query: String,
    /// The last sequence number that a reader of the feed knows, from `Last-Event-ID`.
    pub(super) last_event: Option<u64>,
    pub(super) body: Bytes,
}

/// Answers a request.
pub(super) fn answer(served: &Rc<Served>, request: &ApiRequest) -> Response<ApiBody> {
    let Some(endpoint) = Endpoint::parse(&request.path) else {
        const TEXT: &str = "the API has no such path\nhint: `/inspect/v1/requests` lists requests";
        return Problem::new(StatusCode::NOT_FOUND, "not_found", TEXT).response();
    };
    let methods = endpoint.methods();
    if !methods.split(", ").any(|method| request.method == method) {
        return method_not_allowed(methods);
    }
    let answered = act(served, endpoint, request);
    answered.unwrap_or_else(|problem| problem.response())
}

fn act(
    served: &Rc<Served>,
    endpoint: Endpoint,
    request: &ApiRequest,
) -> Result<Response<ApiBody>, Problem> {
    let parameters = Parameters::parse(&request.query)?;
    Ok(match endpoint {
        Endpoint::State => json_of(StatusCode::OK, &served.state()),
        Endpoint::Requests => list(served, &parameters),
        Endpoint::Har => archive(served, &parameters),
        Endpoint::Request(id) => {
            let detail = served.store.borrow().detail(id).ok_or_else(not_kept)?;
            json_of(StatusCode::OK, &detail)
        }
        Endpoint::Body(id, side) => body(served, id, side)?,
        Endpoint::Copy(id, kind) => copy(served, id, kind)?,
        Endpoint::Feed if request.method == Method::HEAD => stream(feed::TYPE, feed::empty()),
        Endpoint::Feed => {
            let after = request.last_event.unwrap_or(parameters.after);
            stream(feed::TYPE, feed::open(served, after)?)
        }
        Endpoint::Replay(original) => {
            let id = replay::send(served, original, &request.body)?;
            json_of(StatusCode::ACCEPTED, &json!({"id": format!("{id:032x}")}))
        }
        Endpoint::Clear => {
            served.clear();
            done()
        }
        Endpoint::Pause | Endpoint::Resume => {
            served.recorder.set_recording(endpoint == Endpoint::Resume);
            served.announce();
            done()
        }
    })
}

fn list(served: &Served, parameters: &Parameters) -> Response<ApiBody> {
    let store = served.store.borrow();
    let Parameters {
        filter,
        after,
        limit,
    } = parameters;
    let requests = store.summaries(filter, *after, *limit);
    json_of(
        StatusCode::OK,
        &json!({"seq": store.seq(), "dropped": served.recorder.dropped(), "requests": requests}),
    )
}

/// An archive, one request after the other: as a whole it takes several times the memory of the store,
/// and everybody else would have to wait for it.
fn archive(served: &Rc<Served>, parameters: &Parameters) -> Response<ApiBody> {
    const NAME: &str = "attachment; filename=\"apig-proxy.har\"";
    let ids = served.store.borrow().ids(&parameters.filter);
    let (sender, frames) = mpsc::channel(1);
    let served = Rc::clone(served);
    spawn_local(async move {
        let mut frame = har::start();
        for id in ids {
            // It may have made room for others meanwhile.
            let Some(entry) = served.store.borrow().har_entry(id) else {
                continue;
            };
            frame.push_str(&entry.to_string());
            if sender.send(frame.into()).await.is_err() {
                return;
            }
            frame = ",\n".to_owned();
        }
        let start = frame.strip_suffix(",\n").unwrap_or(&frame);
        let _ = sender.send(format!("{start}{}", har::END).into()).await;
    });
    let mut response = stream(JSON, frames);
    let name = HeaderValue::from_static(NAME);
    response.headers_mut().insert(CONTENT_DISPOSITION, name);
    response
}

/// A body to be saved. Its name and type are fixed: what a gateway sends is nothing that a browser
/// should run.
fn body(served: &Served, id: u128, side: Side) -> Result<Response<ApiBody>, Problem> {
    const NAME: &str = "attachment; filename=\"body.bin\"";
    let body = served.store.borrow().body(id, side).ok_or_else(not_kept)?;
    Ok(download(BYTES, NAME, body.into()))
}

fn copy(served: &Served, id: u128, kind: CopyKind) -> Result<Response<ApiBody>, Problem> {
    let base = served.program.state().proxy;
    let copy = served.store.borrow().copy(id, kind, &base);
    Ok(respond(
        StatusCode::OK,
        TEXT,
        copy.ok_or_else(not_kept)?.into(),
    ))
}

fn done() -> Response<ApiBody> {
    respond(StatusCode::NO_CONTENT, TEXT, Bytes::new())
}
