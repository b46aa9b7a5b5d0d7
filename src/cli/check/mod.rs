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
    Config(ServeArguments),
    /// The liveness of a running proxy, from its admin listener.
    Live(AdminArguments),
    /// The readiness of a running proxy, from its admin listener.
    Ready(AdminArguments),
    /// Each step of the connection to the gateway: DNS, TCP, TLS, clock, and one signed request.
    Upstream(upstream::UpstreamArguments),
}

/// Runs the check of the subject.
pub(super) fn run(arguments: &CheckArguments, environment: &Environment) -> Outcome {
    match &arguments.subject {
        Subject::Config(serve) => check_config(serve, environment),
        Subject::Live(admin) => check_running(admin, AdminRequest::Live, environment),
        Subject::Ready(admin) => check_running(admin, AdminRequest::Ready, environment),
        Subject::Upstream(arguments) => upstream::run(arguments, environment),
    }
}

/// Loads everything that a start loads, and prints where it came from.
fn check_config(serve: &ServeArguments, environment: &Environment) -> Outcome {
    let (loaded, sources) =
        load(&serve.overrides(), environment).map_err(Failure::configuration)?;
    TlsSettings::new(&loaded.config.upstream_tls).map_err(Failure::configuration)?;
    if let Some(files) = &loaded.config.tls {
        server_tls(files).map_err(Failure::configuration)?;
    }
    for warning in &loaded.warnings {
        say(format_args!("warning: {warning}"));
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
