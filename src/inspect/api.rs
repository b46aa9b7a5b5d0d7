//! The API on the inspector's thread: reads the store, and changes what is recorded.

use std::rc::Rc;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use serde_json::json;

use super::answer::{
    ApiBody, JSON, Problem, download, json_of, method_not_allowed, not_kept, respond, stream,
};
use super::endpoint::{Endpoint, Parameters};
use super::feed;
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
    let store = &served.store;
    let content = match endpoint {
        Endpoint::State => return Ok(json_of(StatusCode::OK, &served.state())),
        Endpoint::Requests => {
            let store = store.borrow();
            let Parameters {
                filter,
                after,
                limit,
            } = &parameters;
            let requests = store.summaries(filter, *after, *limit);
            let list = json!({"seq": store.seq(), "requests": requests});
            return Ok(json_of(StatusCode::OK, &list));
        }
        Endpoint::Har => {
            let archive = store.borrow().har(&parameters.filter).to_string();
            download(
                JSON,
                "attachment; filename=\"apig-proxy.har\"",
                archive.into(),
            )
        }
        Endpoint::Request(id) => {
            let detail = store.borrow().detail(id).ok_or_else(not_kept)?;
            json_of(StatusCode::OK, &detail)
        }
        Endpoint::Body(id, side) => {
            let body = store.borrow().body(id, side).ok_or_else(not_kept)?;
            // A fixed name and type: what a gateway sends is nothing that a browser should run.
            download(BYTES, "attachment; filename=\"body.bin\"", body.into())
        }
        Endpoint::Copy(id, kind) => {
            let base = served.program.state().proxy;
            let copy = store.borrow().copy(id, kind, &base).ok_or_else(not_kept)?;
            respond(StatusCode::OK, TEXT, copy.into())
        }
        Endpoint::Feed if request.method == Method::HEAD => stream(feed::empty()),
        Endpoint::Feed => {
            let after = request.last_event.unwrap_or(parameters.after);
            stream(feed::open(served, after)?)
        }
        Endpoint::Replay(_) | Endpoint::Send => {
            let of = match endpoint {
                Endpoint::Replay(id) => Some(id),
                _ => None,
            };
            let id = replay::send(served, of, &request.body)?;
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
    };
    Ok(content)
}

fn done() -> Response<ApiBody> {
    respond(StatusCode::NO_CONTENT, TEXT, Bytes::new())
}
