//! Where clients connect, and how they authenticate: `listen`, `admin`, `[unix_socket]`, `[tls]`
//! and `[access]`.
//!
//! Everyone who reaches an address can have requests signed. An address that other machines reach
//! therefore needs both `access.allow_remote` and clients that authenticate.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::{fmt, fs};

use super::activation::ActivatedAddresses;
use super::layers::Setting;
use super::reader::Reader;
use super::secret::CallerToken;
use super::value::{boolean, file, list, optional, text};
use super::{Access, TlsFiles, address, origin};

/// An address to accept clients on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// Plain HTTP.
    Tcp(SocketAddr),
    /// HTTP over TLS, with the certificate of `[tls]`.
    Tls(SocketAddr),
    /// Plain HTTP over a unix socket.
    Unix(PathBuf),
}

impl Listen {
    /// The TCP address; `None` for a unix socket.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) | Self::Tls(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

/// The address of the admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdminAddress {
    /// Plain HTTP.
    Tcp(SocketAddr),
    /// Plain HTTP over a unix socket, with the permissions of `[unix_socket]`.
    Unix(PathBuf),
}

impl FromStr for AdminAddress {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected an address with a port, like \"127.0.0.1:8081\", a unix socket, like \"unix:/run/apig-proxy/admin.sock\", or \"off\"";
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
    /// The TCP address; `None` for a unix socket.
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

/// Who may use a unix socket (`[unix_socket]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixSocketConfig {
    /// Permissions of the socket.
    pub mode: u32,
    /// User id of its owner; `None` for the user that runs the proxy.
    pub owner: Option<u32>,
    /// Id of its group; `None` for that of the user.
    pub group: Option<u32>,
    /// User ids that may connect; empty for all that can open the socket.
    pub allowed_uids: Vec<u32>,
}

pub(super) fn listen(reader: &mut Reader, activated: &ActivatedAddresses) -> Vec<Listen> {
    let configured = reader.find("listen", |setting| match list(address::listen)(setting)? {
        none if none.is_empty() => Err(address::EXPECTED_LISTEN.into()),
        addresses => Ok(addresses),
    });
    activated.in_place_of(configured.unwrap_or_default())
}

pub(super) fn admin(
    reader: &mut Reader,
    listen: &[Listen],
    activated: &ActivatedAddresses,
) -> Option<AdminAddress> {
    let parse = |text: &str| match text {
        "off" => Ok(None),
        address => address.parse().map(Some),
    };
    let configured = reader.find("admin", text(parse))?;
    let address = activated.admin.clone().or(configured)?;
    let is_remote = address.tcp().is_some_and(|tcp| !tcp.ip().is_loopback());
    let problem = if address.is_among(listen) {
        "callers use this address (listen); give another one, or \"off\""
    } else if is_remote && !reader.get("access.allow_remote", boolean) {
        "an address that is not loopback exposes health and metrics to any machine that reaches it; use 127.0.0.1:8081, [::1]:8081 or a unix \
         socket, or set access.allow_remote = true"
    } else {
        return Some(address);
    };
    reader.report("admin", problem);
    None
}

pub(super) fn unix_socket(reader: &mut Reader) -> UnixSocketConfig {
    const EXPECTED: &str = "expected the octal digits of a mode, in double quotes, like \"0660\"";
    let mode = |setting: &Setting| {
        let mode = setting
            .value
            .as_str()
            .and_then(|text| u32::from_str_radix(text, 8).ok());
        let mode = mode.filter(|mode| *mode <= 0o777);
        Ok(mode.ok_or(EXPECTED)?)
    };
    let id = |database: &'static str| {
        optional(text(move |name| {
            let id = name.parse().ok().or_else(|| named_id(database, name));
            id.ok_or("expected the name or the number of one that this machine knows")
        }))
    };
    let uid = |text: &str| {
        let uid = text.parse().ok();
        uid.ok_or("expected numbers of users, in double quotes, like [\"1000\"]")
    };
    UnixSocketConfig {
        mode: reader.get("unix_socket.mode", mode),
        owner: reader.get("unix_socket.owner", id("/etc/passwd")),
        group: reader.get("unix_socket.group", id("/etc/group")),
        allowed_uids: reader.get("unix_socket.allowed_uids", list(uid)),
    }
}

