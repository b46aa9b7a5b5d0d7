//! `apig-proxy env`: prints the variables of `run` for a proxy that runs already, for
//! `eval "$(apig-proxy env)"`.
//!
//! What cannot be known is said on standard error: credentials of callers are kept as hashes, and
//! the names of services have to be resolved by the program.

use std::io::{self, Write};
use std::net::SocketAddr;

use clap::Args;

use super::admin_client::{AdminArguments, AdminRequest, MAX_TIMEOUT};
use super::run::Access;
use super::{Exit, Failure, Outcome, say};
use crate::config::{self, Config, Environment, Listen, local_address};

/// Arguments of `env`.
#[derive(Clone, Debug, Args)]
pub(super) struct EnvArguments {
    #[command(flatten)]
    admin: AdminArguments,
}

/// Prints the variables.
pub(super) fn run(arguments: &EnvArguments, environment: &Environment) -> Outcome {
    let admin = arguments.admin.address(environment)?;
    let ready = AdminRequest::Ready.send(&admin, MAX_TIMEOUT);
    ready.map_err(Failure::failed)?;
    let overrides = arguments.admin.overrides();
    let whole = |config: Config| config;
    let listen = config::load_part(&overrides, environment, "listen", whole);
    let listen = listen.map_err(Failure::configuration)?.listen;
    let config = config::load_part(&overrides, environment, "run", whole);
    let config = config.map_err(Failure::configuration)?;
    let (scheme, address) = listen.iter().find_map(known_address).ok_or_else(|| {
        Failure::configuration(
            "`listen` has no TCP address with a known port\nhint: add one, like \"127.0.0.1:8080\"",
        )
    })?;
    let port = address.port();
    let mut services = config.run.services.clone();
    if !services.is_empty() {
        services.push("iam".to_owned());
        say(
            "note: the names below .localhost have to be resolved by the program; `apig-proxy run` needs no names",
        );
    }
    if config.access.token.is_some() {
        say(
            "note: this proxy wants a credential of its callers, which is not printed; `apig-proxy caller new` makes one",
        );
    }
    let url = |service: String| {
        let url = format!("{scheme}://{service}.localhost:{port}");
        (service, url)
    };
    let access = Access {
        url: format!("{scheme}://{address}"),
        port,
        services: services.into_iter().map(url).collect(),
        caller: None,
    };
    let (variables, unknown) = access.variables(&config.run, environment);
    if !unknown.is_empty() {
        let names = unknown.join(", ");
        say(format_args!(
            "note: left out, since they need the credentials of a caller: {names}"
        ));
    }
    let mut lines = Vec::new();
    for (name, value) in &variables {
        lines.extend(format!("export {name}=").bytes());
        lines.extend(quoted(value.as_encoded_bytes()));
        lines.push(b'\n');
    }
    let written = io::stdout().write_all(&lines);
    written.map_err(|error| {
        Failure::failed(format_args!("the variables cannot be written: {error}"))
    })?;
    Ok(Exit::Ok)
}

/// The scheme and the address of a listener from its own machine, if its port is known.
fn known_address(listen: &Listen) -> Option<(&'static str, SocketAddr)> {
    let (scheme, address) = match listen {
        Listen::Tcp(address) => ("http", *address),
        Listen::Tls(address) => ("https", *address),
        Listen::Unix(_) => return None,
    };
    (address.port() != 0).then_some((scheme, local_address(address)))
}

/// Text that a shell reads as one word.
fn quoted(value: &[u8]) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for byte in value {
        match byte {
            b'\'' => quoted.extend(b"'\\''"),
            byte => quoted.push(*byte),
        }
    }
    quoted.push(b'\'');
    quoted
}
