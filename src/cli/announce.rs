//! What a start says of itself in the log: where it listens and for whom, where requests go, and what is
//! risky.

use crate::config::{AdminAddress, Config, Listen, Loaded, Scheme, UnixSocketConfig};

/// Says where the proxy can be reached.
pub(super) fn announce_addresses(admin: Option<&str>, listening: &[String]) {
    if let Some(endpoint) = admin {
        tracing::info!("health and metrics on {endpoint}");
    }
    for endpoint in listening {
        tracing::info!("listening on {endpoint}");
    }
}

/// The admin listener, and who can connect to it.
pub(super) fn admin_endpoint(address: &AdminAddress, socket: &UnixSocketConfig) -> String {
    match address {
        AdminAddress::Unix(_) => format!("{address} for {}", unix_users(socket)),
        AdminAddress::Tcp(tcp) if tcp.ip().is_loopback() => {
            format!("http://{address} for programs on this machine")
        }
        AdminAddress::Tcp(_) => format!("http://{address} for whoever reaches it on the network"),
    }
}

/// Who can connect to a unix socket.
fn unix_users(socket: &UnixSocketConfig) -> String {
    if socket.allowed_uids.is_empty() {
        format!("users that can open it (mode {:04o})", socket.mode)
    } else {
        format!("the users with numbers {:?}", socket.allowed_uids)
    }
}

/// Says where requests go, whose they are, and what is risky.
pub(super) fn announce(loaded: &Loaded) {
    let Loaded {
        config,
        file,
        memory,
        warnings,
        ..
    } = loaded;
    if let Some(memory) = memory {
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
    if let Some(file) = file {
        tracing::info!("configuration from {}", file.display());
    }
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    announce_routes(config);
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

/// Who can use an address.
pub(super) fn who(listen: &Listen, config: &Config) -> String {
    let mut who = match listen {
        Listen::Unix(_) => unix_users(&config.unix_socket),
        Listen::Tcp(address) | Listen::Tls(address) if address.ip().is_loopback() => {
            "programs on this machine".to_owned()
        }
        Listen::Tcp(_) | Listen::Tls(_) => "callers on the network".to_owned(),
    };
    let shows_certificate = matches!(listen, Listen::Tls(_))
        && config
            .tls
            .as_ref()
            .is_some_and(|tls| tls.client_ca.is_some());
    if shows_certificate {
        who.push_str(" with a certificate of tls.client_ca_file");
    }
    if config.access.token.is_some() {
        who.push_str(" that send the token of access.token_file");
    }
    who
}

fn announce_routes(config: &Config) {
    for route in &config.routes {
        let upstream = &route.upstream;
        let scheme = match upstream.scheme {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        let authority = upstream.authority.to_str().unwrap_or_default();
        tracing::info!(
            "{}/ goes to {scheme}://{authority}{}",
            route.prefix,
            upstream.base_path
        );
    }
}