/// The id of a user or group in a database with lines like `name:x:id:…`.
fn named_id(database: &str, name: &str) -> Option<u32> {
    let lines = fs::read_to_string(database).ok()?;
    let mut fields = lines.lines().map(|line| line.split(':'));
    fields.find_map(|mut fields| {
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    })
}

pub(super) fn tls(reader: &mut Reader, listen: &[Listen]) -> Option<TlsFiles> {
    const EXPECTED: &str =
        "expected the path of a PEM file: TLS with callers needs tls.cert_file and tls.key_file";
    const KEYS: [&str; 3] = ["tls.cert_file", "tls.key_file", "tls.client_ca_file"];
    let [certificate, key, client_ca] = KEYS.map(|key| reader.get(key, file));
    let serves_tls = listen.iter().any(|listen| matches!(listen, Listen::Tls(_)));
    match (&certificate, &key) {
        (Some(_), Some(_)) => {}
        (None, None) if !serves_tls && client_ca.is_none() => {}
        (None, _) => reader.report(KEYS[0], EXPECTED),
        (_, None) => reader.report(KEYS[1], EXPECTED),
    }
    let (certificate, key) = (certificate?, key?);
    let files = TlsFiles {
        certificate,
        key,
        client_ca,
    };
    if let Err(error) = files.read("tls") {
        reader.report(&error.key, error.to_string());
    }
    Some(files)
}

pub(super) fn access(reader: &mut Reader) -> Access {
    const TOKEN: &str = "access.token_file";
    let token = reader.get(TOKEN, file).map(|path| CallerToken::read(&path));
    let token = token.transpose().unwrap_or_else(|problem| {
        reader.report(TOKEN, problem);
        None
    });
    Access {
        hosts: reader.get("access.hosts", list(address::host)),
        origins: reader.get("access.origins", list(origin::origin)),
        browser: reader.get("access.browser", boolean),
        token,
    }
}

/// Reports addresses that other machines reach without being allowed and protected.
pub(super) fn check_exposure(
    reader: &mut Reader,
    listen: &[Listen],
    access: &Access,
    tls: Option<&TlsFiles>,
) {
    const NOT_ALLOWED: &str = "an address that is not loopback lets any machine that reaches it sign requests; use 127.0.0.1 or [::1], \
        or set access.allow_remote = true together with access.token_file or tls.client_ca_file";
    const UNPROTECTED: &str = "callers from other machines have to show who they are; set access.token_file, or take client \
        certificates with tls.client_ca_file on an https:// address";
    let is_remote = |listen: &&Listen| {
        listen
            .address()
            .is_some_and(|address| !address.ip().is_loopback())
    };
    let mut remote = listen.iter().filter(is_remote).peekable();
    // A token that cannot be read is reported already.
    let has_token = access.token.is_some() || reader.is_wrong("access.token_file");
    let takes_certificates = tls.is_some_and(|tls| tls.client_ca.is_some());
    let is_protected =
        |listen: &Listen| has_token || (takes_certificates && matches!(listen, Listen::Tls(_)));
    let is_allowed = reader.get("access.allow_remote", boolean);
    if remote.peek().is_some() && !is_allowed {
        reader.report("listen", NOT_ALLOWED);
    } else if !remote.all(is_protected) {
        reader.report("listen", UNPROTECTED);
    }
}

/// Warns of host names to which browsers send no fetch metadata.
pub(super) fn warn_of_hosts(reader: &mut Reader, listen: &[Listen], access: &Access) {
    const WARNING: &str = "by a name that does not end with localhost, browsers do not say over plain HTTP which page sends a \
        request; a User-Agent that begins with Mozilla/ is refused there unless it shows the token of access.token_file. Use an \
        https:// address of listen, or a name below .localhost";
    let is_plain = listen.iter().any(|listen| matches!(listen, Listen::Tcp(_)));
    if is_plain
        && !access
            .hosts
            .iter()
            .all(|name| origin::is_trustworthy_name(name))
    {
        reader.warn("access.hosts", WARNING);
    }
}
