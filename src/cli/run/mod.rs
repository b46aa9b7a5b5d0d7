//! `apig-proxy run`: starts the proxy on ports of its own and a program that uses it. The program
//! gets credentials that work there only, and none of the real ones.
//!
//! `endpoints` are the ports, `variables` the environment of the program, `child` its process, and `log`
//! keeps the standard streams free for it.
//!
//! # What can go wrong
//!
//! The proxy may end before the program: its connections are then refused, and nothing goes to the
//! cloud. The program may leave processes behind: the proxy does not wait for them.

mod arguments;
mod child;
mod endpoints;
mod log;
mod variables;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::pin::pin;
use std::process::Command;
use std::time::Duration;

use rustix::stdio::dup2_stdout;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::oneshot;

use super::load::load;
use super::serve;
use super::startup_log::log_configuration;
use super::{Exit, Failure, Outcome, block_on};
use crate::config::{ActivatedSockets, Callers, Environment, IssuedCaller, Loaded, Rights};
use crate::credentials::{self, Secret, Source};
use crate::escape::EscapedLines;
use crate::inspect::token;
use crate::server::{DrainOutcome, Server, network};
pub(super) use arguments::RunArguments;
use child::{Child, Signals};
use endpoints::Endpoints;
use log::HeldLog;
pub(super) use variables::Access;
use variables::{Variables, readable_secrets, secret_variables};

/// The name of the program in the log and the metrics.
const CALLER: &str = "run";

/// Runs the program, and the proxy for as long as that runs.
pub(super) fn run(arguments: &RunArguments, environment: Environment) -> Outcome {
    block_on(Box::pin(async {
        // Before anything that takes time: PID 1 of a container ignores signals that it does not handle.
        let mut signals = Signals::new().map_err(|error| serve::no_signals(&error))?;
        let run = Run::prepare(arguments, &environment)?;
        let log = HeldLog::start(&run.loaded.config.log, arguments.log_file.as_deref())?;
        // From here on the log is not standard error, so failures are printed past it.
        let outcome = run.start(arguments, environment, &mut signals).await;
        log.release();
        Ok(outcome.unwrap_or_else(|failure| {
            print_past_log(&failure.message);
            failure.exit
        }))
    }))?
}

/// Writes a message to standard error itself.
fn print_past_log(message: &str) {
    let line = format!("apig-proxy: {}\n", EscapedLines(message));
    // Nothing can be done about a closed standard error.
    let _ = io::stderr().write_all(line.as_bytes());
}

struct Run {
    loaded: Loaded,
    sources: Vec<Source>,
    endpoints: Endpoints,
    caller: IssuedCaller,
    /// Files with secrets that the program can read.
    readable: Vec<String>,
}

impl Run {
    /// Loads the configuration, and makes ports and credentials for this run.
    fn prepare(arguments: &RunArguments, environment: &Environment) -> Result<Self, Failure> {
        let (mut loaded, sources) = load(&arguments.overrides(environment)?, environment)?;
        let readable = readable_secrets(&loaded.config, environment);
        if arguments.strict && !readable.is_empty() {
            return Err(Failure::configuration(format_args!(
                "the program could read files with secrets: {}\nhint: remove them, or leave `--strict` out",
                readable.join(", ")
            )));
        }
        let config = &mut loaded.config;
        let endpoints = Endpoints::new(config, !arguments.bare)?;
        let (caller, surrogate) = IssuedCaller::new(CALLER, Rights::default());
        if !arguments.bare {
            // Only the program: neither the callers of the file nor those with the token.
            config.callers = Callers::fixed(vec![surrogate]);
            config.access.token = None;
        }
        // Other proxies have the usual port, and the end of the program is the end of this one.
        if arguments.serve.admin.is_none() {
            config.admin = config.admin.as_ref().map(|_| endpoints::free_port());
        }
        config.admin_quit = false;
        config.timeouts.drain_delay = Duration::ZERO;
        Ok(Self {
            loaded,
            sources,
            endpoints,
            caller,
            readable,
        })
    }

    /// Starts proxy and program, and waits for the end of both.
    async fn start(
        mut self,
        arguments: &RunArguments,
        environment: Environment,
        signals: &mut Signals,
    ) -> Outcome {
        let config = &self.loaded.config;
        let network = network(config).map_err(Failure::configuration)?;
        tokio::select! {
            started = credentials::start(&mut self.sources, &network) => {
                started.map_err(Failure::no_credentials)?;
            }
            code = signals.stop() => return Ok(Exit::Child(code)),
        }
        log_configuration(&self.loaded);
        let sockets = ActivatedSockets::default();
        let server = Server::bind(network, sockets, config, self.sources.clone());
        let server = server.map_err(serve::not_bound)?;
        let mut server = server.with_token_in(token::folder(&environment));
        serve::log_endpoints(&server, &self.loaded);
        let access = self.endpoints.access(&server.addresses(), &self.caller);
        let variables = access.variables(&config.run, &environment);
        if arguments.print_env {
            print_variables(&variables)?;
            let stop = async {
                let _ = signals.stop().await;
            };
            report_end(server.serve(stop).await.map_err(Failure::failed)?);
            return Ok(Exit::Ok);
        }
        self.warn(arguments, &environment);
        show_inspector(&mut server);
        let command = self.command(arguments, &environment, variables);
        // It holds secrets that are not needed any more.
        drop(environment);
        serve_program(server, command, signals).await
    }

