//! Where health and metrics are served: `admin` and `admin_quit`.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use super::judge::Judge;
use super::{Listen, address};

/// The address of the admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    /// Plain HTTP.
    Tcp(SocketAddr),
    /// Plain HTTP over a unix socket, with the permissions of `[unix_socket]`.
    Unix(PathBuf),
}

const EXPECTED: &str = "expected an address with a port, like \"127.0.0.1:8081\", a unix socket, like \"unix:/run/apig-proxy/admin.sock\", or \"off\"";

impl FromStr for AdminAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match address::listen(text) {
            Ok(Listen::Tcp(address)) => Ok(Self::Tcp(address)),
            Ok(Listen::Unix(path)) => Ok(Self::Unix(path)),
            Err(message) if text.starts_with("unix:") => Err(message),
            Ok(Listen::Tls(_)) | Err(_) => Err(EXPECTED),
        }
    }
}

impl fmt::Display for AdminAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl AdminAddress {
    /// The address, if it is one of TCP.
    #[must_use]
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    fn is_among(&self, listen: &[Listen]) -> bool {
        listen.iter().any(|listen| match self {
            Self::Tcp(address) => address.port() != 0 && listen.address() == Some(*address),
            Self::Unix(path) => matches!(listen, Listen::Unix(other) if other == path),
        })
    }
}

pub(super) fn admin(judge: &mut Judge<'_>, listen: &[Listen]) -> Option<AdminAddress> {
    let text = judge.required_text("admin", EXPECTED)?;
    let address = match (judge.passed().admin.clone(), text.as_str()) {
        (Some(passed), _) => passed,
        (None, "off") => return None,
        (None, text) => match text.parse::<AdminAddress>() {
            Ok(address) => address,
            Err(message) => {
                judge.report("admin", message);
                return None;
            }
        },
    };
    if address.is_among(listen) {
        judge.report(
            "admin",
            "callers use this address (listen); give another one, or \"off\"",
        );
        return None;
    }
    let is_remote = address.tcp().is_some_and(|tcp| !tcp.ip().is_loopback());
    if is_remote && !wants_remote(judge) {
        judge.report(
            "admin",
            "an address that is not loopback tells everybody who reaches it how the proxy is; use 127.0.0.1:8081, \
             [::1]:8081 or a unix socket, or set access.allow_remote = true",
        );
        return None;
    }
    Some(address)
}

/// Whether addresses that are not loopback are wanted. A value that cannot be read is reported once only.
fn wants_remote(judge: &mut Judge<'_>) -> bool {
    let reported = judge.problems.len();
    let is_wanted = judge.boolean("access.allow_remote") == Some(true);
    judge.problems.truncate(reported);
    is_wanted
}
