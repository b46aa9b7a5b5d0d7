//! `apig-proxy [serve]`: runs the proxy until a signal stops it.

use std::io;
use std::path::PathBuf;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::load::load;
use super::reload::{Applied, Reloading};
use super::startup_log::{admin_endpoint, callers, log_configuration};
use super::{Exit, Failure, Outcome, StopSignals, block_on};
use crate::config::{ActivatedSockets, Environment, Loaded, Overrides};
use crate::credentials;
use crate::inspect::token;
use crate::server::{DrainOutcome, Server, SetupError, Supervisor, network};
use crate::telemetry;

/// Options of `serve`. Each overrides the key of the configuration that it names.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct ServeArguments {
    /// Configuration file [default: ./apig-proxy.toml and others, see the README] [env: APIG_PROXY_CONFIG].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to accept requests on, or unix:/path; may be given several times [default: 127.0.0.1:8080
    /// and [::1]:8080] [env: APIG_PROXY_LISTEN].
    #[arg(long, value_name = "ADDR")]
    pub(super) listen: Vec<String>,
    /// URL of the gateway, with an optional base path [env: APIG_PROXY_UPSTREAM].
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// File with the access key, like the credentials.csv of the console [env: APIG_PROXY_CREDENTIALS__FILE].
    #[arg(long, value_name = "FILE")]
    credentials: Option<String>,
    /// Environment of the API, sent as x-stage [default: RELEASE] [env: APIG_PROXY_STAGE].
    #[arg(long, value_name = "NAME")]
    stage: Option<String>,
    /// Address of health and metrics, unix:/path, or "off" [default: 127.0.0.1:8081] [env: APIG_PROXY_ADMIN].
    #[arg(long, value_name = "ADDR")]
    pub(super) admin: Option<String>,
    /// Format of log lines: text or json [default: text] [env: APIG_PROXY_LOG__FORMAT].
    #[arg(long, value_name = "FORMAT", ignore_case = true, hide_possible_values = true, value_parser = ["text", "json"])]
    log_format: Option<String>,
    /// Least severe level that is logged: error, warn, info, debug or trace [default: info]
    /// [env: APIG_PROXY_LOG__LEVEL].
    #[arg(long, value_name = "LEVEL", ignore_case = true, hide_possible_values = true,
          value_parser = ["error", "warn", "info", "debug", "trace", "off"])]
    log_level: Option<String>,
    /// Keep the last requests and show them at /inspect/ of the admin listener [env: APIG_PROXY_INSPECT__ENABLED].
    #[arg(long)]
    inspect: bool,
}

impl ServeArguments {
    /// The options as overrides of the configuration.
    pub(super) fn overrides(&self) -> Overrides {
        let overrides =
            Overrides::new(self.config.clone()).list("listen", "--listen", &self.listen);
        let inspect = self.inspect.then(|| "true".to_owned());
        [
            ("upstream", "--upstream", &self.upstream),
            ("credentials.file", "--credentials", &self.credentials),
            ("stage", "--stage", &self.stage),
            ("admin", "--admin", &self.admin),
            ("log.format", "--log-format", &self.log_format),
            ("log.level", "--log-level", &self.log_level),
            ("inspect.enabled", "--inspect", &inspect),
        ]
        .into_iter()
        .fold(overrides, |overrides, (key, option, value)| {
            overrides.text(key, option, value.as_deref())
        })
    }
}

/// Runs the proxy until it is told to stop.
pub(super) fn run(arguments: &ServeArguments, environment: Environment) -> Outcome {
    // First of all: sockets have to be taken before there are threads.
    let passed = ActivatedSockets::from_env(&environment).map_err(Failure::configuration)?;
    block_on(start(arguments, environment, passed))?
}

