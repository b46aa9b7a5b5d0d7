//! `apig-proxy [serve]`: runs the proxy.

use std::io;
use std::path::PathBuf;

use clap::Args;

use super::announce::{admin_endpoint, announce, announce_addresses, who};
use super::load::load;
use super::reload::Reloading;
use super::signals::{Hangups, Signals};
use super::{Exit, fail};
use crate::config::{ActivatedSockets, Environment, Loaded, Overrides, Problems};
use crate::credentials::{self, CredentialsError, Supply};
use crate::server::{DrainOutcome, Server, SetupError, Supervisor, network};
use crate::telemetry;
use crate::upstream::Network;

/// Options of `serve`. Each overrides the key of the configuration that it names.
#[derive(Clone, Debug, Default, Args)]
pub struct ServeArguments {
    /// Configuration file [default: ./apig-proxy.toml and others, see the README].
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Address to accept requests on, or unix:/path; may be given several times [default: 127.0.0.1:8080].
    #[arg(long, value_name = "ADDR")]
    pub listen: Vec<String>,
    /// Where requests go: the address of the gateway, with scheme and host.
    #[arg(long, value_name = "URL")]
    pub upstream: Option<String>,
    /// File with the access key, like the credentials.csv of the console.
    #[arg(long, value_name = "FILE")]
    pub credentials: Option<String>,
    /// Environment of the API, sent as x-stage [default: RELEASE].
    #[arg(long, value_name = "NAME")]
    pub stage: Option<String>,
    /// Address of health and metrics, unix:/path, or "off" [default: 127.0.0.1:8081].
    #[arg(long, value_name = "ADDR")]
    pub admin: Option<String>,
    /// Shape of log lines: text or json [default: text].
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// Least severe level that is logged: error, warn, info, debug or trace [default: info].
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,
}

impl ServeArguments {
    /// The options as overrides of the configuration.
    #[must_use]
    pub fn overrides(&self) -> Overrides {
        Overrides::new(self.config.clone())
            .list("listen", "--listen", &self.listen)
            .text("upstream", "--upstream", self.upstream.as_deref())
            .text(
                "credentials.file",
                "--credentials",
                self.credentials.as_deref(),
            )
            .text("stage", "--stage", self.stage.as_deref())
            .text("admin", "--admin", self.admin.as_deref())
            .text("log.format", "--log-format", self.log_format.as_deref())
            .text("log.level", "--log-level", self.log_level.as_deref())
    }
}

/// Runs the proxy until it is told to stop.
#[must_use]
pub fn run(arguments: &ServeArguments, environment: Environment) -> Exit {
    // First of all: sockets have to be taken before there are threads.
    let passed = match ActivatedSockets::from_env(&environment) {
        Ok(passed) => passed,
        Err(error) => return fail(Exit::Configuration, error),
    };
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(Exit::Failed, format_args!("cannot start: {error}")),
    };
    let exit = runtime.block_on(async {
        // Before anything that takes time: the first process of a container ends by no signal that it does not
        // take.
        let Ok(mut signals) = Taken::new() else {
            return fail(
                Exit::Failed,
                "cannot listen for signals; the system has no descriptors left",
            );
        };
        match prepare(arguments, environment, passed, &mut signals.first).await {
            Ok(prepared) => serve(prepared, signals).await,
            Err(exit) => exit,
        }
    });
    // What hangs, like a name lookup or a mount, must not hold up the end.
    runtime.shutdown_background();
    exit
}

/// The signals that a proxy takes.
struct Taken {
    /// For the first one that asks to stop, and for the one that comes after it.
    first: Signals,
    second: Signals,
    hangups: Hangups,
}

impl Taken {
    fn new() -> io::Result<Self> {
        Ok(Self {
            first: Signals::new()?,
            second: Signals::new()?,
            hangups: Hangups::new()?,
        })
    }
}

/// A proxy that is ready to serve.
struct Prepared {
    server: Server,
    /// What to say of the admin listener.
    admin: Option<String>,
    /// What to say of its addresses once it can be told to stop.
    listening: Vec<String>,
    reloading: Reloading,
}

