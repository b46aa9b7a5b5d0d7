//! The proxy under test, on threads of its own.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use apig_proxy::config::Environment;
use apig_proxy::config::{
    Access, ActivatedSockets, Auth, ClockConfig, Config, CredentialsConfig, LargeBody, Limits,
    Listen, LogConfig, LogFormat, MediaRange, Methods, PoolConfig, Route, Scheme, SigningConfig,
    Timeouts, UnixSocketConfig, UpstreamUrl,
};
use apig_proxy::credentials::{self, Credentials, Kind, Requirement, Source, requirements};
use apig_proxy::server::{self, DrainOutcome, Server, SetupError};
use apig_proxy::upstream::Network;
use http::HeaderValue;
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

/// The default configuration, with one upstream and any method.
pub(crate) fn config(upstream: &Upstream) -> Config {
    config_to(upstream.address)
}

/// The same with an upstream at this address.
pub(crate) fn config_to(address: SocketAddr) -> Config {
    Config {
        listen: vec![Listen::Tcp("127.0.0.1:0".parse().unwrap())],
        unix_socket: UnixSocketConfig {
            mode: 0o600,
            owner: None,
            group: None,
            allowed_uids: Vec::new(),
        },
        tls: None,
        admin: Some("127.0.0.1:0".parse().unwrap()),
        admin_quit: false,
        routes: vec![route_to("", address, "")],
        methods: Methods::Any,
        credentials: vec![CredentialsConfig::default()],
        signing: SigningConfig {
            unsigned: vec![MediaRange::Type("multipart".to_owned())],
        },
        limits: Limits {
            body: 12 << 20,
            large_body: 1 << 30,
            buffered: 256 << 20,
            connections: 4096,
            header: 64 << 10,
            answer_header: 256 << 10,
        },
        timeouts: Timeouts {
            connect: Duration::from_secs(5),
            header_read: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            body_idle: Duration::from_secs(30),
            response: Duration::from_secs(300),
            idle: Duration::from_secs(300),
            drain_delay: Duration::ZERO,
            shutdown: Duration::from_secs(30),
        },
        pool: PoolConfig {
            connections: 1024,
            idle: Duration::from_secs(50),
            age: Duration::from_secs(600),
            http2: true,
        },
        access: Access::default(),
        upstream_tls: upstream_tls(),
        clock: ClockConfig { correct: true },
        log: LogConfig {
            format: LogFormat::Text,
            level: tracing::level_filters::LevelFilter::OFF,
            access: true,
        },
    }
}

/// A route to an upstream.
pub(crate) fn route(prefix: &str, upstream: &Upstream, base_path: &str) -> Route {
    route_to(prefix, upstream.address, base_path)
}

fn route_to(prefix: &str, address: SocketAddr, base_path: &str) -> Route {
    let upstream = UpstreamUrl {
        scheme: Scheme::Https,
        host: address.ip().to_string(),
        port: address.port(),
        authority: HeaderValue::from_str(&address.to_string()).unwrap(),
        base_path: base_path.to_owned(),
    };
    Route {
        prefix: prefix.to_owned(),
        upstream,
        stage: HeaderValue::from_static("RELEASE"),
        methods: None,
        paths: None,
        egress: None,
        auth: Auth::default(),
        large_body: LargeBody::Reject,
    }
}

/// The route to everything, to an upstream that is known by its name.
pub(crate) fn route_by_name(port: u16) -> Route {
    let mut route = route_to("", ([127, 0, 0, 1], port).into(), "");
    route.upstream.host = NAME.to_owned();
    route.upstream.authority = HeaderValue::from_str(&format!("{NAME}:{port}")).unwrap();
    route
}

/// Binds a proxy whose access key never changes.
fn bind(network: Network, config: &Config, key: &Credentials) -> Result<Server, SetupError> {
    let source = |requirement: Requirement| {
        let set = &config.credentials[requirement.set];
        match requirement.kind {
            Kind::Key => Source::fixed(requirement, set.label(), key),
            _ => Source::open(requirement, set, &Environment::default()).unwrap(),
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
        let open = |requirement: Requirement| {
            Source::open(
                requirement,
                &config.credentials[requirement.set],
                environment,
            )
            .unwrap()
        };
        let mut sources: Vec<Source> = requirements(config).into_iter().map(open).collect();
        let started = credentials::start(&mut sources, &network, environment);
        runtime().block_on(started).unwrap();
        let passed = ActivatedSockets::default();
        Self::serve(Server::bind(network, passed, config, sources).unwrap())
    }

    fn serve(server: Server) -> Self {
        let addresses = server.addresses();
        let admin = server.admin_address().and_then(|address| address.tcp());
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

    /// Sends a GET of this path over a connection of its own and reads the answer.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.client().get(path)
    }

    /// A connection to the admin listener.
    pub(crate) fn admin(&self) -> Client {
        Client::connect(self.admin.unwrap())
    }

    /// What the admin listener answers to a GET of this path.
    pub(crate) fn asked(&self, path: &str) -> Answer {
        self.admin().get(path)
    }

    pub(crate) fn wait_until_not_ready(&self) {
        wait_until("it is not ready", || self.asked("/readyz").status == 503);
    }

    /// The metrics, which have to be well-formed.
    pub(crate) fn metrics(&self) -> Exposition {
        let answer = self.asked("/metrics");
        assert_eq!(answer.status, 200, "{}", answer.text());
        Exposition::parse(&answer.text())
    }

    /// The port of the admin listener.
    pub(crate) fn admin_port(&self) -> u16 {
        self.admin.unwrap().port()
    }

    /// Waits for the end, which somebody else has asked for.
    pub(crate) fn ended_by_itself(mut self) -> DrainOutcome {
        let ended = self.thread.take().unwrap().join().unwrap();
        self.stop = None;
        ended
    }

    /// Tells the proxy to stop, without waiting for it.
    pub(crate) fn begin_stopping(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    /// Waits for the end.
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
