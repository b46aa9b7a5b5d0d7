//! The ports of a run: one for everything, one for each service, and one for IAM, since SDKs keep
//! only host and port of the URL of a service.

use std::net::{Ipv4Addr, SocketAddr};

use secrecy::ExposeSecret;

use super::Access;
use crate::cli::Failure;
use crate::config::{Config, IssuedCaller, Listen, ListenRules};

/// The service of which SDKs ask the id of a project.
const IAM: &str = "iam";

/// The ports, in the order of [`Config::listen`].
pub(super) struct Endpoints {
    requires_caller: bool,
    /// The services of all ports but the first.
    services: Vec<String>,
}

impl Endpoints {
    /// Replaces the addresses of a configuration.
    pub(super) fn new(config: &mut Config, requires_caller: bool) -> Result<Self, Failure> {
        let mut services = config.run.services.clone();
        if !services.is_empty() {
            services.push(IAM.to_owned());
        }
        let routes = services.iter().map(|service| route_of(config, service));
        let routes = routes.collect::<Result<Vec<usize>, Failure>>()?;
        let routes = [None].into_iter().chain(routes.into_iter().map(Some));
        config.listen_rules = routes
            .map(|route| ListenRules {
                route,
                requires_caller,
            })
            .collect();
        config.listen = vec![free_port(); config.listen_rules.len()];
        Ok(Self {
            requires_caller,
            services,
        })
    }

    /// How the program reaches the ports, which are bound now.
    pub(super) fn access<'c>(&self, bound: &[SocketAddr], caller: &'c IssuedCaller) -> Access<'c> {
        let url = format!("http://{}", bound[0]);
        let services = self.services.iter().zip(&bound[1..]);
        let services = services.map(|(service, at)| (service.clone(), format!("http://{at}")));
        Access {
            url: if self.requires_caller {
                format!("{url}/~{}", caller.capability.expose_secret())
            } else {
                url
            },
            port: bound[0].port(),
            services: services.collect(),
            caller: Some(caller),
        }
    }
}

/// Any free port of this machine.
pub(super) fn free_port() -> Listen {
    Listen::Tcp((Ipv4Addr::LOCALHOST, 0).into())
}

/// The route to a service.
fn route_of(config: &Config, service: &str) -> Result<usize, Failure> {
    let prefix = format!("/{service}");
    let route = config
        .routes
        .iter()
        .position(|route| route.prefix == prefix);
    route.ok_or_else(|| {
        Failure::configuration(format_args!(
            "there is no route to the service `{service}`\nhint: add it to `cloud.services` and its region to `cloud.regions`"
        ))
    })
}
