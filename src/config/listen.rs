//! Where callers come in, and who they have to be: `listen`, `[unix_socket]`, `[tls]` and `[access]`.
//!
//! Whoever reaches an address can have requests signed. So one that others than this machine reach needs
//! both: that it is wanted (`access.allow_remote`), and that callers show who they are.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::address::{self, EXPECTED_LISTEN};
use super::judge::Judge;
use super::origin;
use super::resolve::relative;
use super::secret::{CallerToken, read_caller_token};
use super::{Access, TlsFiles};

/// An address to accept callers on.
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
    /// The address, if it is one of TCP.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) | Self::Tls(address) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    fn is_remote(&self) -> bool {
        self.address()
            .is_some_and(|address| !address.ip().is_loopback())
    }
}

impl From<SocketAddr> for Listen {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

/// Who may use a unix socket (`[unix_socket]`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixSocketConfig {
    /// Permissions of the socket.
    pub mode: u32,
    /// Number of the user that it belongs to; `None` for the one that runs the proxy.
    pub owner: Option<u32>,
    /// Number of the group that it belongs to; `None` for that of the user.
    pub group: Option<u32>,
    /// Numbers of the users that may call; anybody who can open the socket if there are none.
    pub allowed_uids: Vec<u32>,
}

pub(super) fn listen(judge: &mut Judge<'_>) -> Vec<Listen> {
    let said = judge.list("listen").unwrap_or_default();
    if said.is_empty() && judge.read("listen", |value| Ok(value.as_array().is_some())) == Some(true)
    {
        judge.report("listen", EXPECTED_LISTEN);
    }
    let mut addresses = Vec::new();
    for text in said {
        match address::listen(&text) {
            Ok(address) => addresses.push(address),
            Err(message) => judge.report("listen", message),
        }
    }
    judge.passed().in_place_of(addresses)
}

pub(super) fn unix_socket(judge: &mut Judge<'_>) -> UnixSocketConfig {
    let mode = judge.read("unix_socket.mode", |value| {
        let mode = value
            .as_str()
            .and_then(|text| u32::from_str_radix(text, 8).ok());
        mode.filter(|mode| *mode <= 0o777)
            .ok_or("expected the octal digits of a mode, in double quotes, like \"0660\"")
    });
    let id = |judge: &mut Judge<'_>, key: &'static str, database: &str| {
        let name = judge.text(key)?;
        let id = name.parse().ok().or_else(|| named_id(database, &name));
        if id.is_none() {
            judge.report(
                key,
                "expected the name or the number of one that this machine knows",
            );
        }
        id
    };
    let allowed = judge.list("unix_socket.allowed_uids").unwrap_or_default();
    let uids: Vec<Option<u32>> = allowed.iter().map(|uid| uid.parse().ok()).collect();
    if uids.iter().any(Option::is_none) {
        judge.report(
            "unix_socket.allowed_uids",
            "expected numbers of users, in double quotes, like [\"1000\"]",
        );
    }
    UnixSocketConfig {
        mode: mode.unwrap_or(0o600),
        owner: id(judge, "unix_socket.owner", "/etc/passwd"),
        group: id(judge, "unix_socket.group", "/etc/group"),
        allowed_uids: uids.into_iter().flatten().collect(),
    }
}

/// The number of a user or group in a database of lines like `name:x:number:…`.
fn named_id(database: &str, name: &str) -> Option<u32> {
    let lines = fs::read_to_string(database).ok()?;
    lines.lines().find_map(|line| {
        let mut fields = line.split(':');
        let is_it = fields.next() == Some(name);
        let number = fields.nth(1)?;
        is_it.then(|| number.parse().ok()).flatten()
    })
}

