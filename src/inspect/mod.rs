//! The inspector: keeps the last requests and shows them, without secrets.
//!
//! ```text
//! worker ─ notes, in batches ─► bounded channel ─► thread "inspector": store ─► /inspect/ on the admin listener
//! ```
//!
//! Capturing never delays, changes or fails a request: what does not fit is dropped and counted.
//!
//! | module | does |
//! |---|---|
//! | `note`, `recorder`, `rate_limit`, `capture`, `copied` | in the workers: what they tell |
//! | `redact`, `rules`, `scan` | which values are secrets, and what is shown instead |
//! | `thread`, `served` | owns the store and answers |
//! | `store`, `entry`, `filter`, `view`, `har`, `copy` | the requests, and their forms |
//! | `gate`, `token`, `api`, `answer` | who may read, and what |
//! | `feed`, `replay`, `page` | live changes, sending again, the page |
//! | `program` | what the inspector knows of the program that it inspects |

mod answer;
mod api;
mod body;
pub(crate) mod capture;
mod copied;
mod copy;
mod entry;
mod feed;
mod filter;
mod gate;
mod har;
mod head;
pub(crate) mod note;
mod page;
pub(crate) mod program;
mod rate_limit;
pub(crate) mod recorder;
mod redact;
mod replay;
mod rules;
mod scan;
mod served;
mod store;
mod thread;
pub(crate) mod token;
mod view;
mod weight;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::LOCATION;
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::sync::mpsc::{self, UnboundedSender};
use tokio::sync::oneshot;
use tokio::time::timeout;

pub(crate) use answer::ApiBody;
use answer::{Problem, method_not_allowed, respond};
use api::{API, ApiRequest};
use gate::Gate;
use program::Program;
use recorder::{Notes, Recorder};
use thread::Command;
use token::Token;

use crate::config::InspectConfig;

/// The prefix of all paths, and the path of the page.
const PREFIX: &str = "/inspect/";

const UNKNOWN: Problem = Problem(
    404,
    "not_found",
    "the inspector has no such file\nhint: open `/inspect/`",
);

/// The longest body of a request to the API, in bytes, and how long it may take to arrive.
const MAX_BODY: usize = 128 * 1024;
const BODY_TIME: Duration = Duration::from_secs(10);

/// The inspector of a program. Its thread ends with the last clone.
#[derive(Clone, Debug)]
pub(crate) struct Inspector {
    recorder: Arc<Recorder>,
    commands: UnboundedSender<Command>,
    gate: Arc<Mutex<Gate>>,
    is_on: Arc<AtomicBool>,
}

impl Inspector {
    /// Starts the thread, and records if the configuration says so.
    pub(crate) fn start(
        program: Arc<dyn Program>,
        (recorder, notes): (Arc<Recorder>, Notes),
        config: &InspectConfig,
        token: Token,
    ) -> io::Result<Self> {
        let (commands, received) = mpsc::unbounded_channel();
        thread::start(
            program,
            Arc::clone(&recorder),
            notes,
            config.clone(),
            received,
        )?;
        let inspector = Self {
            recorder,
            commands,
            gate: Arc::new(Mutex::new(Gate::new(token.clone()))),
            is_on: Arc::default(),
        };
        inspector.configure(config, token);
        Ok(inspector)
    }

    /// Uses another configuration from now on. Recording that was paused stays paused, unless the
    /// inspector was off.
    pub(crate) fn configure(&self, config: &InspectConfig, token: Token) {
        let was_on = self.is_on.swap(config.enabled, Ordering::Relaxed);
        self.gate().token = token;
        let reveal: Vec<String> = config.reveal.iter().map(ToString::to_string).collect();
        self.recorder.set_rules(config.bodies, &reveal);
        // Without its thread, the inspector answers with 500.
        let _ = self.commands.send(Command::Configure(config.clone()));
        if was_on != config.enabled {
            self.recorder.set_recording(config.enabled);
        }
    }

