//! `apig-proxy check`: says whether something is in order, before it is relied upon.

mod probe;
mod running;
mod upstream;

use std::io::Write;

use clap::{Args, Subcommand};

use super::ask::Question;
use super::load::load;
use super::running::RunningArguments;
use super::serve::ServeArguments;
use super::{Exit, fail, say};
use crate::config::Environment;
use crate::credentials::Supply;
use crate::escape::Escaped;
use crate::server::ServerTls;
use crate::upstream::TlsSettings;

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Configuration and credentials: all problems at once, as `serve` would report them.
    Config(ServeArguments),
    /// Whether a running proxy is alive, as its admin listener says.
    Live(RunningArguments),
    /// Whether a running proxy takes requests, as its admin listener says.
    Ready(RunningArguments),
    /// The way to the gateway: name, connection, TLS, clock, and one signed request.
    Upstream(upstream::UpstreamArguments),
}

/// Checks what is asked for.
#[must_use]
pub fn run(arguments: &CheckArguments, environment: &Environment) -> Exit {
    match &arguments.what {
        What::Config(serve) => check_config(serve, environment),
        What::Live(arguments) => running::run(arguments, Question::Live, environment),
        What::Ready(arguments) => running::run(arguments, Question::Ready, environment),
        What::Upstream(arguments) => upstream::run(arguments, environment),
    }
}

fn check_config(serve: &ServeArguments, environment: &Environment) -> Exit {
    let (loaded, supplies) = match load(&serve.overrides(), environment) {
        Ok(loaded) => loaded,
        Err(problems) => return fail(Exit::Configuration, problems),
    };
    if let Err(error) = TlsSettings::new(&loaded.config.upstream_tls.extra_roots) {
        return fail(Exit::Configuration, error);
    }
    if let Some(files) = &loaded.config.tls
        && let Err(error) = ServerTls::new(files)
    {
        return fail(Exit::Configuration, error);
    }
    for warning in &loaded.warnings {
        say(format_args!("warning: {warning}"));
    }
    let file = loaded
        .file
        .map_or_else(|| "no file".to_owned(), |file| file.display().to_string());
    let supplies = supplies.iter().map(Supply::describe);
    let supplies: Vec<String> = supplies.collect();
    let said = writeln!(
        std::io::stdout(),
        "configuration is in order ({}; {})",
        Escaped(file),
        Escaped(supplies.join(", "))
    );
    if said.is_ok() { Exit::Ok } else { Exit::Failed }
}
