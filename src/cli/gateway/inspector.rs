//! The inspector of the embedded gateway, at an address of its own: what the gateway received, the
//! canonical request that it computed, and why it refused.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::exchange::record;
use crate::config::{self, Access, Environment, Listen, ReplayPolicy};
use crate::emulator::{self, Accounts, Emulator, accept};
use crate::inspect::problem;
use crate::inspect::program::{Program, Replay};
use crate::inspect::recorder::{Recorder, WorkerRecorder};
use crate::inspect::token::{Token, TokenFile, file_for};
use crate::inspect::{self, ApiBody, Inspector};
use crate::proxy::guard::{Guard, ListenerKind, Purpose, names_loopback};
use crate::telemetry;

/// Observations that wait to be recorded.
const QUEUE: usize = 64;

/// Serves a gateway until `stop` resolves, and its inspector on a free loopback port, whose address is
/// printed.
pub(super) async fn serve(
    emulator: Emulator,
    accounts: &Accounts,
    environment: &Environment,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let defaults = config::with_upstream("https://localhost").expect("the URL is valid");
    let mut config = defaults.inspect;
    // Requests cannot be sent again, because only their callers can sign them.
    (config.enabled, config.replay) = (true, ReplayPolicy::Off);
    let (recorder, notes) = Recorder::new(config.bodies, &[]);
    let worker = WorkerRecorder::new(&recorder);
    let program = Arc::new(GatewayProgram(format!("https://{}", emulator.address)));
    let token = Token::random();
    let inspector = Inspector::start(program, (recorder, notes), &config, token.clone())?;
    // For `apig-proxy inspect`. Without it, the page and `--token-file` still work.
    let _file = TokenFile::write(&file_for(&Listen::Tcp(address), environment), &token);
    telemetry::print(&format!(
        "inspector  {}\n           apig-proxy inspect --admin {address}\n",
        token.page(address).expose_secret()
    ));
    // To explain a wrong signature.
    let keys = [&accounts.keys[..], &accounts.apps].concat();
    let (observer, mut observations) = mpsc::channel(QUEUE);
    let recorded = async {
        while let Some(seen) = observations.recv().await {
            record(&worker, &keys, &seen);
        }
    };
    let page = accept(listener, |stream| {
        let inspector = inspector.clone();
        emulator::serve(stream, false, move |request| {
            respond(request, address, inspector.clone())
        })
    });
    tokio::select! {
        served = emulator.with_observer(observer).serve(stop) => served,
        _ = async { tokio::join!(page, recorded, worker.flush_in_time()) } => Ok(()),
    }
}

struct GatewayProgram(String);

impl Program for GatewayProgram {
    fn state(&self) -> Value {
        json!({"proxy": self.0, "kind": "gateway", "credentials": [], "upstreams": [], "buffered": 0})
    }

    fn serve(&self, _: UnixStream, _: Replay) -> bool {
        false
    }
}

/// Answers a request. The rules are those of the proxy's admin listener.
async fn respond(
    request: Request<Incoming>,
    address: SocketAddr,
    inspector: Inspector,
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
        Ok(()) => problem::NO_FILE.response(),
        Err(error) => {
            tracing::warn!(%error, "a request to the inspector was refused");
            problem::FORBIDDEN.response()
        }
    }
}