    /// Says what is not prevented: on a terminal, and in the log.
    fn warn(&self, arguments: &RunArguments, environment: &Environment) {
        let kept = arguments.kept.iter();
        let kept = kept.filter(|name| environment.get(name).is_some());
        let kept = kept.map(|name| format!("`{name}` is kept, and the program can read its value"));
        let mut notice = "not a sandbox: the program can read the files of your user".to_owned();
        if !self.readable.is_empty() {
            notice += &format!(", and these hold secrets: {}", self.readable.join(", "));
        }
        for line in [notice].into_iter().chain(kept) {
            if io::stderr().is_terminal() {
                print_past_log(&line);
            }
            tracing::info!("{line}");
        }
    }

    fn command(
        &self,
        arguments: &RunArguments,
        environment: &Environment,
        variables: Variables,
    ) -> Command {
        let (program, rest) = arguments.command.split_first().expect("clap requires it");
        let mut command = Command::new(program);
        command.args(rest);
        // Whoever keeps a secret key keeps the access key that belongs to it.
        let is_kept = |name: &OsStr| {
            let mut kept = arguments.kept.iter();
            kept.any(|kept| name == &**kept || name == &*kept.replace("SDK_SK", "SDK_AK"))
        };
        for name in secret_variables(environment, &self.secrets()) {
            if !is_kept(name) {
                command.env_remove(name);
            }
        }
        let variables = variables.into_iter();
        command.envs(variables.filter(|(name, _)| !is_kept(name.as_ref())));
        command
    }

    fn secrets(&self) -> Vec<SecretString> {
        let sources = self.sources.iter();
        let leases = sources.filter_map(|source| source.slot().current());
        let secrets = leases.flat_map(|lease| match &lease.secret {
            Secret::Key(key) => [Some(key.secret_key.clone()), key.security_token.clone()],
            Secret::Text(text) => [Some(text.clone()), None],
        });
        secrets.flatten().collect()
    }
}

/// Shows a person the address of the inspector, which is too secret for a log.
fn show_inspector(server: &mut Server) {
    if let Some(page) = server.show_inspector()
        && io::stderr().is_terminal()
    {
        print_past_log(&format!("inspector  {}", page.expose_secret()));
    }
}

/// Prints the variables for `docker run --env-file`, and closes standard output after them, since
/// their reader may wait for its end.
fn print_variables(variables: &Variables) -> Result<(), Failure> {
    let mut lines = String::new();
    for (name, value) in variables {
        // The rest would be another variable.
        if value.contains(['\n', '\r']) {
            return Err(Failure::configuration(format_args!(
                "the value of `{name}` has a line break, which `--print-env` cannot print\nhint: take it out"
            )));
        }
        lines.extend([name, "=", value, "\n"]);
    }
    let mut out = io::stdout();
    let mut print = || {
        out.write_all(lines.as_bytes())?;
        out.flush()?;
        let null = File::options().write(true).open("/dev/null")?;
        io::Result::Ok(dup2_stdout(null)?)
    };
    print()
        .map_err(|error| Failure::failed(format_args!("the variables cannot be written: {error}")))
}

/// Serves until the program has ended, then drains. The exit code is that of the program.
async fn serve_program(server: Server, command: Command, signals: &mut Signals) -> Outcome {
    let program = command.get_program().to_owned();
    let child = Child::start(command).map_err(|(code, error)| {
        let program = program.to_string_lossy();
        let hint = match program.contains(' ') {
            true => "give its arguments as words of their own, or run `sh -c '…'`",
            false => "name a program that exists and may be executed, after `--`",
        };
        let text = format_args!("cannot run `{program}`: {error}\nhint: {hint}");
        Failure::new(Exit::Child(code), text)
    })?;
    let (stop, stopped) = oneshot::channel::<()>();
    let mut serving = pin!(server.serve(async { drop(stopped.await) }));
    let code = {
        let mut ended = pin!(child.ended(signals));
        tokio::select! {
            code = &mut ended => code,
            served = &mut serving => {
                // The program goes on: what it sends from now on is refused.
                ended.await;
                let why = served.map_or_else(|error| error.to_string(), |_| "it stopped".to_owned());
                return Err(Failure::failed(format_args!(
                    "the proxy ended before the program: {why}"
                )));
            }
        }
    };
    drop(stop);
    tokio::select! {
        served = serving => report_end(served.map_err(Failure::failed)?),
        _ = signals.stop() => {}
    }
    Ok(Exit::Child(code))
}

fn report_end(outcome: DrainOutcome) {
    if outcome == DrainOutcome::CutOff {
        tracing::warn!("requests were cut off when the program had ended");
    }
}