async fn start(
    arguments: &ServeArguments,
    environment: Environment,
    passed: ActivatedSockets,
) -> Outcome {
    // Before anything that takes time: PID 1 of a container ignores signals that it does not handle.
    let mut stop = StopSignals::new().map_err(|error| no_signals(&error))?;
    let hangups = signal(SignalKind::hangup()).map_err(|error| no_signals(&error))?;
    let supervisor = supervisor(&environment)?;
    let overrides = arguments.overrides().activated(&passed);
    let (loaded, mut sources) = load(&overrides, &environment)?;
    telemetry::start_log(&loaded.config.log).map_err(Failure::failed)?;
    let network = network(&loaded.config).map_err(Failure::configuration)?;
    tokio::select! {
        started = credentials::start(&mut sources, &network) => {
            started.map_err(Failure::no_credentials)?;
        }
        () = stop.recv() => {
            tracing::info!("stopped before the start was complete: a service for keys or tokens had not answered yet");
            return Ok(Exit::Ok);
        }
    }
    let folder = token::folder(&environment);
    // It holds secrets that are not needed any more.
    drop(environment);
    log_configuration(&loaded);
    let server = Server::bind(network.clone(), passed, &loaded.config, sources.clone());
    let mut server = server.map_err(not_bound)?.with_token_in(folder);
    log_endpoints(&server, &loaded);
    let reloading = Reloading {
        overrides,
        supervisor: supervisor.clone(),
        started: loaded.settings.clone(),
        current: Applied {
            loaded,
            sources,
            network,
        },
    };
    server.supervisor = supervisor;
    serve(server, reloading, stop, hangups).await
}

fn supervisor(environment: &Environment) -> Result<Supervisor, Failure> {
    Supervisor::from_env(environment).map_err(|error| {
        Failure::configuration(format_args!(
            "the socket of NOTIFY_SOCKET cannot be used: {error}\nhint: unset it, or let the service manager that listens there start the program"
        ))
    })
}

pub(super) fn no_signals(error: &io::Error) -> Failure {
    Failure::failed(format_args!(
        "cannot listen for signals: {error}\nhint: raise the limit of open files (`ulimit -n`)"
    ))
}

pub(super) fn not_bound(error: SetupError) -> Failure {
    match error {
        SetupError::Bind(_) | SetupError::System(..) => Failure::failed(error),
        SetupError::Tls(_) | SetupError::ServerTls(_) => Failure::configuration(error),
    }
}

/// Logs the listeners. Signals are handled already: whoever reads these lines may send one at once.
pub(super) fn log_endpoints(server: &Server, loaded: &Loaded) {
    let config = &loaded.config;
    if let Some(admin) = server.admin_address() {
        let endpoint = admin_endpoint(&admin, &config.unix_socket);
        tracing::info!("health and metrics on {endpoint}");
    }
    for (listen, endpoint) in config.listen.iter().zip(server.endpoints()) {
        tracing::info!("listening on {endpoint} for {}", callers(listen, config));
    }
}

/// Serves until a signal, then drains; a second signal ends the program at once.
async fn serve(
    server: Server,
    reloading: Reloading,
    mut signals: StopSignals,
    hangups: Signal,
) -> Outcome {
    let reloads = reloading.run(hangups, server.reloader.clone());
    let (stop, stopped) = oneshot::channel();
    let signals = async {
        signals.recv().await;
        tracing::info!(
            "stopping: running requests are finished, and soon no new ones are accepted"
        );
        // Fails only if the server stops already.
        let _ = stop.send(());
        signals.recv().await;
    };
    let stop = async {
        // The sender is dropped only after the second signal, which ends the program.
        let _ = stopped.await;
    };
    tokio::select! {
        ended = server.serve(stop) => match ended.map_err(Failure::failed)? {
            DrainOutcome::Drained => Ok(Exit::Ok),
            DrainOutcome::CutOff => {
                tracing::warn!("requests were cut off: they did not finish within timeouts.shutdown");
                Ok(Exit::Failed)
            }
        },
        () = reloads => Ok(Exit::Failed),
        () = signals => {
            tracing::warn!("stopped at once by a second signal");
            Ok(Exit::Failed)
        }
    }
}
