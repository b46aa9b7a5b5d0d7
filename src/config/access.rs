//! Who may use the proxy: `[access]`.

use std::fmt;

use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::address::Listen;
use super::file::read_token;
use super::reader::Reader;
use super::value::{boolean, file, list, loaded};
use super::{Callers, CallersFile, address, origin};

/// Who may use the proxy (`[access]`).
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// `Host` names besides loopback names and bound addresses: lower case, no port, no trailing
    /// dot.
    pub hosts: Vec<String>,
    /// Allowed browser origins, as `scheme://host[:port]`, lower case.
    pub origins: Vec<String>,
    /// Browsers may navigate to the proxy, and pages loaded from it may call it.
    pub browser: bool,
    /// The token that clients must send.
    pub token: Option<CallerToken>,
}

/// The token that clients must send, kept as its hash: it has only to be recognised.
#[derive(Clone)]
pub struct CallerToken([u8; 32]);

impl CallerToken {
    /// The token with this text.
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

pub(super) fn access(reader: &mut Reader, listen: &[Listen]) -> Access {
    const NO_METADATA: &str = "by a name that does not end with localhost, browsers do not say over plain HTTP which page sends a \
        request, so a User-Agent that begins with `Mozilla/` is refused there unless it shows the token of `access.token_file`\n\
        hint: use an `https://` address of `listen`, or a name below `.localhost`";
    let token =
        loaded(|path| read_token(path, 16, "visible ASCII characters", u8::is_ascii_graphic));
    let token = reader.get("access.token_file", token);
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
    const BOTH: &str = "each caller has a credential of its own, which replaces the token\n\
        hint: leave `access.token_file` empty";
    const MISSING: &str = "the file does not exist, so no caller is admitted\n\
        hint: create it with `apig-proxy caller new NAME`";
    let mut callers = Callers::default();
    callers.file = reader.get(KEY, loaded(CallersFile::open));
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
