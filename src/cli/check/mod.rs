//! `apig-proxy check`: checks the configuration, a running proxy, or the connection to the gateway.

mod upstream;

use std::fmt;

use clap::{Args, Subcommand};

use super::admin_client::{AdminArguments, LIVE, READY, ask};
use super::load::load;
use super::serve::ServeArguments;
use super::{Failure, Outcome, print, say};
use crate::config::Environment;
use crate::credentials::Source;
use crate::error::Error;
use crate::escape::Escaped;
use crate::server::server_tls;
use crate::upstream::TlsSettings;

#[derive(Debug, Args)]
pub(super) struct CheckArguments {
    #[command(subcommand)]
    subject: Subject,
}

/// What is checked.
#[derive(Debug, Subcommand)]
enum Subject {
    /// The configuration and credentials: all problems at once, as `serve` would report them.
    Config(ConfigArguments),
    /// The liveness of a running proxy, from its admin listener.
    Live(AdminArguments),
    /// The readiness of a running proxy, from its admin listener.
    Ready(AdminArguments),
    /// Each step of the connection to the gateway: DNS, TCP, TLS, clock, and one signed request.
    Upstream(upstream::UpstreamArguments),
}

/// Options of `check config`.
#[derive(Debug, Args)]
struct ConfigArguments {
    #[command(flatten)]
    serve: ServeArguments,
    /// Print the value of every key as a configuration file, with the place that sets it.
    #[arg(long)]
    print: bool,
}

/// The result of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Ok,
    /// Passed or unknown, with a remark.
    Note,
    Failed,
}

#[derive(Debug)]
struct Step {
    name: &'static str,
    status: Status,
    text: String,
}

impl Step {
    fn new(name: &'static str, status: Status, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { name, status, text }
    }

    fn failed(name: &'static str, error: &Error) -> Self {
        let mut text = error.to_string();
        let cause = error.cause();
        if !cause.is_empty() {
            let end = text.find("\nhint: ").unwrap_or(text.len());
            text.insert_str(end, &format!(" ({cause})"));
        }
        Self::new(name, Status::Failed, text)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let status = match self.status {
            Status::Ok => "ok",
            Status::Note => "note",
            Status::Failed => "FAILED",
        };
        // Errors quote the peer.
        let text = Escaped(self.text.replace("\nhint: ", "; hint: "));
        write!(f, "  {:<8} {status:<7} {text}", self.name)
    }
}

pub(super) fn run(arguments: &CheckArguments, environment: &Environment) -> Outcome {
    match &arguments.subject {
        Subject::Config(arguments) => check_config(arguments, environment),
        Subject::Live(admin) => check_running(admin, "live", LIVE, environment),
        Subject::Ready(admin) => check_running(admin, "ready", READY, environment),
        Subject::Upstream(arguments) => upstream::run(arguments, environment),
    }
}

/// Loads everything that a start loads, and prints where it came from.
fn check_config(arguments: &ConfigArguments, environment: &Environment) -> Outcome {
    let (loaded, sources) = load(&arguments.serve.overrides(), environment)?;
    TlsSettings::new(&loaded.config.upstream_tls).map_err(Failure::configuration)?;
    if let Some(files) = &loaded.config.tls {
        server_tls(files).map_err(Failure::configuration)?;
    }
    for warning in &loaded.warnings {
        say(format_args!("warning: {warning}"));
    }
    if arguments.print {
        if loaded.memory.is_some() {
            let limits = &loaded.config.limits;
            let (buffered, connections) = (limits.buffered, limits.connections);
            say(format_args!(
                "warning: the memory of this process allows only limits.buffered = {buffered} and limits.connections = {connections}"
            ));
        }
        return print(loaded.settings.to_string().trim_end());
    }
    let file = loaded.file.map(|file| file.display().to_string());
    let sources: Vec<String> = sources.iter().map(Source::describe).collect();
    print(format_args!(
        "configuration is in order ({}; {})",
        Escaped(file.as_deref().unwrap_or("no file")),
        Escaped(sources.join(", "))
    ))
}

/// Asks a running proxy, and prints its state.
fn check_running(
    admin: &AdminArguments,
    state: &str,
    path: &str,
    environment: &Environment,
) -> Outcome {
    let address = admin.address(environment)?;
    ask(path, &address)?.map_err(|error| Failure::failed(format_args!("not {state}: {error}")))?;
    print(state)
}
