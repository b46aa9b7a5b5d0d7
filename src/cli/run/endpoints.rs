//! The ports of a run: one for everything, one for each service, and one for IAM, since SDKs keep
//! only host and port of the URL of a service.

use std::net::{Ipv4Addr, SocketAddr};

use secrecy::ExposeSecret;

use super::Access;
use crate::cli::Failure;
use crate::config::{Config, IssuedCaller, Listen, ListenRules, Services};

/// The service that SDKs ask for the id of a project.
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
        if services.is_empty() {
            services.extend(configured_services(config));
        }
        if !services.is_empty() && !services.iter().any(|name| name == IAM) {
            services.push(IAM.to_owned());
        }
        let known = Services::new(config);
        let routes = services.iter().map(|name| known.route(name));
        let routes: Result<Vec<usize>, _> = routes.collect();
        let routes = routes
            .map_err(Failure::configuration)?
            .into_iter()
            .map(Some);
        let rules = |route| ListenRules {
            route,
            requires_caller,
        };
        config.listen_rules = [None].into_iter().chain(routes).map(rules).collect();
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
        let path = format!("/~{}", caller.capability.expose_secret());
        Access {
            url: url + if self.requires_caller { &path } else { "" },
            port: bound[0].port(),
            services: services.collect(),
            caller: Some(caller),
        }
    }
}

/// The names of the cloud services in `cloud.services`: without IAM, of which a part is always
/// there.
pub(super) fn configured_services(config: &Config) -> impl Iterator<Item = String> {
    let services = config.routes.iter().filter(|route| route.service.is_some());
    let configured = services.filter(|route| route.paths.is_none());
    configured.filter_map(|route| Some(route.prefix.strip_prefix('/')?.to_owned()))
}

pub(super) fn free_port() -> Listen {
    Listen::Tcp((Ipv4Addr::LOCALHOST, 0).into())
}
