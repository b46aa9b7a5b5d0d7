//! The admin listener: health and metrics, served by the thread that accepts, at an address of
//! their own.
//!
//! | path | 200 | 503 |
//! |---|---|---|
//! | `/livez` | the process serves | |
//! | `/readyz` | requests are served: it listens and has the credentials that they need | a stop was requested, or a key or token is missing or has expired |
//! | `/startupz` | it has started | |
//! | `/metrics` | the metrics, in the Prometheus text format | |
//!
//! Below `/inspect/` is the inspector, while it is on, for programs of this machine alone. Its
//! responses may stream for as long as their readers like.
//!
//! With `admin_quit = true`, `POST /quitquitquit` stops the proxy as SIGTERM does. It is off by
//! default, because every user of the machine can connect to a loopback port. None of the paths
//! asks the gateway: a gateway that is down is no reason to restart the proxy.
//!
//! # What can go wrong
//!
//! A web page in a browser on this machine could read the responses, so the guard checks every
//! request. If other machines reach the listener, they may read, but only programs of this machine
//! may stop the proxy. Callers may open connections and send nothing: the oldest silent connection
//! is closed when all permits are taken, and each connection ends with its first response.

use std::cell::OnceCell;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION};
use http::request::Parts;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Either;
use hyper::body::{Body, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::spawn_local;
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::SetupError;
use super::accept::{Admission, Command, WorkerHandle, accept};
use super::connection;
use super::registry::{ConnectionLimits, Registry, Shutdown};
use super::sockets::BoundSocket;
use crate::config::{ActivatedSocket, Config, ListenRules};
use crate::error::Error;
use crate::inspect::{self, ApiBody, Inspector};
use crate::proxy::guard::{Guard, Purpose, names_loopback};
use crate::proxy::{CallerConnection, ResponseBody, Settings, own_headers, refused, serialize};
use crate::telemetry::metrics;

/// Connections that are served at once.
const CONNECTIONS: usize = 64;

/// How many of them the inspector may have: slow readers of it leave room for health checks.
const INSPECTOR_CONNECTIONS: usize = CONNECTIONS / 2;

const LIMITS: ConnectionLimits = ConnectionLimits {
    header_read: Duration::from_secs(2),
    keep_alive: Duration::from_secs(2),
    write_idle: Duration::from_secs(10),
    max_header: 16 * 1024,
};

const TEXT: &str = "text/plain; charset=utf-8";

/// The path that stops the proxy.
const QUIT: &str = "/quitquitquit";

/// The response there unless `admin_quit` is set.
pub(crate) const QUIT_IS_OFF: &str = "/quitquitquit is off; set admin_quit = true";

/// Takes the passed socket, or binds the address of `admin`, if there is one.
pub(super) fn bind(
    passed: Option<ActivatedSocket>,
    config: &Config,
) -> Result<Option<BoundSocket>, SetupError> {
    let bind = |listen| BoundSocket::bind(passed, listen, &config.unix_socket, "--admin");
    config.admin.as_ref().map(bind).transpose()
}

/// Serves until dropped. Not ready once `shutdown` has begun, which `POST /quitquitquit` does too.
/// To be called within a [`LocalSet`].
///
/// [`LocalSet`]: tokio::task::LocalSet
pub(super) async fn serve(
    socket: BoundSocket,
    settings: watch::Receiver<Arc<Settings>>,
    inspector: watch::Receiver<Option<Inspector>>,
    shutdown: &Shutdown,
) -> io::Result<Infallible> {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let bare_answers = Rc::new(|error: &Error| serialize(refused("", error)));
    let registry = Registry::new(LIMITS, Arc::clone(&permits), bare_answers, true);
    let (worker, mut commands) = WorkerHandle::new();
    let admission = Admission::new(vec![worker], permits);
    let listening = (socket.open(None)?, ListenRules::default());
    spawn_local(accept(listening, admission, CancellationToken::new()));
    // It answers until the end, so its connections follow no shutdown.
    spawn_local(Rc::clone(&registry).watch(Shutdown::default()));
    let admin = Rc::new(Admin {
        address: socket.address(),
        settings,
        inspector,
        shutdown: shutdown.clone(),
        inspector_permits: Arc::new(Semaphore::new(INSPECTOR_CONNECTIONS)),
    });
    while let Some(command) = commands.recv().await {
        match command {
            Command::Serve(connected, permit) => {
                let (admin, is_local) = (Rc::clone(&admin), connected.0.is_local());
                let make = move |caller| Connection::service(admin, caller, is_local);
                let registry = Rc::clone(&registry);
                spawn_local(connection::serve(connected, permit, registry, make));
            }
            Command::CloseOldestIdle => registry.close_oldest_idle(),
            Command::Reload(..) => {}
        }
    }
    Err(io::ErrorKind::NotConnected.into())
}

/// What all connections to the admin listener share.
struct Admin {
    address: Option<SocketAddr>,
    settings: watch::Receiver<Arc<Settings>>,
    inspector: watch::Receiver<Option<Inspector>>,
    shutdown: Shutdown,
    /// One for each connection that asks the inspector.
    inspector_permits: Arc<Semaphore>,
}

struct Connection {
    admin: Rc<Admin>,
    caller: Rc<CallerConnection>,
    is_local: bool,
    /// Acquired with the first request to the inspector.
    inspector_permit: OnceCell<OwnedSemaphorePermit>,
}

type AdminResponse = Response<Either<ResponseBody, ApiBody>>;

/// The response to a request that passes the guard: status, content type and text.
type Page = (StatusCode, &'static str, String);

fn text(status: StatusCode, text: &str) -> Page {
    (status, TEXT, format!("{text}\n"))
}

impl Connection {
    fn service(
        admin: Rc<Admin>,
        caller: Rc<CallerConnection>,
        is_local: bool,
    ) -> impl Service<Request<Incoming>, Response = AdminResponse, Error = Infallible, Future: 'static>
    {
        let connection = Rc::new(Self {
            admin,
            caller,
            is_local,
            inspector_permit: OnceCell::new(),
        });
        tower::service_fn(move |request| {
            let connection = Rc::clone(&connection);
            async move { Ok(connection.respond(request).await) }
        })
    }

    /// Answers a request. What it does not read of the body is discarded after the response.
    async fn respond(&self, request: Request<Incoming>) -> AdminResponse {
        let (head, mut body) = request.into_parts();
        let inspector = self.inspector(&head);
        let mut response = match (self.check(&head, inspector.is_some()), inspector) {
            (Ok(()), Some(_)) if !self.may_inspect() => {
                inspect::problem::BUSY.response().map(Either::Right)
            }
            (Ok(()), Some(inspector)) => {
                let response = inspector.respond(&head, &mut body).await;
                self.caller.request_is_read.set(body.is_end_stream());
                response.map(Either::Right)
            }
            (Ok(()), None) => self.page(&head).map(Either::Left),
            (Err(error), _) => {
                self.caller.refused();
                refused(head.method.as_str(), &error).map(Either::Left)
            }
        };
        // One request for each connection, so that watchers hold none. HTTP/2 has no such header.
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
        response
    }

    /// Acquires a permit of the inspector, unless the connection has one. Returns false if there is
    /// none left.
    fn may_inspect(&self) -> bool {
        let permits = &self.admin.inspector_permits;
        let acquire = || Arc::clone(permits).try_acquire_owned().ok();
        let held = &self.inspector_permit;
        held.get().is_some() || acquire().is_some_and(|permit| held.set(permit).is_ok())
    }

    /// The inspector, if a program of this machine asks it. For others it does not exist.
    fn inspector(&self, head: &Parts) -> Option<Inspector> {
        let is_asked = self.is_local
            && inspect::takes(head.uri.path())
            && names_loopback(self.caller.listener, head);
        let inspector = is_asked.then(|| self.admin.inspector.borrow().clone())?;
        inspector.filter(Inspector::is_on)
    }

    fn check(&self, head: &Parts, is_inspector: bool) -> Result<(), Error> {
        // `access` may have changed with a reload.
        let settings = self.admin.settings.borrow();
        let guard = Guard::new(&settings.config.access, self.admin.address.as_slice());
        let purpose = match head.uri.path() {
            path if is_inspector && inspect::is_api(path) => Purpose::InspectorApi,
            _ if is_inspector => Purpose::InspectorPage,
            QUIT => Purpose::AdminAction,
            _ => Purpose::AdminRead,
        };
        guard.check(purpose, self.caller.listener, head).map(drop)
    }

    fn page(&self, head: &Parts) -> Response<ResponseBody> {
        let settings = self.admin.settings.borrow();
        let path = head.uri.path();
        let methods = if path == QUIT { "POST" } else { "GET, HEAD" };
        let is_allowed = methods.split(", ").any(|method| head.method == method);
        let (status, content_type, text) = match path {
            QUIT if !settings.config.admin_quit => text(StatusCode::NOT_FOUND, QUIT_IS_OFF),
            "/livez" | "/startupz" | "/readyz" | "/metrics" | QUIT if !is_allowed => {
                let methods = format!("use {methods}");
                text(StatusCode::METHOD_NOT_ALLOWED, &methods)
            }
            "/livez" | "/startupz" => text(StatusCode::OK, "ok"),
            "/readyz" => self.admin.readiness(&settings),
            "/metrics" => (StatusCode::OK, metrics::CONTENT_TYPE, settings.metrics()),
            QUIT if !self.is_local => text(
                StatusCode::FORBIDDEN,
                "only programs on the machine of the proxy may stop it; send SIGTERM otherwise",
            ),
            QUIT => {
                self.admin.shutdown.soon.cancel();
                text(StatusCode::OK, "ok")
            }
            _ => text(
                StatusCode::NOT_FOUND,
                "expected /livez, /readyz, /startupz or /metrics",
            ),
        };
        let mut response = Response::new(ResponseBody::whole(Bytes::from(text), None));
        *response.status_mut() = status;
        own_headers(response.headers_mut(), content_type);
        if status == StatusCode::METHOD_NOT_ALLOWED {
            let methods = HeaderValue::from_static(methods);
            response.headers_mut().insert(ALLOW, methods);
        }
        response
    }
}

impl Admin {
    fn readiness(&self, settings: &Settings) -> Page {
        let missing = settings.missing_credentials();
        let reason = match self.shutdown.soon.is_cancelled() {
            true => "stopping: running requests are finished".to_owned(),
            false if missing.is_empty() => return text(StatusCode::OK, "ok"),
            false => format!("no valid credentials: {}", missing.join(", ")),
        };
        text(StatusCode::SERVICE_UNAVAILABLE, &reason)
    }
}
