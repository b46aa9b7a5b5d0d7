//! The inspector of the embedded gateway, at an address of its own: what the gateway received, the
//! canonical request that it computed, and why it refused.
//!
//! The gateway only tells what happens. Here that becomes notes of the inspector, without secrets.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use http::{Request, Response, StatusCode};
use http_body_util::Either;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::task::spawn_local;

use super::exchange::RecordedRequest;
use crate::config::{Access, Environment, InspectConfig, Listen, ReplayPolicy};
use crate::credentials::Credentials;
use crate::emulator::{Accounts, Observation, ObservedEvent};
use crate::inspect::program::{Program, Replay};
use crate::inspect::recorder::{Recorder, WorkerRecorder};
use crate::inspect::token::{Token, TokenFile, file_for};
use crate::inspect::{self, ApiBody, Inspector};
use crate::proxy::guard::{Guard, ListenerKind, Purpose, names_loopback};
use crate::proxy::{ResponseBody, refused};

/// Observations that wait to be recorded.
const QUEUE: usize = 1024;

/// Connections that are served at once, and how long the head of a request may take.
const CONNECTIONS: usize = 64;
const HEAD_TIMEOUT: Duration = Duration::from_secs(2);

/// The pause after accepting failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What is kept. Nothing can be sent again: only its caller can sign a request.
const CONFIG: InspectConfig = InspectConfig {
    enabled: true,
    requests: 500,
    memory: 32 << 20,
    bodies: 64 << 10,
    replay: ReplayPolicy::Off,
    reveal: Vec::new(),
    token: None,
};

/// The inspector of a gateway that is about to serve.
pub(super) struct GatewayInspector {
    listener: std::net::TcpListener,
    address: SocketAddr,
    token: Token,
    inspector: Inspector,
    worker: Rc<WorkerRecorder>,
    observations: Receiver<Observation>,
    /// The keys that the gateway accepts, to explain a wrong signature.
    keys: Rc<[Credentials]>,
    /// For `apig-proxy inspect`.
    _file: Option<TokenFile>,
}

impl GatewayInspector {
    /// Binds a free loopback port. The observer is for the gateway at this address.
    pub(super) fn start(
        gateway: SocketAddr,
        accounts: &Accounts,
        environment: &Environment,
    ) -> io::Result<(Self, Sender<Observation>)> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let (recorder, notes) = Recorder::new(CONFIG.bodies, &[]);
        let worker = WorkerRecorder::new(&recorder);
        let program = Arc::new(GatewayProgram {
            url: format!("https://{gateway}"),
        });
        let token = Token::random();
        let inspector = Inspector::start(program, (recorder, notes), &CONFIG, token.clone())?;
        let path = file_for(&Listen::Tcp(address), environment);
        let (observer, observations) = mpsc::channel(QUEUE);
        let inspector = Self {
            listener,
            address,
            inspector,
            worker,
            observations,
            keys: accounts
                .keys
                .iter()
                .chain(&accounts.apps)
                .cloned()
                .collect(),
            // Without it, the page and `--token-file` still work.
            _file: TokenFile::write(&path, &token).ok(),
            token,
        };
        Ok((inspector, observer))
    }

    /// Where it is read, in a browser and in a terminal.
    pub(super) fn announcement(&self) -> String {
        let page = self.token.page(self.address);
        format!(
            "inspector  {}\n           apig-proxy inspect --admin {}\n",
            page.expose_secret(),
            self.address
        )
    }

    /// Records and serves until dropped. To be called within a [`LocalSet`].
    ///
    /// # Errors
    ///
    /// The error of the system for the socket.
    ///
    /// [`LocalSet`]: tokio::task::LocalSet
    pub(super) async fn run(self) -> io::Result<()> {
        let listener = TcpListener::from_std(self.listener)?;
        let page = Rc::new(Page {
            address: self.address,
            inspector: self.inspector,
        });
        tokio::join!(
            accept(listener, &page),
            record(self.observations, &self.worker, &self.keys),
            self.worker.flush_in_time(),
        );
        Ok(())
    }
}

impl fmt::Debug for GatewayInspector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatewayInspector")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// The gateway, as the inspector knows it.
struct GatewayProgram {
    url: String,
}

impl Program for GatewayProgram {
    fn state(&self) -> Value {
        json!({"proxy": self.url, "kind": "gateway", "credentials": [], "upstreams": [], "buffered": 0})
    }

    fn serve(&self, _: UnixStream, _: Replay) -> bool {
        false
    }
}

/// Makes notes of what the gateway tells.
async fn record(
    mut observations: Receiver<Observation>,
    worker: &Rc<WorkerRecorder>,
    keys: &Rc<[Credentials]>,
) {
    let mut exchanges: HashMap<u128, RecordedRequest> = HashMap::new();
    while let Some(Observation { id, event }) = observations.recv().await {
        match event {
            ObservedEvent::Received(head) => {
                exchanges.extend(
                    RecordedRequest::begin(worker, keys, id, *head).map(|exchange| (id, exchange)),
                );
            }
            ObservedEvent::Ended => exchanges
                .remove(&id)
                .into_iter()
                .for_each(RecordedRequest::end),
            event => {
                if let Some(exchange) = exchanges.get_mut(&id) {
                    exchange.add(event);
                }
            }
        }
    }
}

/// Serves the page and the API.
struct Page {
    address: SocketAddr,
    inspector: Inspector,
}

async fn accept(listener: TcpListener, page: &Rc<Page>) {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let permit = Arc::clone(&permits).acquire_owned().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                let page = Rc::clone(page);
                spawn_local(async move {
                    page.serve(stream).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::debug!(%error, "the inspector could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Page {
    async fn serve(&self, stream: TcpStream) {
        let service =
            service_fn(|request| async { Ok::<_, Infallible>(self.respond(request).await) });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            // One request for each connection, so that watchers hold none.
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service);
        if let Err(error) = served.await {
            tracing::debug!(%error, "a connection to the inspector ended early");
        }
    }

    /// Answers a request, for which the rules of the proxy's admin listener hold.
    async fn respond(&self, request: Request<Incoming>) -> Response<Either<ResponseBody, ApiBody>> {
        let (head, mut body) = request.into_parts();
        let (access, kind) = (Access::default(), ListenerKind::Tcp);
        let guard = Guard::new(&access, &[self.address]);
        let purpose = match inspect::is_api(head.uri.path()) {
            true => Purpose::InspectorApi,
            false => Purpose::InspectorPage,
        };
        match guard.check(purpose, kind, &head) {
            Ok(_) if names_loopback(kind, &head) && inspect::takes(head.uri.path()) => self
                .inspector
                .respond(&head, &mut body)
                .await
                .map(Either::Right),
            Ok(_) => {
                let page = ResponseBody::whole("expected /inspect/\n".into(), None);
                let mut response = Response::new(Either::Left(page));
                *response.status_mut() = StatusCode::NOT_FOUND;
                response
            }
            Err(error) => refused(head.method.as_str(), &error).map(Either::Left),
        }
    }
}
