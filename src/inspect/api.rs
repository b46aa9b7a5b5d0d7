//! The API, on the inspector's thread: reads the store, and changes what is recorded.

use std::rc::Rc;

use bytes::Bytes;
use http::header::CONTENT_DISPOSITION;
use http::{HeaderValue, Method, Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::spawn_local;

use super::answer::{ApiBody, JSON, json_of, respond, streamed};
use super::entry::Entry;
use super::filter::Filter;
use super::note::Side;
use super::problem::{self, NOT_KEPT, Problem, method_not_allowed};
use super::served::Served;
use super::{copy, feed, har, replay, view};

/// The prefix of the paths of the API.
pub(super) const API: &str = "/inspect/v1/";

/// The most requests that a list has unless it asks for fewer.
const MAX_LISTED: usize = 1000;

const TEXT: &str = "text/plain; charset=utf-8";
const BYTES: &str = "application/octet-stream";

/// An authenticated request to the API.
#[derive(Debug)]
pub(super) struct ApiRequest {
    pub(super) method: Method,
    /// The path below [`API`].
    pub(super) path: String,
    pub(super) query: String,
    /// The last sequence number that a reader of the feed knows, from `Last-Event-ID`.
    pub(super) last_event: Option<u64>,
    pub(super) body: Bytes,
}

pub(super) fn answer(served: &Rc<Served>, request: &ApiRequest) -> Response<ApiBody> {
    let segments: Vec<&str> = request.path.split('/').collect();
    // Paths that change something do not allow GET, which browsers send for links.
    let methods = match segments[..] {
        ["clear" | "pause" | "resume" | "send"] | ["requests", _, "replay"] => "POST",
        ["state" | "requests" | "feed" | "har"]
        | ["requests", _]
        | ["requests", _, "body", "in" | "out"]
        | ["requests", _, "copy", "curl" | "python" | "raw"] => "GET, HEAD",
        _ => return problem::NO_PATH.response(),
    };
    if !methods.split(", ").any(|method| request.method == method) {
        return method_not_allowed(methods);
    }
    let answered = act(served, request, &segments);
    answered.unwrap_or_else(Problem::response)
}

/// Answers a request with an allowed method to a known path.
fn act(
    served: &Rc<Served>,
    request: &ApiRequest,
    segments: &[&str],
) -> Result<Response<ApiBody>, Problem> {
    let query = Parameters::parse(&request.query)?;
    let store = served.store.borrow();
    Ok(match *segments {
        ["requests", id, ref part @ ..] => {
            let entry = parse_id(id).and_then(|id| store.get(id));
            about(served, request, entry.ok_or(NOT_KEPT)?, part)?
        }
        ["state"] => json_of(StatusCode::OK, &served.state()),
        ["requests"] => {
            let requests = store.summaries(&query.filter, query.after, query.limit);
            let (dropped, missed) = (served.recorder.dropped(), store.missed(query.after));
            let list = json!({"seq": store.seq, "dropped": dropped, "missed": missed, "requests": requests});
            json_of(StatusCode::OK, &list)
        }
        ["har"] => archive(served, store.ids(&query.filter)),
        ["feed"] => {
            let after = request.last_event.unwrap_or(query.after);
            streamed(feed::TYPE, feed::open(served, after)?)
        }
        ["send"] => replay::send(served, None, &request.body)?,
        ["clear"] => {
            drop(store);
            served.store.borrow_mut().clear();
            done(served)
        }
        // `pause` or `resume`.
        _ => {
            served.recorder.set_recording(*segments == ["resume"]);
            done(served)
        }
    })
}

/// Answers a request to a path below `requests/{id}`.
fn about(
    served: &Rc<Served>,
    request: &ApiRequest,
    entry: &Entry,
    part: &[&str],
) -> Result<Response<ApiBody>, Problem> {
    Ok(match *part {
        ["body", side] => {
            let side = if side == "in" { Side::In } else { Side::Out };
            let bytes = entry.body(side).bytes.clone();
            // Name and type are fixed, so that no browser runs what a gateway sends.
            attached(respond(StatusCode::OK, BYTES, bytes.into()), "body.bin")
        }
        ["copy", form] => {
            let state = served.program.state();
            let base = state["proxy"].as_str().unwrap_or_default();
            let copied = copy::copy(entry, form, base).ok_or(NOT_KEPT)?;
            respond(StatusCode::OK, TEXT, copied.into())
        }
        ["replay"] => replay::send(served, Some(entry), &request.body)?,
        _ => json_of(StatusCode::OK, &view::detail(entry)),
    })
}

fn done(served: &Served) -> Response<ApiBody> {
    served.announce();
    respond(StatusCode::NO_CONTENT, TEXT, Bytes::new())
}

fn parse_id(text: &str) -> Option<u128> {
    let is_id = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

/// A response that browsers save as a file instead of showing it.
fn attached(mut response: Response<ApiBody>, name: &str) -> Response<ApiBody> {
    let value = HeaderValue::try_from(format!("attachment; filename=\"{name}\""));
    let value = value.expect("a name is a header value");
    response.headers_mut().insert(CONTENT_DISPOSITION, value);
    response
}

/// An archive, written one request after the other: a whole one would take several times the memory
/// of the store, and all other readers would have to wait for it.
fn archive(served: &Rc<Served>, ids: Vec<u128>) -> Response<ApiBody> {
    let (sender, frames) = mpsc::channel(1);
    let served = Rc::clone(served);
    spawn_local(async move {
        let mut frame = har::start();
        for id in ids {
            // It may have been evicted in the meantime.
            let Some(entry) = served.store.borrow().get(id).map(har::entry) else {
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
    attached(streamed(JSON, frames), "apig-proxy.har")
}

pub(super) struct Parameters {
    filter: Filter,
    /// The sequence number that a reader knows; 0 for none.
    pub(super) after: u64,
    limit: usize,
}

impl Parameters {
    pub(super) fn parse(query: &str) -> Result<Self, Problem> {
        let mut parameters = Self {
            filter: Filter::default(),
            after: 0,
            limit: MAX_LISTED,
        };
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let value = value.replace('+', " ");
            let value = percent_decode_str(&value).decode_utf8_lossy();
            match name {
                "filter" => parameters.filter = Filter::parse(&value)?,
                "after" => parameters.after = value.parse().map_err(|_| problem::BAD_QUERY)?,
                "limit" => parameters.limit = value.parse().map_err(|_| problem::BAD_QUERY)?,
                _ => {}
            }
        }
        Ok(parameters)
    }
}
