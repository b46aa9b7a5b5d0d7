//! Where clients connect, and how they authenticate: `listen`, `admin`, `[unix_socket]`, `[tls]`
//! and `[access]`.
//!
//! Everyone who reaches an address can have requests signed. An address that other machines reach
//! therefore needs both `access.allow_remote` and clients that authenticate.

use std::net::{Ipv6Addr, UdpSocket};
use std::{fmt, fs};

use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::address::{EXPECTED_LISTEN, Listen};
use super::file::read_token;
use super::reader::Reader;
use super::server_tls::tls_files;
use super::value::{boolean, file, list, optional, text};
use super::{Access, Callers, CallersFile, TlsFiles, address, origin};

/// Who may use a unix socket (`[unix_socket]`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the reference describes the keys")]
pub struct UnixSocketConfig {
    pub mode: u32,
    pub owner: Option<u32>,
    pub group: Option<u32>,
    pub allowed_uids: Vec<u32>,
}

/// The token that clients must send, kept as its hash: it has only to be recognised.
#[derive(Clone)]
pub struct CallerToken([u8; 32]);

impl CallerToken {
    /// The token with this text.
    #[must_use]
    pub fn new(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// The token with this SHA-256 in hexadecimal; `None` if it is none.
    pub(super) fn from_hash(hash: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(hash, &mut bytes).ok()?;
        Some(Self(bytes))
    }

    /// The SHA-256 of the token in hexadecimal.
    pub(super) fn hash(&self) -> String {
        hex::encode(self.0)
    }

    /// Compares in constant time.
    #[must_use]
    pub fn is(&self, sent: &[u8]) -> bool {
        *self == Self::new(sent)
    }
}

impl PartialEq for CallerToken {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for CallerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallerToken([redacted])")
    }
}

pub(super) fn listen(reader: &mut Reader) -> Vec<Listen> {
    let addresses = reader.find("listen", |setting| {
        match list(str::parse::<Listen>)(setting)? {
            none if none.is_empty() => Err(EXPECTED_LISTEN.into()),
            addresses => Ok(addresses),
        }
    });
    let mut addresses = addresses.unwrap_or_default();
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
    const SAME: &str = "callers use this address (`listen`)\nhint: give another one, or \"off\"";
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
        let mode = u32::from_str_radix(text, 8)
            .ok()
            .filter(|mode| *mode <= 0o777);
        mode.ok_or("expected the octal digits of a mode, in double quotes, like \"0660\"")
    });
    let id = |database: &'static str| {
        optional(move |name| {
            let id = name.parse().ok().or_else(|| named_id(database, name));
            id.ok_or("this machine does not know it\nhint: give the name or the number of one that it knows")
        })
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
    let mut lines = lines
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    lines.find_map(|rest| rest.split(':').nth(1)?.parse().ok())
}

pub(super) fn tls(reader: &mut Reader, listen: &[Listen]) -> Option<TlsFiles> {
    let client_ca = reader.get("tls.client_ca_file", file);
    let serves_tls = listen.iter().any(|listen| matches!(listen, Listen::Tls(_)));
    let is_required = serves_tls || client_ca.is_some();
    tls_files(reader, "tls", client_ca, is_required)
}

pub(super) fn access(reader: &mut Reader, listen: &[Listen]) -> Access {
    const NO_METADATA: &str = "by a name that does not end with localhost, browsers do not say over plain HTTP which page sends a \
        request, so a User-Agent that begins with `Mozilla/` is refused there unless it shows the token of `access.token_file`\n\
        hint: use an `https://` address of `listen`, or a name below `.localhost`";
    let token = reader.load("access.token_file", |path| {
        read_token(path, 16, "visible ASCII characters", u8::is_ascii_graphic)
    });
    let hosts = reader.get("access.hosts", list(address::host));
    let is_plain = listen.iter().any(|listen| matches!(listen, Listen::Tcp(_)));
    if is_plain && !hosts.iter().all(|name| origin::is_trustworthy_name(name)) {
        reader.warn("access.hosts", NO_METADATA);
    }
    Access {
        hosts,
        origins: reader.get("access.origins", list(origin::origin)),
        browser: reader.get("access.browser", boolean),
        token: token.map(|token| CallerToken::new(token.expose_secret().as_bytes())),
    }
}

/// The callers of `access.callers_file`. A file that is not there yet has none.
pub(super) fn callers(reader: &mut Reader) -> Callers {
    const KEY: &str = "access.callers_file";
    const BOTH: &str = "callers show a credential of their own, which takes the place of the token\n\
        hint: leave `access.token_file` empty";
    const MISSING: &str = "the file does not exist, so no caller is admitted\n\
        hint: make it with `apig-proxy caller new NAME`";
    let mut callers = Callers::default();
    callers.file = reader.load(KEY, |path| CallersFile::open(path.to_owned()));
    if let Some(file) = &callers.file
        && !file.path.exists()
    {
        reader.warn(KEY, MISSING);
    }
    if callers.file.is_some() && reader.get("access.token_file", file).is_some() {
        reader.report(KEY, BOTH);
    }
    callers
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
    const UNPROTECTED: &str = "callers from other machines have to show who they are\n\
        hint: set `access.token_file` or `access.callers_file`, or take client certificates with `tls.client_ca_file` on an `https://` address";
    let mut remote = listen.iter().filter(|listen| listen.is_remote()).peekable();
    // A token that cannot be read is reported already.
    let has_token = access.token.is_some()
        || reader.is_set("access.callers_file")
        || reader.is_wrong("access.token_file");
    let takes_certificates = tls.is_some_and(|tls| tls.client_ca.is_some());
    let is_protected =
        |listen: &Listen| has_token || (takes_certificates && matches!(listen, Listen::Tls(_)));
    if remote.peek().is_some() && !reader.get("access.allow_remote", boolean) {
        reader.report("listen", NOT_ALLOWED);
    } else if !remote.all(is_protected) {
        reader.report("listen", UNPROTECTED);
    }
}
