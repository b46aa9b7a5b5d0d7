//! The proxy under test, on threads of its own.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use apig_proxy::config::{
    ActivatedSockets, Auth, AuthMode, Config, Environment, Listen, Methods, Route, with_upstream,
};
use apig_proxy::credentials::{self, Credentials, Source, requirements};
use apig_proxy::server::{self, DrainOutcome, Server, SetupError};
use apig_proxy::upstream::Network;
use tokio::sync::oneshot;

use super::{Answer, Client, Exposition, NAME, Upstream, upstream_tls, wait_until};

/// The key of all tests.
pub(crate) fn key() -> Credentials {
    Credentials {
        access_key: "AKTEST0000000000TEST".to_owned(),
        secret_key: "SKTEST-MARKER-0123456789".to_owned().into(),
        security_token: None,
    }
}

/// The same as a temporary one, with this security token.
pub(crate) fn temporary_key(token: &str) -> Credentials {
    Credentials {
        security_token: Some(token.into()),
        ..key()
    }
}

/// The default configuration, with one upstream and any method.
pub(crate) fn config(upstream: &Upstream) -> Config {
    config_to(upstream.address)
}

/// The same with an upstream at this address.
pub(crate) fn config_to(address: SocketAddr) -> Config {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let mut config = with_upstream(&format!("https://{address}")).unwrap();
    config.listen = vec![Listen::Tcp(any)];
    config.admin = Some(Listen::Tcp(any));
    config.methods = Methods::Any;
    config.timeouts.drain_delay = Duration::ZERO;
    config.upstream_tls = upstream_tls();
    config.log.level = tracing::level_filters::LevelFilter::OFF;
    config
}

/// A route to an upstream.
pub(crate) fn route(prefix: &str, upstream: &Upstream, base_path: &str) -> Route {
    route_to(prefix, &format!("{}{base_path}", upstream.address))
}

/// The route to everything, to an upstream that is known by its name.
pub(crate) fn route_by_name(port: u16) -> Route {
    route_to("", &format!("{NAME}:{port}"))
}

fn route_to(prefix: &str, upstream: &str) -> Route {
    let mut config = with_upstream(&format!("https://{upstream}")).unwrap();
    let mut route = config.routes.remove(0);
    route.prefix = prefix.to_owned();
    route
}

/// Binds a proxy whose access key never changes.
fn bind(network: Network, config: &Config, key: &Credentials) -> Result<Server, SetupError> {
    let source = |auth: Auth| {
        let set = &config.credentials[auth.credentials];
        match auth.mode {
            AuthMode::AkSk => Source::fixed(auth, set.label(), key),
            _ => Source::open(auth, set, &Environment::default()).unwrap(),
        }
    };
    let sources = requirements(config).into_iter().map(source).collect();
    Server::bind(network, ActivatedSockets::default(), config, sources)
}

/// A runtime on the current thread.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

/// A running proxy. It is stopped when dropped.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    /// All addresses, of which the first is the one of clients.
    pub(crate) addresses: Vec<SocketAddr>,
    admin: Option<SocketAddr>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<DrainOutcome>>,
}

impl Proxy {
    /// Starts a proxy with the default configuration.
    pub(crate) fn before(upstream: &Upstream) -> Self {
        Self::start(&config(upstream))
    }

    pub(crate) fn start(config: &Config) -> Self {
        Self::start_with(config, &key())
    }

    pub(crate) fn start_with(config: &Config, credentials: &Credentials) -> Self {
        let network = server::network(config).unwrap();
        Self::serve(bind(network, config, credentials).unwrap())
    }

    /// Why a proxy with this configuration does not start.
    pub(crate) fn refuses_to_start(config: &Config) -> String {
        let network = server::network(config).unwrap();
        let error = bind(network, config, &key()).unwrap_err();
        error.to_string()
    }

    /// Starts a proxy in a network of the test's own.
    pub(crate) fn start_in(network: Network, config: &Config) -> Self {
        Self::serve(bind(network, config, &key()).unwrap())
    }

    /// Starts a proxy whose secrets come from where its configuration and the environment say.
    pub(crate) fn start_from(config: &Config, environment: &Environment) -> Self {
        let network = server::network(config).unwrap();
        let open = |auth: Auth| {
            let set = &config.credentials[auth.credentials];
            Source::open(auth, set, environment).unwrap()
        };
        let mut sources: Vec<Source> = requirements(config).into_iter().map(open).collect();
        let started = credentials::start(&mut sources, &network);
        runtime().block_on(started).unwrap();
        let passed = ActivatedSockets::default();
        Self::serve(Server::bind(network, passed, config, sources).unwrap())
    }

    fn serve(server: Server) -> Self {
        let addresses = server.addresses();
        let admin = server.admin_address().and_then(|address| address.address());
        let (stop, stopped) = oneshot::channel();
        let (ready, started) = mpsc::channel();
        let thread = thread::spawn(move || {
            ready.send(()).unwrap();
            let stopped = async {
                let _ = stopped.await;
            };
            runtime().block_on(server.serve(stopped)).unwrap()
        });
        started.recv().unwrap();
        Self {
            address: addresses[0],
            addresses,
            admin,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// Sends one request over a connection of its own and reads the answer.
    pub(crate) fn exchange(&self, request: impl AsRef<[u8]>) -> Answer {
        self.client().send(request).answer()
    }

    /// As [`Self::exchange`], and the answer must be 200.
    #[track_caller]
    pub(crate) fn passes(&self, request: impl AsRef<[u8]>) -> Answer {
        let answer = self.exchange(request);
        answer.assert_status(200);
        answer
    }

    /// Sends a GET of this path over a connection of its own and reads the answer.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.client().get(path)
    }

    /// A connection to the admin listener.
    pub(crate) fn admin(&self) -> Client {
        Client::connect(self.admin.unwrap())
    }

    /// The answer of the admin listener to a GET of this path.
    pub(crate) fn asked(&self, path: &str) -> Answer {
        self.admin().get(path)
    }

    pub(crate) fn wait_until_not_ready(&self) {
        wait_until("it is not ready", || self.asked("/readyz").status == 503);
    }

    /// The metrics, which have to be well-formed.
    pub(crate) fn metrics(&self) -> Exposition {
        Exposition::parse(&self.asked("/metrics").text())
    }

    /// The port of the admin listener.
    pub(crate) fn admin_port(&self) -> u16 {
        self.admin.unwrap().port()
    }

    /// Waits until the proxy stops by itself.
    pub(crate) fn ended_by_itself(mut self) -> DrainOutcome {
        self.thread.take().unwrap().join().unwrap()
    }

    /// Tells the proxy to stop, without waiting for it.
    pub(crate) fn begin_stopping(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Stops the proxy and waits for it.
    pub(crate) fn ended(mut self) -> DrainOutcome {
        self.begin_stopping();
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.begin_stopping();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
