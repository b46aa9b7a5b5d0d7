//! `apig-proxy env`: prints the variables of `run` for a proxy that runs already, for
//! `eval "$(apig-proxy env)"`.
//!
//! Credentials of callers cannot be printed, since they are kept as hashes.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use clap::Args;

use super::admin_client::{AdminArguments, READY, ask};
use super::run::Access;
use super::{Failure, Outcome, print, say};
use crate::config::{self, Config, Environment, Listen, local_address};
use crate::inspect::quoted;

/// The longest that connecting to a proxy of this machine takes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Clone, Debug, Args)]
pub(super) struct EnvArguments {
    #[command(flatten)]
    admin: AdminArguments,
}

/// Prints the variables.
pub(super) fn run(arguments: &EnvArguments, environment: &Environment) -> Outcome {
    let admin = arguments.admin.address(environment)?;
    ask(READY, &admin)?.map_err(Failure::failed)?;
    let part = |name: &str| {
        let overrides = arguments.admin.overrides();
        config::load_part(&overrides, environment, name, |config| config)
    };
    let (listen, config) = (part("listen")?.listen, part("run")?);
    let address = listen.iter().find_map(known_address).ok_or_else(|| {
        Failure::configuration(
            "`listen` has no TCP address with a known port\nhint: add one, like \"127.0.0.1:8080\"",
        )
    })?;
    // Only the configuration says where the proxy listens, and it may be that of another one.
    TcpStream::connect_timeout(&address.1, CONNECT_TIMEOUT).map_err(|_| {
        Failure::configuration(format_args!(
            "nothing accepts connections at {}, which the configuration names in `listen`\nhint: give its own configuration with `--config`, or its address in `APIG_PROXY_LISTEN`",
            address.1
        ))
    })?;
    let variables = access(&config, address).variables(&config.run, environment);
    let mut templates = config.run.variables.iter();
    let needs_credential = config.access.token.is_some() || config.callers.file.is_some();
    if needs_credential || templates.any(|(name, _)| !variables.contains_key(name)) {
        say(
            "note: credentials of callers are not printed, nor variables with them; `apig-proxy caller new` makes one",
        );
    }
    let line = |(name, value)| format!("export {name}={}", quoted(value));
    print(variables.iter().map(line).collect::<Vec<_>>().join("\n"))
}

/// How programs reach a proxy that serves everything on one port: services by their names.
fn access(config: &Config, (scheme, address): (&str, SocketAddr)) -> Access<'static> {
    let port = address.port();
    let mut services = config.run.services.clone();
    if !services.is_empty() {
        services.push("iam".to_owned());
    }
    let url = |service: String| {
        let url = format!("{scheme}://{service}.localhost:{port}");
        (service, url)
    };
    Access {
        url: format!("{scheme}://{address}"),
        port,
        services: services.into_iter().map(url).collect(),
        caller: None,
    }
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
