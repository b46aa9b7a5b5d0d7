//! The log lines of a start: the addresses and who can reach them, the routes, and the risks.

use crate::config::{Config, Listen, Loaded, Route, Scheme, UnixSocketConfig};

/// The admin listener and who can connect to it.
pub(super) fn admin_endpoint(address: &Listen, socket: &UnixSocketConfig) -> String {
    match address {
        Listen::Unix(_) => format!("{address} for {}", unix_users(socket)),
        Listen::Tcp(tcp) if tcp.ip().is_loopback() => {
            format!("http://{address} for programs on this machine")
        }
        _ => format!("http://{address} for whoever reaches it on the network"),
    }
}

/// Who can use a listener.
pub(super) fn callers(listen: &Listen, config: &Config) -> String {
    let mut callers = match listen {
        Listen::Unix(_) => unix_users(&config.unix_socket),
        Listen::Tcp(address) | Listen::Tls(address) if address.ip().is_loopback() => {
            "programs on this machine".to_owned()
        }
        Listen::Tcp(_) | Listen::Tls(_) => "callers on the network".to_owned(),
    };
    let tls = config.tls.as_ref();
    if matches!(listen, Listen::Tls(_)) && tls.is_some_and(|tls| tls.client_ca.is_some()) {
        callers.push_str(" with a certificate of tls.client_ca_file");
    }
    if config.access.token.is_some() {
        callers.push_str(" that send the token of access.token_file");
    }
    let mut rules = config.listen_rules.iter();
    if config.callers.file.is_some() {
        callers.push_str(" that access.callers_file knows");
    } else if rules.any(|rules| rules.requires_caller) {
        callers.push_str(" that show the credential of this run");
    }
    callers
}

/// Who can connect to a unix socket.
fn unix_users(socket: &UnixSocketConfig) -> String {
    if socket.allowed_uids.is_empty() {
        format!("users that can open it (mode {:04o})", socket.mode)
    } else {
        format!("the users with numbers {:?}", socket.allowed_uids)
    }
}

/// Logs where requests go, and what is risky.
pub(super) fn log_configuration(loaded: &Loaded) {
    let config = &loaded.config;
    if let Some(memory) = loaded.memory {
        tracing::info!(
            "this process may take {memory} bytes of memory, so at most {} bytes of bodies are held at once \
             (limits.buffered), and {} connections (limits.connections)",
            config.limits.buffered,
            config.limits.connections
        );
        if config.limits.buffered < config.limits.body {
            tracing::warn!(
                "bodies that are longer than that cannot be held and get 503; give the process more memory"
            );
        }
    }
    if let Some(file) = &loaded.file {
        tracing::info!("configuration from {}", file.display());
    }
    for warning in &loaded.warnings {
        tracing::warn!("{}", warning.to_string().replace('\n', "; "));
    }
    let (services, routes): (Vec<&Route>, Vec<&Route>) = config
        .routes
        .iter()
        .partition(|route| route.service.is_some());
    for route in routes {
        tracing::info!("{}/ goes to {}", route.prefix, upstream_url(route));
    }
    if let Some(first) = services.first() {
        tracing::info!(
            "{} cloud services, called by path or Host: {}/ or {}.localhost goes to {}",
            services.len(),
            first.prefix,
            &first.prefix[1..],
            upstream_url(first)
        );
    }
    for listen in &config.listen {
        if let Listen::Tcp(address) = listen
            && !address.ip().is_loopback()
        {
            tracing::warn!(
                "what is sent to http://{address} can be read on the network, the token too; listen on https:// with [tls]"
            );
        }
    }
}

/// The URL of a route's upstream.
pub(super) fn upstream_url(route: &Route) -> String {
    let upstream = &route.upstream;
    let scheme = match upstream.scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    };
    let authority = upstream.authority.to_str().unwrap_or_default();
    let slash = if upstream.ends_with_slash { "/" } else { "" };
    let at = upstream.connect_to.as_ref();
    let at = at.map(|(host, port)| format!(", at {host} port {port}"));
    let path = &upstream.base_path;
    format!(
        "{scheme}://{authority}{path}{slash}{}",
        at.unwrap_or_default()
    )
}
