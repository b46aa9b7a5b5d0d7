//! Health and metrics of the proxy, at an address of their own:
//!
//! | path | 200 | 503 |
//! |---|---|---|
//! | `/livez` | the process serves | |
//! | `/readyz` | requests are served: it listens and has the credentials that they need | a stop was requested, or a key or token is missing or has expired |
//! | `/startupz` | it has started | |
//! | `/metrics` | the metrics, in the Prometheus text format | |
//!
//! and, with `admin_quit = true`, `POST /quitquitquit`, which stops the proxy as SIGTERM does. It is off
//! by default, because every user of the machine can connect to a loopback port.
//!
//! They have an address of their own, so that they take no path of an API, and a busy proxy still answers.
//! None of them asks the gateway: a gateway that is down is no reason to restart the proxy, or to take it
//! out of service when there is no other way to the gateway.
//!
//! # What can go wrong
//!
//! A web page in a browser on this machine could read what is answered here, so the guard checks every
//! request. If the listener is bound to addresses that other machines reach, they may read, but only programs
//! of this machine may stop the proxy: a probe needs no more, and a page that was loaded by an address
//! could post.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tower::Service;

use crate::config::AdminAddress;
use crate::error::Error;
use crate::proxy::guard::{Guard, ListenerKind};
use crate::proxy::{
    BareAnswer, CallerConnection, ResponseBody, Settings, own_headers, refused, serialize,
};
use crate::telemetry::metrics;

const TEXT: &str = "text/plain; charset=utf-8";

/// The path that stops the proxy.
const QUIT: &str = "/quitquitquit";

/// The answer there unless `admin_quit` is set.
pub(crate) const QUIT_IS_OFF: &str = "/quitquitquit is off; set admin_quit = true";

/// The methods of all other paths.
const METHODS: &str = "GET, HEAD";

/// Answers requests to the admin listener.
#[derive(Clone, Debug)]
pub(super) struct Admin {
    address: Arc<AdminAddress>,
    /// The settings of the moment.
    settings: watch::Receiver<Arc<Settings>>,
    stopping: CancellationToken,
    /// Requests a stop.
    quit: CancellationToken,
    peer: Peer,
}

/// Answers the requests of one connection.
#[derive(Clone, Debug)]
pub(super) struct AdminService {
    admin: Admin,
    caller: Rc<CallerConnection>,
}

/// Where a connection to the admin listener comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Peer {
    /// A program of this machine, over a unix socket.
    Unix,
    /// A program of this machine, over TCP.
    Loopback,
    /// Another machine.
    Remote,
}

/// The answer to a request that passes the guard.
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
    /// Answers at this address; not ready once `stopping` is cancelled, and cancels `quit` when a stop is
    /// requested.
    pub(super) fn new(
        address: AdminAddress,
        settings: watch::Receiver<Arc<Settings>>,
        stopping: CancellationToken,
        quit: CancellationToken,
    ) -> Self {
        Self {
            address: Arc::new(address),
            settings,
            stopping,
            quit,
            peer: Peer::Remote,
        }
    }

    /// The same for a connection from this peer.
    pub(super) fn for_peer(&self, peer: Peer) -> Self {
        Self {
            peer,
            ..self.clone()
        }
    }

    /// The service of one connection.
    pub(super) fn for_caller(self, caller: Rc<CallerConnection>) -> AdminService {
        AdminService {
            admin: self,
            caller,
        }
    }

    fn answer(&self, listener: ListenerKind, head: &Parts) -> Result<Page, Error> {
        let path = head.uri.path();
        // `access` may have changed with a reload.
        let guard = Guard::new(
            &self.settings.borrow().access,
            self.address.tcp().as_slice(),
        );
        // Not the token: it is for requests that are signed.
        if path == QUIT {
            guard.check_admin_action(listener, head)?;
        } else {
            guard.check_probe(listener, head)?;
        }
        Ok(self.page(path, &head.method))
    }

    fn page(&self, path: &str, method: &Method) -> Page {
        let page: fn(&Self) -> Page = match path {
            "/livez" | "/startupz" => |_| Page::text(StatusCode::OK, "ok"),
            "/readyz" => Self::readiness,
            "/metrics" => Self::metrics,
            QUIT => return self.quit(method),
            _ => {
                let text = "expected /livez, /readyz, /startupz or /metrics";
                return Page::text(StatusCode::NOT_FOUND, text);
            }
        };
        if [Method::GET, Method::HEAD].contains(method) {
            return page(self);
        }
        Page {
            allow: Some(METHODS),
            ..Page::text(StatusCode::METHOD_NOT_ALLOWED, "ask with GET or HEAD")
        }
    }

    fn quit(&self, method: &Method) -> Page {
        if !self.settings.borrow().admin_quit {
            return Page::text(StatusCode::NOT_FOUND, QUIT_IS_OFF);
        }
        if method != Method::POST {
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

impl Service<Request<Incoming>> for AdminService {
    type Response = Response<ResponseBody>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let (head, body) = request.into_parts();
        // Nothing reads the body, and what is left of it after the answer is discarded.
        drop(body);
        let mut answer = match self.admin.answer(self.caller.listener(), &head) {
            Ok(page) => page.into_response(),
            Err(error) => {
                self.caller.refused();
                refused(head.method.as_str(), &error)
            }
        };
        // One request for each connection, so that watchers hold none. HTTP/2 has no such header.
        let close = HeaderValue::from_static("close");
        answer.headers_mut().insert(CONNECTION, close);
        ready(Ok(answer))
    }
}

impl Page {
    fn into_response(self) -> Response<ResponseBody> {
        let mut response = Response::new(ResponseBody::whole(Bytes::from(self.text), None));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        own_headers(headers, self.content_type);
        if let Some(methods) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(methods));
        }
        response
    }
}

/// A whole HTTP/1.1 answer to what hyper could not read as a request. It is logged and not counted, as it is
/// no request to the proxy.
pub(super) fn bare_answer(answer: BareAnswer) -> Bytes {
    let error = match answer {
        BareAnswer::BadRequest => Error::BadRequest("the admin listener expected HTTP"),
        BareAnswer::TlsOnPlainPort => Error::BadRequest(
            "this is TLS, and the admin listener has none; write http:// instead of https://",
        ),
        BareAnswer::TargetTooLong => Error::TargetTooLong,
        BareAnswer::HeaderTooLarge => Error::HeaderTooLarge,
    };
    serialize(refused("", &error))
}