    /// Returns true if requests to it are to be answered.
    pub(crate) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    fn gate(&self) -> std::sync::MutexGuard<'_, Gate> {
        // Every change leaves it whole, so a panic elsewhere does no harm.
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a request that the guard has let through, for a path that it [`takes`].
    pub(crate) async fn respond(&self, head: &Parts, body: &mut Incoming) -> Response<ApiBody> {
        let answered = match head.uri.path().strip_prefix(API) {
            Some(path) => self.answer(path.to_owned(), head, body).await,
            None => page(head),
        };
        answered.unwrap_or_else(Problem::response)
    }

    /// Answers a request to the API.
    async fn answer(
        &self,
        path: String,
        head: &Parts,
        body: &mut Incoming,
    ) -> Result<Response<ApiBody>, Problem> {
        const FAILED: Problem = Problem(
            500,
            "failed",
            "the inspector has failed\nhint: its log says why; restart the proxy",
        );
        self.gate().check(&head.headers)?;
        let last_event = head.headers.get("last-event-id");
        let last_event = last_event.and_then(|value| value.to_str().ok()?.parse().ok());
        let request = ApiRequest {
            method: head.method.clone(),
            path,
            query: head.uri.query().unwrap_or_default().to_owned(),
            last_event,
            body: read(body).await?,
        };
        let (answer, answered) = oneshot::channel();
        // If the thread has ended, the receiver learns it.
        let _ = self.commands.send(Command::Answer(request, answer));
        answered.await.map_err(|_| FAILED)
    }
}

/// The response to a request for which there is no room.
pub(crate) fn busy() -> Response<ApiBody> {
    const BUSY: Problem = Problem(
        503,
        "busy",
        "the inspector has readers enough\nhint: close another page or terminal with the inspector, or ask again later",
    );
    BUSY.response()
}

/// The response to a request that the guard does not let through.
pub(crate) fn forbidden() -> Response<ApiBody> {
    const FORBIDDEN: Problem = Problem(
        403,
        "origin_not_allowed",
        "the request is of a web page, or names another host\nhint: open the address that was printed",
    );
    FORBIDDEN.response()
}

/// The response to a path that is not of the inspector.
pub(crate) fn missing() -> Response<ApiBody> {
    UNKNOWN.response()
}

/// Returns true for a path of the inspector.
pub(crate) fn takes(path: &str) -> bool {
    path.starts_with(PREFIX) || path == PREFIX.trim_end_matches('/')
}

/// Returns true for a path that needs the token.
pub(crate) fn is_api(path: &str) -> bool {
    path.starts_with(API)
}

/// The page, one of its files, or where the page is.
fn page(head: &Parts) -> Result<Response<ApiBody>, Problem> {
    if head.method != Method::GET && head.method != Method::HEAD {
        return Ok(method_not_allowed("GET, HEAD"));
    }
    let Some(name) = head.uri.path().strip_prefix(PREFIX) else {
        let mut response = respond(StatusCode::PERMANENT_REDIRECT, "text/plain", Bytes::new());
        let page = HeaderValue::from_static(PREFIX);
        response.headers_mut().insert(LOCATION, page);
        return Ok(response);
    };
    page::file(name, &head.headers).ok_or(UNKNOWN)
}

/// Reads the body of a request.
async fn read(body: &mut Incoming) -> Result<Bytes, Problem> {
    const LATE: Problem = Problem(
        408,
        "body_timeout",
        "the body of the request did not arrive in time",
    );
    const LONG: Problem = Problem(
        413,
        "body_too_large",
        "the body of the request is longer than 128 KiB, or broke off",
    );
    let collected = timeout(BODY_TIME, Limited::new(body, MAX_BODY).collect()).await;
    let collected = collected.map_err(|_| LATE)?.map_err(|_| LONG)?;
    Ok(collected.to_bytes())
}

#[cfg(test)]
mod tests;
