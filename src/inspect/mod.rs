//! The inspector: keeps the last requests and shows them, without secrets.
//!
//! ```text
//! worker ─ notes, in batches ─► bounded channel ─► thread "inspector": store ─► /inspect/ on the admin listener
//! ```
//!
//! Capturing never delays, changes or fails a request: what does not fit is dropped and counted. The
//! thread has a runtime of its own, so that a busy page delays neither workers nor health checks. It
//! lives until the program ends; while the inspector is off, it waits and keeps nothing.
//!
//! | module | does |
//! |---|---|
//! | `note`, `recorder`, `rate_limit`, `capture`, `kept_body` | the capture of requests, in the workers |
//! | `redact`, `rules`, `scan` | which values are secrets, and what is shown instead |
//! | `served` | what the tasks of the thread share |
//! | `store`, `entry`, `filter`, `view`, `har`, `copy` | the captured requests, and their formats |
//! | `token_check`, `token`, `api`, `answer`, `problem` | the API, who may use it, and its errors |
//! | `feed`, `replay`, `page` | live changes, sending again, the page |
//! | `program` | the interface to the program that is inspected |

mod answer;
mod api;
mod body;
pub(crate) mod capture;
mod copy;
mod entry;
mod feed;
mod filter;
mod har;
mod head;
mod kept_body;
mod memory;
pub(crate) mod note;
mod page;
pub(crate) mod problem;
pub(crate) mod program;
mod rate_limit;
pub(crate) mod recorder;
mod redact;
mod replay;
pub(crate) mod rules;
mod scan;
mod served;
mod store;
pub(crate) mod token;
mod token_check;
mod view;

use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{io, thread};

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

pub(crate) use answer::ApiBody;
use api::{API, ApiRequest, Parameters};
pub(crate) use copy::quoted;
pub(crate) use problem::Problem;
use program::Program;
use recorder::{BATCH_AGE, Notes, Recorder};
use served::Served;
use token::Token;
use token_check::Gate;

use crate::config::InspectConfig;
use crate::lock::lock;

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

/// What the thread is asked to do.
#[derive(Debug)]
enum Command {
    Answer(ApiRequest, oneshot::Sender<Response<ApiBody>>),
    /// Use this configuration from now on.
    Configure(InspectConfig),
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
        let (kept, initial) = (Arc::clone(&recorder), config.clone());
        let thread = thread::Builder::new().name("inspector".to_owned());
        thread.spawn(move || {
            let mut builder = Builder::new_current_thread();
            // The runtime cannot move between threads, so it is built here.
            match builder.enable_all().build_local(LocalOptions::default()) {
                Ok(runtime) => {
                    let served = Rc::new(Served::new(program, kept, initial));
                    runtime.block_on(run(served, notes, received));
                }
                Err(error) => tracing::error!(%error, "the inspector could not be started"),
            }
        })?;
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
        lock(&self.gate).token = token;
        self.recorder.set_rules(config.bodies, &config.reveal);
        // Without its thread, the inspector answers with 500.
        let _ = self.commands.send(Command::Configure(config.clone()));
        if was_on != config.enabled {
            self.recorder.set_recording(config.enabled);
        }
    }

    /// Returns true if it answers requests.
    pub(crate) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Answers a request that the guard has let through, for a path that it [`takes`].
    pub(crate) async fn respond(&self, head: &Parts, body: &mut Incoming) -> Response<ApiBody> {
        let answered = match head.uri.path().strip_prefix(API) {
            Some(path) => self.answer(path.to_owned(), head, body).await,
            None => page::respond(head),
        };
        answered.unwrap_or_else(Problem::response)
    }

    async fn answer(
        &self,
        path: String,
        head: &Parts,
        body: &mut Incoming,
    ) -> Result<Response<ApiBody>, Problem> {
        lock(&self.gate).check(&head.headers)?;
        let last_event = head.headers.get("last-event-id");
        let last_event = last_event.and_then(|value| value.to_str().ok()?.parse().ok());
        let request = ApiRequest {
            method: head.method.clone(),
            path,
            query: head.uri.query().unwrap_or_default().to_owned(),
            last_event,
            body: read(body).await?,
        };
        // The notes of what callers have just got may be in a batch yet, and their last one to come.
        // Who asks for changes gets them the next time.
        let follows = Parameters::parse(&request.query).is_ok_and(|query| query.after > 0);
        if !follows && matches!(&*request.path, "requests" | "har") {
            sleep(2 * BATCH_AGE).await;
        }
        let (answer, answered) = oneshot::channel();
        // If the thread has ended, the receiver returns an error.
        let _ = self.commands.send(Command::Answer(request, answer));
        answered.await.map_err(|_| problem::FAILED)
    }
}

/// Returns true for a path of the inspector.
pub(crate) fn takes(path: &str) -> bool {
    path.starts_with(page::PATH) || path == page::PATH.trim_end_matches('/')
}

/// Returns true for a path that needs the token.
pub(crate) fn is_api(path: &str) -> bool {
    path.starts_with(API)
}

/// Applies the notes of the workers to the store and answers requests, until the last handle is dropped.
async fn run(served: Rc<Served>, mut notes: Notes, mut commands: UnboundedReceiver<Command>) {
    loop {
        tokio::select! {
            Some(batch) = notes.next() => served.apply(batch),
            command = commands.recv() => match command {
                // Whoever asked may have disconnected.
                Some(Command::Answer(_, answer)) if answer.is_closed() => {}
                Some(Command::Answer(request, answer)) => drop(answer.send(api::answer(&served, &request))),
                Some(Command::Configure(config)) => served.configure(config),
                None => return,
            },
        }
    }
}

async fn read(body: &mut Incoming) -> Result<Bytes, Problem> {
    let collected = timeout(BODY_TIME, Limited::new(body, MAX_BODY).collect()).await;
    let collected = collected.map_err(|_| problem::LATE_BODY)?;
    Ok(collected.map_err(|_| problem::LONG_BODY)?.to_bytes())
}

#[cfg(test)]
mod tests;
