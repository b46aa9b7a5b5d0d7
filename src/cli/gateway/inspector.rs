//! The inspector of the embedded gateway, at an address of its own: what the gateway received, the
//! canonical request that it computed, and why it refused.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::exchange::record;
use crate::config::{Access, Environment, InspectConfig, Listen, ReplayPolicy};
use crate::credentials::Credentials;
use crate::emulator::{Accounts, Observation, accept};
use crate::inspect::program::{Program, Replay};
use crate::inspect::recorder::{Recorder, WorkerRecorder};
use crate::inspect::token::{Token, TokenFile, file_for};
use crate::inspect::{self, ApiBody, Inspector};
use crate::proxy::guard::{Guard, ListenerKind, Purpose, names_loopback};

/// Observations that wait to be recorded.
const QUEUE: usize = 64;

/// How long the head of a request may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(2);

/// What is kept. Requests cannot be sent again, because only their callers can sign them.
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
    keys: Vec<Credentials>,
    /// For `apig-proxy inspect`.
    _file: Option<TokenFile>,
}

impl GatewayInspector {
    /// Binds a free loopback port. The sender takes the observations of the gateway at this address.
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
            keys: [&accounts.keys[..], &accounts.apps].concat(),
            // Without it, the page and `--token-file` still work.
            _file: TokenFile::write(&path, &token).ok(),
            token,
        };
        Ok((inspector, observer))
    }

    /// How to open it in a browser and in a terminal.
    pub(super) fn announcement(&self) -> String {
        let page = self.token.page(self.address);
        format!(
            "inspector  {}\n           apig-proxy inspect --admin {}\n",
            page.expose_secret(),
            self.address
        )
    }

    /// Records and serves until dropped.
    ///
    /// # Errors
    ///
    /// The error of the system for the socket.
    pub(super) async fn run(mut self) -> io::Result<()> {
        let listener = TcpListener::from_std(self.listener)?;
        let (address, inspector) = (self.address, self.inspector);
        let served = accept(listener, |stream| serve(stream, address, inspector.clone()));
        let recorded = async {
            while let Some(seen) = self.observations.recv().await {
                record(&self.worker, &self.keys, seen);
            }
        };
        tokio::join!(served, recorded, self.worker.flush_in_time());
        Ok(())
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

async fn serve(stream: TcpStream, address: SocketAddr, inspector: Inspector) {
    let service = service_fn(|request| async {
        Ok::<_, Infallible>(respond(request, address, &inspector).await)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        // One request for each connection, so that pollers hold none.
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "a connection to the inspector ended early");
    }
}

/// Answers a request. The rules are those of the proxy's admin listener.
async fn respond(
    request: Request<Incoming>,
    address: SocketAddr,
    inspector: &Inspector,
) -> Response<ApiBody> {
    let (head, mut body) = request.into_parts();
    let (path, kind) = (head.uri.path(), ListenerKind::Tcp);
    let purpose = match inspect::is_api(path) {
        true => Purpose::InspectorApi,
        false => Purpose::InspectorPage,
    };
    let (access, addresses) = (Access::default(), [address]);
    let guard = Guard::new(&access, &addresses);
    match guard.check(purpose, kind, &head).map(drop) {
        Ok(()) if names_loopback(kind, &head) && inspect::takes(path) => {
            inspector.respond(&head, &mut body).await
        }
        Ok(()) => inspect::UNKNOWN.response(),
        Err(error) => {
            tracing::warn!(%error, "a request to the inspector was refused");
            inspect::FORBIDDEN.response()
        }
    }
}
