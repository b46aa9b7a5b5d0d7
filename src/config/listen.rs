//! Addresses of the listeners: `listen`, `admin` and `[unix_socket]`.
//!
//! Everyone who reaches an address can have requests signed. An address that other machines reach
//! therefore needs both `access.allow_remote` and clients that authenticate.

use std::fs;
use std::net::{Ipv6Addr, UdpSocket};

use super::address::{EXPECTED_LISTEN, Listen};
use super::reader::Reader;
use super::value::{boolean, list_of, number_text, optional, text};
use super::{Access, TlsFiles, address};

/// Who may use a unix socket (`[unix_socket]`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the reference describes the keys")]
pub struct UnixSocketConfig {
    pub mode: u32,
    pub owner: Option<u32>,
    pub group: Option<u32>,
    pub allowed_uids: Vec<u32>,
}

/// The addresses to listen on, unless there are passed sockets.
pub(super) fn listen(reader: &mut Reader, passed: &[Listen]) -> Vec<Listen> {
    const TWICE: &str = "two of the addresses are the same, or one includes the other, as `[::]` does all of IPv4\nhint: remove one of them";
    let addresses = reader.find("listen", |setting| {
        match list_of(number_text, str::parse::<Listen>)(setting)? {
            none if none.is_empty() => Err(EXPECTED_LISTEN.into()),
            addresses => Ok(addresses),
        }
    });
    let mut addresses: Vec<Listen> = addresses.unwrap_or_default();
    let is_again = |(at, one): (usize, &Listen)| addresses[..at].iter().any(|two| one.is_same(two));
    if passed.is_empty() && addresses.iter().enumerate().any(is_again) {
        reader.report("listen", TWICE);
    }
    // By default, both loopback addresses are served; this machine may not have the second one.
    if !reader.is_set("listen") && UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        addresses.retain(|listen| !listen.address().is_some_and(|address| address.is_ipv6()));
    }
    addresses
}

pub(super) fn admin(
    reader: &mut Reader,
    listen: &[Listen],
    activated: Option<&Listen>,
) -> Option<Listen> {
    const SAME: &str = "this address and one of `listen` cannot be listened on together\nhint: give another one, or \"off\"";
    const REMOTE: &str = "an address that is not loopback exposes health and metrics to any machine that reaches it\n\
        hint: use 127.0.0.1:8081, [::1]:8081 or a unix socket, or set `access.allow_remote = true`";
    let configured = reader.find("admin", text(address::admin))?;
    let address = activated.cloned().or(configured)?;
    let problem = if listen.iter().any(|listen| address.is_same(listen)) {
        SAME
    } else if address.is_remote() && !reader.get("access.allow_remote", boolean) {
        REMOTE
    } else {
        return Some(address);
    };
    reader.report("admin", problem);
    None
}

pub(super) fn unix_socket(reader: &mut Reader) -> UnixSocketConfig {
    let mode = text(|text| {
        let mode = u32::from_str_radix(text, 8).ok();
        let mode = mode.filter(|mode| *mode <= 0o777);
        mode.ok_or("expected the octal digits of a mode, in double quotes, like \"0660\"")
    });
    let id = |database: &'static str| {
        optional(move |name| {
            let id = name.parse().ok().or_else(|| named_id(database, name));
            id.ok_or("this machine has no user or group of this name\nhint: give an existing name, or a number")
        })
    };
    let uid = |text: &str| {
        let uid = text.parse().ok();
        uid.ok_or("expected user ids, like [1000]")
    };
    UnixSocketConfig {
        mode: reader.get("unix_socket.mode", mode),
        owner: reader.get("unix_socket.owner", id("/etc/passwd")),
        group: reader.get("unix_socket.group", id("/etc/group")),
        allowed_uids: reader.get("unix_socket.allowed_uids", list_of(number_text, uid)),
    }
}

/// The id of a user or group in a database with lines like `name:x:id:…`.
fn named_id(database: &str, name: &str) -> Option<u32> {
    let lines = fs::read_to_string(database).ok()?;
    let mut lines = lines
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    lines.find_map(|rest| rest.split(':').nth(1)?.parse().ok())
}

/// Reports addresses that other machines reach without being allowed and protected.
pub(super) fn check_exposure(
    reader: &mut Reader,
    listen: &[Listen],
    access: &Access,
    tls: Option<&TlsFiles>,
) {
    const NOT_ALLOWED: &str = "an address that is not loopback lets any machine that reaches it sign requests\n\
        hint: use 127.0.0.1 or [::1], or set `access.allow_remote = true` together with `access.token_file`, `access.callers_file` or `tls.client_ca_file`";
    const UNPROTECTED: &str = "callers from other machines have to authenticate\n\
        hint: set `access.token_file` or `access.callers_file`, or require client certificates with `tls.client_ca_file` on an `https://` address";
    let mut remote = listen.iter().filter(|listen| listen.is_remote()).peekable();
    // A token that cannot be read is reported already.
    let has_token = access.token.is_some()
        || reader.is_set("access.callers_file")
        || reader.is_wrong("access.token_file");
    let takes_certificates = tls.is_some_and(|tls| tls.client_ca.is_some());
    let is_protected =
        |listen: &Listen| has_token || (takes_certificates && matches!(listen, Listen::Tls(_)));
    if !reader.get("access.allow_remote", boolean) && remote.peek().is_some() {
        reader.report("listen", NOT_ALLOWED);
    } else if !remote.all(is_protected) {
        reader.report("listen", UNPROTECTED);
    }
}
