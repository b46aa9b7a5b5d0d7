//! The log lines of a start: the addresses and who can reach them, the routes, and the risks.

use crate::config::{Config, Listen, Loaded, Route, UnixSocketConfig};

/// The admin listener and who can connect to it.
pub(super) fn admin_endpoint(address: &Listen, socket: &UnixSocketConfig) -> String {
    let scheme = match address {
        Listen::Unix(_) => "",
        _ => "http://",
    };
    format!("{scheme}{address} for {}", peers(address, socket))
}

/// Who can use a listener.
pub(super) fn callers(listen: &Listen, config: &Config) -> String {
    let tls = config.tls.as_ref();
    let tls = tls.filter(|_| matches!(listen, Listen::Tls(_)));
    let mut rules = config.listen_rules.iter();
    let asked = [
        (
            tls.is_some_and(|tls| tls.client_ca.is_some()),
            " with a certificate of tls.client_ca_file",
        ),
        (
            config.access.token.is_some(),
            " that send the token of access.token_file",
        ),
        (
            config.callers.file.is_some(),
            " that access.callers_file knows",
        ),
        (
            rules.any(|rules| rules.requires_caller),
            " that show the credential of this run",
        ),
    ];
    let asked = asked.into_iter().filter(|(is_asked, _)| *is_asked);
    peers(listen, &config.unix_socket) + &asked.map(|(_, what)| what).collect::<String>()
}

fn peers(listen: &Listen, socket: &UnixSocketConfig) -> String {
    match listen {
        Listen::Unix(_) if socket.allowed_uids.is_empty() => {
            format!("users that can open it (mode {:04o})", socket.mode)
        }
        Listen::Unix(_) => format!("the users with the ids {:?}", socket.allowed_uids),
        Listen::Tcp(address) | Listen::Tls(address) if address.ip().is_loopback() => {
            "programs on this machine".to_owned()
        }
        Listen::Tcp(_) | Listen::Tls(_) => "whoever reaches it on the network".to_owned(),
    }
}

/// Logs where requests go, and what is risky.
pub(super) fn log_configuration(loaded: &Loaded) {
    log_memory(loaded);
    if let Some(file) = &loaded.file {
        tracing::info!("configuration from {}", file.display());
    }
    for warning in &loaded.warnings {
        tracing::warn!("{}", warning.to_string().replace('\n', "; "));
    }
    let routes = loaded.config.routes.iter();
    let (services, routes): (Vec<&Route>, Vec<&Route>) =
        routes.partition(|route| route.service.is_some());
    for route in routes {
        tracing::info!("{}/ goes to {}", route.prefix, upstream_url(route));
    }
    if let Some(first) = services.first() {
        tracing::info!(
            "{} cloud services, called by path or Host, like {}/ or {}.localhost",
            services.len(),
            first.prefix,
            &first.prefix[1..]
        );
    }
    for listen in &loaded.config.listen {
        if matches!(listen, Listen::Tcp(address) if !address.ip().is_loopback()) {
            tracing::warn!(
                "what is sent to http://{listen} can be read on the network, the token too; listen on https:// with [tls]"
            );
        }
    }
}

/// Logs the limits that follow from the memory of the process.
fn log_memory(loaded: &Loaded) {
    let Some(memory) = loaded.memory else {
        return;
    };
    let limits = &loaded.config.limits;
    let (buffered, connections) = (limits.buffered, limits.connections);
    tracing::info!(
        "this process may take {memory} bytes of memory, so at most {buffered} bytes of bodies are held at once \
         (limits.buffered), and {connections} connections (limits.connections)"
    );
    if buffered < limits.body {
        tracing::warn!(
            "bodies that are longer than that cannot be held and get 503; give the process more memory"
        );
    }
}

pub(super) fn upstream_url(route: &Route) -> String {
    let upstream = &route.upstream;
    let slash = if upstream.ends_with_slash { "/" } else { "" };
    let at = match &upstream.connect_to {
        Some((host, port)) => format!(", at {host} port {port}"),
        None => String::new(),
    };
    [&upstream.origin(), &*upstream.base_path, slash, &at].concat()
}