/// Everything before the first request. What held secrets is gone afterwards, but for the server's key.
async fn prepare(
    arguments: &ServeArguments,
    environment: Environment,
    passed: ActivatedSockets,
    stop: &mut Signals,
) -> Result<Prepared, Exit> {
    let supervisor =
        Supervisor::from_env(&environment).map_err(|error| {
            let text = format!("the socket of NOTIFY_SOCKET cannot be used: {error}; unset it, or start the program by what listens there");
            fail(Exit::Configuration, text)
        })?;
    let addresses = passed.addresses();
    let addresses = addresses.map_err(|error| {
        fail(
            Exit::Failed,
            SetupError::System("a socket of LISTEN_FDS cannot be used", error),
        )
    })?;
    let overrides = arguments.overrides().activated(addresses);
    let (loaded, mut supplies) =
        load(&overrides, &environment).map_err(|problems| fail(Exit::Configuration, problems))?;
    telemetry::start_log(&loaded.config.log).map_err(|error| fail(Exit::Failed, error))?;
    let network = network(&loaded.config).map_err(|error| fail(Exit::Configuration, error))?;
    tokio::select! {
        started = credentials::start(&mut supplies, &network, &environment) => {
            started.map_err(nothing_found)?;
        }
        () = stop.next() => {
            tracing::info!("stopped before the start was complete: a service for keys or tokens had not answered yet");
            return Err(Exit::Ok);
        }
    }
    announce(&loaded);
    drop(environment);
    let server = bind(&loaded, &supplies, passed, &network)?;
    let admin = server.admin_address();
    let admin = admin.map(|address| admin_endpoint(&address, &loaded.config.unix_socket));
    let endpoints = loaded.config.listen.iter().zip(server.endpoints());
    let listening = endpoints
        .map(|(listen, endpoint)| format!("{endpoint} for {}", who(listen, &loaded.config)))
        .collect();
    let Loaded {
        config, settings, ..
    } = loaded;
    Ok(Prepared {
        server: server.supervised_by(supervisor.clone()),
        admin,
        listening,
        reloading: Reloading {
            overrides,
            config,
            settings,
            supplies,
            network,
            supervisor,
        },
    })
}

/// Binds the addresses, or takes the sockets that were passed.
fn bind(
    loaded: &Loaded,
    supplies: &[Supply],
    passed: ActivatedSockets,
    network: &Network,
) -> Result<Server, Exit> {
    let server = Server::bind(network.clone(), passed, &loaded.config, supplies.to_vec());
    server.map_err(|error| match error {
        SetupError::Bind(_) | SetupError::System(..) => fail(Exit::Failed, error),
        SetupError::Tls(_) | SetupError::ServerTls(_) => fail(Exit::Configuration, error),
    })
}

/// Asks the services that give keys and tokens, each once.
pub(super) fn start_supplies(
    supplies: &mut [Supply],
    network: &Network,
    environment: &Environment,
) -> Result<(), Exit> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| fail(Exit::Failed, format_args!("cannot start: {error}")))?;
    let started = runtime.block_on(credentials::start(supplies, network, environment));
    // A name lookup that hangs must not hold up the start.
    runtime.shutdown_background();
    started.map_err(nothing_found)
}

/// Says where keys were looked for in vain.
fn nothing_found(errors: Vec<CredentialsError>) -> Exit {
    let problems = errors.into_iter().map(|error| error.into_problem(None));
    fail(Exit::Configuration, Problems(problems.collect()))
}

/// Serves until a signal, then drains; a second signal ends at once.
async fn serve(prepared: Prepared, signals: Taken) -> Exit {
    let Prepared {
        server,
        admin,
        listening,
        reloading,
    } = prepared;
    let Taken {
        mut first,
        mut second,
        hangups,
    } = signals;
    let reloads = reloading.run(hangups, server.reloader());
    // Whoever reads this may send a signal at once.
    announce_addresses(admin.as_deref(), &listening);
    let stop = async {
        first.next().await;
        tracing::info!(
            "stopping: running requests are finished, and soon no new ones are accepted"
        );
    };
    let again = async {
        second.next().await;
        second.next().await;
    };
    tokio::select! {
        ended = server.serve(stop) => match ended {
            Ok(DrainOutcome::Drained) => Exit::Ok,
            Ok(DrainOutcome::CutOff) => {
                tracing::warn!("requests were cut off: they did not finish within timeouts.shutdown");
                Exit::Failed
            }
            Err(error) => fail(Exit::Failed, error),
        },
        () = reloads => Exit::Failed,
        () = again => {
            tracing::warn!("stopped at once by a second signal");
            Exit::Failed
        }
    }
}
