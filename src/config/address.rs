//! Addresses to listen on, and host names.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// An address to accept clients on, or that of the admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Plain HTTP.
    Tcp(SocketAddr),
    /// HTTP over TLS, with the certificate of `[tls]`. The admin listener has no such address.
    Tls(SocketAddr),
    /// Plain HTTP over a unix socket, with the permissions of `[unix_socket]`.
    Unix(PathBuf),
}

impl Listen {
    /// The TCP address; `None` for a unix socket.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) | Self::Tls(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// True if other machines may reach it.
    pub(super) fn is_remote(&self) -> bool {
        self.address()
            .is_some_and(|address| !address.ip().is_loopback())
    }

    /// True if both cannot be listened on at the same time.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let (Some(one), Some(two)) = (self.address(), other.address()) else {
            return self == other;
        };
        // `[::]` takes IPv4 as well.
        let includes = |any: IpAddr, ip: IpAddr| {
            any == ip || (any.is_unspecified() && (any.is_ipv6() || ip.is_ipv4()))
        };
        let [one_ip, two_ip] = [one, two].map(|address| address.ip().to_canonical());
        let is_same_ip = includes(one_ip, two_ip) || includes(two_ip, one_ip);
        one.port() != 0 && one.port() == two.port() && is_same_ip
    }
}

impl FromStr for Listen {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED_PATH: &str = "expected an absolute path of at most 100 bytes after \"unix:\", like \"unix:/run/apig-proxy/proxy.sock\"";
        if let Some(path) = text.strip_prefix("unix:") {
            // The system takes 107 bytes.
            let is_path = path.starts_with('/') && path.len() <= 100 && !path.ends_with('/');
            let unix = is_path.then(|| Self::Unix(path.into()));
            return unix.ok_or(EXPECTED_PATH);
        }
        match text.strip_prefix("https://") {
            Some(text) => tcp(text).map(Self::Tls),
            None => tcp(text.strip_prefix("http://").unwrap_or(text)).map(Self::Tcp),
        }
    }
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl fmt::Display for Listen {
    /// The address without its scheme.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) | Self::Tls(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

pub(super) const EXPECTED_LISTEN: &str = "expected an address with a port, like \"127.0.0.1:8080\", or a unix socket, like \"unix:/run/apig-proxy/proxy.sock\"";

/// The address of a listener from its own machine: the unspecified address cannot be connected to.
pub(crate) fn local_address(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Parses an address of the admin listener, or `off`.
pub(super) fn admin(text: &str) -> Result<Option<Listen>, &'static str> {
    const EXPECTED: &str = "expected an address with a port, like \"127.0.0.1:8081\", a unix socket, like \"unix:/run/apig-proxy/admin.sock\", or \"off\"";
    match text.parse() {
        _ if text.eq_ignore_ascii_case("off") => Ok(None),
        Err(message) if text.starts_with("unix:") => Err(message),
        Err(_) | Ok(Listen::Tls(_)) => Err(EXPECTED),
        Ok(address) => Ok(Some(address)),
    }
}

fn tcp(text: &str) -> Result<SocketAddr, &'static str> {
    // Without a host, other machines are not meant.
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    let is_loopback = matches!(host, "" | "localhost");
    match port.parse::<u16>() {
        Ok(port) if is_loopback => Ok((Ipv4Addr::LOCALHOST, port).into()),
        _ => text.parse().map_err(|_| EXPECTED_LISTEN),
    }
}

/// Parses the host and port that connections go to.
pub(super) fn host_and_port(text: &str) -> Result<(String, u16), &'static str> {
    const EXPECTED: &str = "expected a host and a port, like \"10.0.0.8:443\"";
    let (host, port) = text.rsplit_once(':').ok_or(EXPECTED)?;
    let name = self::host(host).map_err(|_| EXPECTED)?;
    let port = port.parse().ok().filter(|port| *port > 0);
    let host = name.trim_matches(['[', ']']).to_owned();
    Ok((host, port.ok_or(EXPECTED)?))
}

pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// What is within brackets, as an IPv6 address in a URL is.
pub(super) fn in_brackets(host: &str) -> Option<&str> {
    host.strip_prefix('[')?.strip_suffix(']')
}

/// Parses a name that clients may use in `Host`.
pub(super) fn host(text: &str) -> Result<String, &'static str> {
    const EXPECTED: &str = "expected host names without scheme and port, like \"proxy.internal\"";
    const ANY: &str =
        "the unspecified address cannot be allowed, since browsers connect to this machine by it";
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    match in_brackets(&name).map(str::parse) {
        Some(Ok(Ipv6Addr::UNSPECIFIED)) => Err(ANY),
        None if name == "0.0.0.0" => Err(ANY),
        Some(Ok(_)) => Ok(name),
        None if !name.is_empty() && name.bytes().all(is_part) => Ok(name),
        _ => Err(EXPECTED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_to_listen_on_need_a_port() {
        for (text, address) in [
            ("localhost:1", "127.0.0.1:1"),
            ("9090", "127.0.0.1:9090"),
            (":9090", "127.0.0.1:9090"),
            ("[::1]:0", "[::1]:0"),
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
        ] {
            assert_eq!(text.parse(), Ok(Listen::Tcp(address.parse().unwrap())));
        }
        let unix = Listen::Unix("/run/x.sock".into());
        assert_eq!("unix:/run/x.sock".parse(), Ok(unix));
        let tls = Listen::Tls("0.0.0.0:8443".parse().unwrap());
        assert_eq!("https://0.0.0.0:8443".parse(), Ok(tls));
        let wrong = "|:|80800|127.0.0.1|localhost|localhost:x|ftp://127.0.0.1:8080|https://127.0.0.1|unix:relative|unix:/run/|unix:";
        for text in wrong.split('|') {
            assert!(text.parse::<Listen>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_address_is_listened_on_once() {
        for (one, two, expected) in [
            ("127.0.0.1:1", "https://127.0.0.1:1", true),
            ("0.0.0.0:1", "127.0.0.1:1", true),
            ("[::1]:1", "[::]:1", true),
            ("[::]:1", "0.0.0.0:1", true),
            ("[::ffff:127.0.0.1]:1", "127.0.0.1:1", true),
            ("0.0.0.0:1", "[::1]:1", false),
            ("127.0.0.1:1", "127.0.0.1:2", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("unix:/a", "unix:/a", true),
            ("unix:/a", "127.0.0.1:1", false),
        ] {
            let [first, second] = [one, two].map(|text| text.parse::<Listen>().unwrap());
            assert_eq!(first.is_same(&second), expected, "{one} {two}");
            assert_eq!(second.is_same(&first), expected, "{two} {one}");
        }
    }

    #[test]
    fn host_names_are_normalized() {
        assert_eq!(host("Proxy.Internal.").unwrap(), "proxy.internal");
        assert_eq!(host("[::2]").unwrap(), "[::2]");
        for text in ["", "*", "a:80", "http://a", "0.0.0.0", "[::]", "[x]", "a b"] {
            assert!(host(text).is_err(), "{text}");
        }
    }
}
