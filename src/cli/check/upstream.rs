//! `apig-proxy check upstream`: tests each step of the connection to the gateway, and reports each on
//! one line. The first step that fails is the last one.

use clap::Args;
use tokio::time::Instant;

use super::super::load::load;
use super::super::serve::ServeArguments;
use super::super::startup_log::upstream_url;
use super::super::{Exit, Failure, Outcome, block_on, print};
use super::{Status, Step, probe};
use crate::config::{Config, Environment, Route};
use crate::credentials::{self, Source};
use crate::server::network;
use crate::upstream::{Network, Probe};

/// Arguments of `check upstream`.
#[derive(Clone, Debug, Args)]
pub(super) struct UpstreamArguments {
    /// Path of an API that takes GET, as callers of the proxy use it; the gateway checks the key only there
    /// [default: the path of each route, and of one cloud service].
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    #[command(flatten)]
    serve: ServeArguments,
}

/// Checks the upstream of each route, or of the one that serves the path.
pub(super) fn run(arguments: &UpstreamArguments, environment: &Environment) -> Outcome {
    let loaded = load(&arguments.serve.overrides(), environment);
    let (loaded, mut sources) = loaded.map_err(Failure::configuration)?;
    let config = &loaded.config;
    let network = network(config).map_err(Failure::configuration)?;
    let path = arguments.path.as_deref();
    block_on(async {
        credentials::start(&mut sources, &network)
            .await
            .map_err(Failure::no_credentials)?;
        let mut exit = Exit::Ok;
        for route in chosen(config, path) {
            print(format_args!("{}/ to {}", route.prefix, upstream_url(route)))?;
            if !check_route(config, &sources, &network, route, path).await? {
                exit = Exit::Failed;
            }
        }
        Ok(exit)
    })?
}

/// The route that serves the path; without one all routes, and of cloud services, which may be thousands,
/// the first.
fn chosen<'c>(config: &'c Config, path: Option<&str>) -> Vec<&'c Route> {
    let routes = config.routes.iter();
    if let Some(path) = path {
        let path = path.split('?').next().unwrap_or_default();
        let is_below = |route: &&Route| {
            let rest = path.strip_prefix(&*route.prefix);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        return routes.filter(is_below).take(1).collect();
    }
    let (services, mut others): (Vec<_>, Vec<_>) =
        routes.partition(|route| route.service.is_some());
    others.extend(services.first());
    others
}

/// Prints all steps for one route; true if none failed.
async fn check_route(
    config: &Config,
    sources: &[Source],
    network: &Network,
    route: &Route,
    path: Option<&str>,
) -> Result<bool, Failure> {
    let steps = match connect(network, route, config).await {
        Err(step) => vec![step],
        Ok(()) => match probe::send(config, sources, network, route, path).await {
            Ok(steps) => steps.into(),
            Err(error) => vec![Step::failed("request", &error, "")],
        },
    };
    for step in &steps {
        print(step)?;
    }
    Ok(steps.iter().all(|step| step.status != Status::Failed))
}

/// Prints the steps of connecting, up to the one that fails, which is returned.
async fn connect(network: &Network, route: &Route, config: &Config) -> Result<(), Step> {
    // The steps after these report if the output is closed.
    let done = |name, text| drop(print(Step::new(name, Status::Ok, text)));
    let probe = Probe::new(network.clone(), route, config.timeouts.connect);
    let addresses = probe.addresses().await;
    let addresses = addresses.map_err(|error| Step::failed("dns", &error, ""))?;
    let ips = addresses.iter().map(|address| address.ip().to_string());
    let ips = ips.collect::<Vec<_>>().join(", ");
    done("dns", format!("{} resolves to {ips}", probe.host()));
    let through = match &route.upstream.egress {
        Some(_) => " through the proxy that HTTPS_PROXY names",
        None => "",
    };
    let start = Instant::now();
    let tcp = probe.connect(&addresses).await;
    let tcp = tcp.map_err(|error| Step::failed("connect", &error, through))?;
    let took = start.elapsed().as_millis();
    done("connect", format!("connected in {took} ms{through}"));
    match probe.secure(tcp).await {
        Ok(Some(version)) => done("tls", format!("{version}, trusted")),
        Ok(None) => done("tls", "plain HTTP, to this machine".to_owned()),
        Err(error) => return Err(Step::failed("tls", &error, "")),
    }
    Ok(())
}
