//! `apig-proxy check`: checks the configuration, a running proxy, or the connection to the gateway.

mod probe;
mod step;
mod upstream;

use clap::{Args, Subcommand};

use super::admin_client::{AdminArguments, AdminRequest, MAX_TIMEOUT};
use super::load::load;
use super::serve::ServeArguments;
use super::{Failure, Outcome, print, say};
use crate::config::Environment;
use crate::credentials::Source;
use crate::escape::Escaped;
use crate::server::server_tls;
use crate::upstream::TlsSettings;

/// Arguments of `check`.
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

/// Runs the check of the subject.
pub(super) fn run(arguments: &CheckArguments, environment: &Environment) -> Outcome {
    match &arguments.subject {
        Subject::Config(arguments) => check_config(arguments, environment),
        Subject::Live(admin) => check_running(admin, AdminRequest::Live, environment),
        Subject::Ready(admin) => check_running(admin, AdminRequest::Ready, environment),
        Subject::Upstream(arguments) => upstream::run(arguments, environment),
    }
}

/// Loads everything that a start loads, and prints where it came from.
fn check_config(arguments: &ConfigArguments, environment: &Environment) -> Outcome {
    let loaded = load(&arguments.serve.overrides(), environment);
    let (loaded, sources) = loaded.map_err(Failure::configuration)?;
    TlsSettings::new(&loaded.config.upstream_tls).map_err(Failure::configuration)?;
    if let Some(files) = &loaded.config.tls {
        server_tls(files).map_err(Failure::configuration)?;
    }
    for warning in &loaded.warnings {
        say(format_args!("warning: {warning}"));
    }
    if arguments.print {
        let limits = &loaded.config.limits;
        if loaded.memory.is_some() {
            say(format_args!(
                "warning: the memory of this process allows only limits.buffered = {} and limits.connections = {}",
                limits.buffered, limits.connections
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
    request: AdminRequest,
    environment: &Environment,
) -> Outcome {
    let address = admin.address(environment)?;
    request
        .send(&address, MAX_TIMEOUT)
        .map_err(|error| Failure::failed(format_args!("not {request}: {error}")))?;
    print(request)
}
