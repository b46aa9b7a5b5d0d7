//! The command line: one file per subcommand, the only code that prints. Data goes to standard
//! output, everything else to standard error.
//!
//! No option takes a secret, because other users of the machine can read command lines.

mod admin_client;
mod caller;
mod check;
mod demo;
mod env;
mod gateway;
pub mod hardening;
mod inspect;
mod load;
mod quit;
mod reload;
mod request_arguments;
mod run;
mod serve;
mod sign;
mod startup_log;
mod usage;
mod verify;
mod wait;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::level_filters::LevelFilter;

use crate::config::{Environment, LogConfig, LogFormat, Problems, time};
use crate::credentials::CredentialsError;
use crate::escape::EscapedLines;
use crate::telemetry::{self, FlushOnDrop};

/// Signs requests for Huawei Cloud API Gateway, so that programs need neither an SDK nor the secret key.
///
/// Send unsigned HTTP to this proxy on localhost; it signs each request with your AK/SK and forwards
/// it to the gateway over TLS.
#[derive(Debug, Parser)]
#[command(name = "apig-proxy", version, args_conflicts_with_subcommands = true)]
#[command(after_help = "Without a command, the proxy is served.\n\n\
    Try it without an account:\n  apig-proxy demo\n\n\
    Your own gateway:\n  apig-proxy --credentials credentials.csv \\\n    \
    --upstream https://<id>.apig.<region>.huaweicloudapis.com")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::ServeArguments,
}

/// A subcommand and its arguments.
#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy (the default).
    Serve(serve::ServeArguments),
    /// Run a program whose requests the proxy signs, with its environment pointing there.
    Run(Box<run::RunArguments>),
    /// Print the same variables for a proxy that runs already: eval "$(apig-proxy env)".
    Env(env::EnvArguments),
    /// Run an embedded gateway and the proxy in front of it, and send requests through both.
    Demo(demo::DemoArguments),
    /// Run the embedded gateway alone: it verifies signatures as API Gateway does.
    Gateway(gateway::GatewayArguments),
    /// Sign one request and print it, without sending it.
    Sign(sign::SignArguments),
    /// Check the signature of a request, and name what differs.
    Verify(verify::VerifyArguments),
    /// Check the configuration, a running proxy, or the connection to the gateway.
    Check(check::CheckArguments),
    /// Show the requests that the inspector of a running proxy keeps, and what became of them.
    Inspect(inspect::InspectArguments),
    /// Make, list and revoke callers, which show a credential of the proxy's own.
    Caller(caller::CallerArguments),
    /// Wait until a proxy is ready, as its admin listener reports.
    Wait(wait::WaitArguments),
    /// Ask a proxy to drain and stop, at its admin listener.
    Quit(quit::QuitArguments),
    /// Print the completion script for a shell.
    Completions {
        /// The shell to complete for.
        shell: clap_complete::Shell,
    },
}

/// The exit code of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Ok,
    /// A failure at run time.
    Failed,
    /// Wrong arguments (`EX_USAGE`).
    Usage,
    /// Wrong configuration or credentials (`EX_CONFIG`).
    Configuration,
    /// The code of the program that `run` started.
    Child(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Ok => 0,
            Exit::Failed => 1,
            Exit::Usage => 64,
            Exit::Configuration => 78,
            Exit::Child(code) => code,
        })
    }
}

/// Why a command failed: the exit code and the message.
#[derive(Debug)]
struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    fn new(exit: Exit, message: impl Display) -> Self {
        Self {
            exit,
            message: message.to_string(),
        }
    }

    fn failed(message: impl Display) -> Self {
        Self::new(Exit::Failed, message)
    }

    fn usage(message: impl Display) -> Self {
        Self::new(Exit::Usage, message)
    }

    fn configuration(message: impl Display) -> Self {
        Self::new(Exit::Configuration, message)
    }

    /// The places that were searched for credentials in vain.
    fn no_credentials(errors: Vec<CredentialsError>) -> Self {
        let problems = errors.into_iter().map(|error| error.into_problem(None));
        Problems(problems.collect()).into()
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::configuration(problems)
    }
}

/// The exit code, or the failure that standard error reports.
type Outcome = Result<Exit, Failure>;

/// The definition of the command line, for man pages.
pub fn command() -> clap::Command {
    Arguments::command()
}

/// Runs the program with these arguments.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => return usage::report(&error).into(),
    };
    let _last_lines = FlushOnDrop;
    let environment = Environment::from_env();
    let outcome = match arguments.command.unwrap_or(Command::Serve(arguments.serve)) {
        Command::Serve(serve) => serve::run(&serve, environment),
        Command::Run(run) => run::run(&run, environment),
        Command::Env(env) => env::run(&env, &environment),
        Command::Demo(demo) => demo::run(&demo, &environment),
        Command::Gateway(gateway) => gateway::run(&gateway, &environment),
        Command::Sign(sign) => sign::run(&sign, &environment),
        Command::Verify(verify) => verify::run(&verify, &environment),
        Command::Check(check) => check::run(&check, &environment),
        Command::Inspect(inspect) => inspect::run(&inspect, &environment),
        Command::Caller(caller) => caller::run(&caller, &environment),
        Command::Wait(wait) => wait::run(&wait, &environment),
        Command::Quit(quit) => quit::run(&quit, &environment),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command(), "apig-proxy", &mut script);
            let script = String::from_utf8_lossy(&script);
            // clap_complete names the program in two ways, so that nothing below it completes.
            let script = script.replace("apig__subcmd__proxy", "apig__proxy");
            print(script.trim_end())
        }
    };
    let exit = outcome.unwrap_or_else(|failure| {
        say(failure.message);
        failure.exit
    });
    exit.into()
}

/// Runs a future on a runtime of its own, which does not wait for hanging name lookups or mounts
/// at its end.
fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::failed(format_args!(
                "cannot start: {error}\nhint: raise the limit of open files (`ulimit -n`)"
            ))
        })?;
    let output = runtime.block_on(future);
    runtime.shutdown_background();
    Ok(output)
}

/// Receives SIGTERM and SIGINT.
#[derive(Debug)]
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    /// Receives signals from now on, in place of their default effect.
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Prints the result of a command. Whoever reads may have seen enough, such as `head`.
fn print(result: impl Display) -> Outcome {
    match writeln!(io::stdout(), "{result}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::failed(
            format_args!("the result cannot be written: {error}"),
        )),
        _ => Ok(Exit::Ok),
    }
}

/// Logs each request on a terminal, for the commands that print no log otherwise.
fn log_requests() -> Result<(), Failure> {
    if !io::stderr().is_terminal() {
        return Ok(());
    }
    let log = LogConfig {
        format: LogFormat::Text,
        level: LevelFilter::INFO,
        access: true,
    };
    telemetry::start_log(&log).map_err(Failure::failed)
}

fn parse_duration(text: &str) -> Result<Duration, &'static str> {
    time(text).ok_or("expected a time in ms, s, m, h or d, like `30s` or `90d`")
}

fn say(message: impl Display) {
    telemetry::print(&format!("apig-proxy: {}\n", EscapedLines(message)));
}