pub(super) fn tls(judge: &mut Judge<'_>, listen: &[Listen]) -> Option<TlsFiles> {
    let mut file = |key: &'static str| {
        let path = judge.text(key)?;
        Some(relative(judge, key, path))
    };
    let (certificate, key) = (file("tls.cert_file"), file("tls.key_file"));
    let client_ca = file("tls.client_ca_file");
    let needs_it = listen.iter().any(|listen| matches!(listen, Listen::Tls(_)));
    let missing = match (&certificate, &key) {
        (Some(_), Some(_)) => None,
        (None, None) if !needs_it && client_ca.is_none() => None,
        (None, _) => Some("tls.cert_file"),
        (_, None) => Some("tls.key_file"),
    };
    if let Some(missing) = missing {
        judge.report(
            missing,
            "expected the path of a PEM file: TLS with callers needs tls.cert_file and tls.key_file",
        );
    }
    let files = TlsFiles {
        certificate: certificate?,
        key: key?,
        client_ca,
    };
    if let Err(error) = files.read() {
        judge.report(error.key(), error.to_string());
    }
    Some(files)
}

pub(super) fn access(judge: &mut Judge<'_>) -> Access {
    let mut access = Access {
        token: token(judge),
        browser: judge.boolean("access.browser").unwrap_or(false),
        ..Access::default()
    };
    for (key, read, into) in [
        (
            "access.hosts",
            address::host as fn(&str) -> Result<String, &'static str>,
            &mut access.hosts,
        ),
        ("access.origins", origin::origin, &mut access.origins),
    ] {
        for text in judge.list(key).unwrap_or_default() {
            match read(&text) {
                Ok(name) => into.push(name),
                Err(message) => judge.report(key, message),
            }
        }
    }
    access
}

/// Warns of names by which the guard cannot recognise browsers by what they say.
pub(super) fn warn_of_hosts(judge: &mut Judge<'_>, listen: &[Listen], access: &Access) {
    let is_plain = listen.iter().any(|listen| matches!(listen, Listen::Tcp(_)));
    let is_trusted = |name: &String| origin::is_trustworthy_name(name);
    if is_plain && !access.hosts.iter().all(is_trusted) {
        judge.warn(
            "access.hosts",
            "by a name that does not end with localhost, browsers do not say over plain HTTP which page sends a request; a \
             User-Agent that begins with Mozilla/ is refused there unless it shows the token of access.token_file. Use an \
             https:// address of listen, or a name below .localhost",
        );
    }
}

fn token(judge: &mut Judge<'_>) -> Option<CallerToken> {
    const KEY: &str = "access.token_file";
    let path = judge.text(KEY)?;
    let path = relative(judge, KEY, path);
    read_caller_token(Path::new(&path))
        .map_err(|error| judge.report(KEY, error.to_string()))
        .ok()
}

/// Refuses addresses that others than this machine reach, unless they are wanted and guarded.
pub(super) fn posture(
    judge: &mut Judge<'_>,
    listen: &[Listen],
    access: &Access,
    tls: Option<&TlsFiles>,
) {
    let is_wanted = judge.boolean("access.allow_remote") == Some(true);
    // A token that cannot be read is reported already.
    let is_reported = judge
        .problems
        .iter()
        .any(|problem| problem.key == "access.token_file");
    let has_token = access.token.is_some() || is_reported;
    let takes_certificates = tls.is_some_and(|tls| tls.client_ca.is_some());
    let is_guarded =
        |listen: &Listen| has_token || (takes_certificates && matches!(listen, Listen::Tls(_)));
    let remote = || listen.iter().filter(|listen| listen.is_remote());
    if remote().next().is_some() && !is_wanted {
        judge.report(
            "listen",
            "an address that is not loopback lets everybody who reaches it sign requests; use 127.0.0.1 or [::1], or set \
             access.allow_remote = true together with access.token_file or tls.client_ca_file",
        );
    } else if !remote().all(is_guarded) {
        judge.report(
            "listen",
            "callers from other machines have to show who they are; set access.token_file, or take client certificates \
             with tls.client_ca_file on an https:// address",
        );
    }
}
