//! What the proxy says of itself to those who watch it, on an address of its own:
//!
//! | path | 200 | 503 |
//! |---|---|---|
//! | `/livez` | the process serves | |
//! | `/readyz` | requests are taken: it listens, and has what they need to show | a stop was asked for, or a key or token is missing or has ended |
//! | `/startupz` | it has started | |
//! | `/metrics` | what is counted, in the Prometheus text format | |
//!
//! and, with `admin_quit = true`, `POST /quitquitquit`, which begins to stop the proxy as SIGTERM does. It is off
//! by default, because every user of the machine can connect to a loopback port.
//!
//! On an address of its own, so that no path of an API is taken, and a busy proxy can still be asked.
//! None of it asks the gateway: a gateway that is down is no reason to restart the proxy, or to take it
//! out of service when there is no other way to the gateway.
//!
//! # What can go wrong
//!
//! A web page in a browser on this machine could read what is told here, so the proxy's own guard
//! decides who may ask. Where it is bound to addresses that others reach, they may look, but only programs
//! of this machine may stop it: a probe needs no more, and a page that is loaded by an address could post.

mod ask;

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::StatusCode;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::clock;
use crate::error::Error;
use crate::guard::{Guard, ListenerKind};
use crate::http1::{RequestHead, push_field};
use crate::proxy::{Announced, Request, Response, ResponseBody, Settings, refused, split_target};
use crate::telemetry::metrics;
pub use ask::{AskError, Question, ask, ask_within};

const TEXT: &str = "text/plain; charset=utf-8";

/// The path that stops the proxy.
const QUIT: &str = "/quitquitquit";

/// What is answered there unless `admin_quit` is set.
const QUIT_IS_OFF: &str = "/quitquitquit is off; set admin_quit = true";

/// The methods that are taken for all others.
const METHODS: &str = "GET, HEAD";

/// Answers the requests of one connection.
#[derive(Clone, Debug)]
pub struct Admin {
    guard: Arc<Guard>,
    /// What requests are served by at the moment.
    settings: watch::Receiver<Arc<Settings>>,
    stopping: CancellationToken,
    /// To begin to stop.
    quit: CancellationToken,
    peer: Peer,
}

/// Where a connection to the admin listener comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A program of this machine, over a unix socket, which no browser reaches.
    Unix,
    /// A program of this machine, over TCP.
    Loopback,
    /// Another machine.
    Remote,
}

/// What is answered to a request that the guard lets through.
struct Page {
    status: StatusCode,
    content_type: &'static str,
    allow: Option<&'static str>,
    text: String,
}

impl Page {
    fn text(status: StatusCode, text: &str) -> Self {
        Self {
            status,
            content_type: TEXT,
            allow: None,
            text: format!("{text}\n"),
        }
    }
}

impl Admin {
    /// Tells of the proxy with these settings, which takes no more requests once it is `stopping`, and begins
    /// to stop when `quit` is cancelled.
    #[must_use]
    pub fn new(
        guard: Guard,
        settings: watch::Receiver<Arc<Settings>>,
        stopping: CancellationToken,
        quit: CancellationToken,
    ) -> Self {
        Self {
            guard: Arc::new(guard),
            settings,
            stopping,
            quit,
            peer: Peer::Remote,
        }
    }

    /// The same for a connection from this peer.
    #[must_use]
    pub fn asked_by(self, peer: Peer) -> Self {
        Self { peer, ..self }
    }

    /// The same with another guard.
    #[must_use]
    pub fn guarded_by(self, guard: Guard) -> Self {
        Self {
            guard: Arc::new(guard),
            ..self
        }
    }

    fn answer(&self, head: &RequestHead) -> Result<Response, Error> {
        let (authority, target) = split_target(head.target(), false);
        let path = target.and_then(|target| target.split('?').next());
        let path = path.unwrap_or_default();
        // Not the token: it is for requests that are signed.
        let listener = if self.peer == Peer::Unix {
            ListenerKind::Unix
        } else {
            ListenerKind::Tcp
        };
        if path == QUIT {
            self.guard.check_admin_action(listener, authority, head)?;
        } else {
            self.guard.check_probe(listener, authority, head)?;
        }
        Ok(written(self.page(path, head.method())))
    }

    fn page(&self, path: &str, method: &str) -> Page {
        let page: fn(&Self) -> Page = match path {
            "/livez" | "/startupz" => |_| Page::text(StatusCode::OK, "ok"),
            "/readyz" => Self::readiness,
            "/metrics" => Self::metrics,
            QUIT => return self.quitting(method),
            _ => {
                let text = "expected /livez, /readyz, /startupz or /metrics";
                return Page::text(StatusCode::NOT_FOUND, text);
            }
        };
        if ["GET", "HEAD"].contains(&method) {
            return page(self);
        }
        Page {
            allow: Some(METHODS),
            ..Page::text(StatusCode::METHOD_NOT_ALLOWED, "ask with GET or HEAD")
        }
    }

    fn quitting(&self, method: &str) -> Page {
        if !self.settings.borrow().admin_quit() {
            return Page::text(StatusCode::NOT_FOUND, QUIT_IS_OFF);
        }
        if method != "POST" {
            return Page {
                allow: Some("POST"),
                ..Page::text(StatusCode::METHOD_NOT_ALLOWED, "ask with POST")
            };
        }
        if self.peer == Peer::Remote {
            let text =
                "only programs on the machine of the proxy may stop it; send SIGTERM otherwise";
            return Page::text(StatusCode::FORBIDDEN, text);
        }
        self.quit.cancel();
        Page::text(StatusCode::OK, "ok")
    }

    fn readiness(&self) -> Page {
        if self.stopping.is_cancelled() {
            let text = "stopping: running requests are finished, and soon no new ones are accepted";
            return Page::text(StatusCode::SERVICE_UNAVAILABLE, text);
        }
        match self.settings.borrow().missing_credentials().as_slice() {
            [] => Page::text(StatusCode::OK, "ok"),
            missing => {
                let text = format!("no valid credentials: {}", missing.join(", "));
                Page::text(StatusCode::SERVICE_UNAVAILABLE, &text)
            }
        }
    }

    fn metrics(&self) -> Page {
        Page {
            status: StatusCode::OK,
            content_type: metrics::CONTENT_TYPE,
            allow: None,
            text: self.settings.borrow().metrics(),
        }
    }
}

impl Service<Request> for Admin {
    type Response = Response;
    type Error = Infallible;
    type Future = Ready<Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, Request { head, .. }: Request) -> Self::Future {
        let answer = self.answer(&head);
        let answer = answer.unwrap_or_else(|error| refused(head.method(), &error));
        // One request for each connection, so that those who only watch hold none.
        ready(Ok(Response {
            closes: true,
            ..answer
        }))
    }
}

fn written(page: Page) -> Response {
    let status = page.status;
    let reason = status.canonical_reason().unwrap_or_default();
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).into_bytes();
    let date = clock::http_date();
    let fields = [
        ("content-type", page.content_type),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("cross-origin-resource-policy", "same-origin"),
        ("date", &date),
    ];
    let allow = page.allow.map(|methods| ("allow", methods));
    for (name, value) in fields.into_iter().chain(allow) {
        push_field(&mut head, name, value.as_bytes());
    }
    Response {
        status: status.as_u16(),
        head,
        length: Announced::Length(page.text.len() as u64),
        body: ResponseBody::Own(Some(Bytes::from(page.text))),
        closes: true,
        flight: None,
    }
}
