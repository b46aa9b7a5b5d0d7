//! The inspector: what it keeps, and who may read it (`[inspect]`).
//!
//! It is served by the admin listener alone, so enabling it without one is a problem.

use http::HeaderName;
use secrecy::SecretString;

use super::address::Listen;
use super::file::read_token;
use super::layers::Setting;
use super::owned_headers::is_owned;
use super::reader::Reader;
use super::value::{Parsed, boolean, count, list, loaded, size, word};

/// The inspector (`[inspect]`). Sizes are in bytes.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the reference describes the keys")]
pub struct InspectConfig {
    pub enabled: bool,
    pub requests: usize,
    pub memory: usize,
    /// Zero for nothing.
    pub bodies: usize,
    pub replay: ReplayPolicy,
    pub reveal: Vec<HeaderName>,
    /// The token of `token_file`.
    pub token: Option<SecretString>,
}

/// Which requests the inspector may send again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplayPolicy {
    /// All; unsafe methods after a confirmation.
    Ask,
    /// Those with a safe method.
    Safe,
    /// None.
    Off,
}

impl ReplayPolicy {
    /// The word of the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::Safe => "safe",
            Self::Off => "off",
        }
    }
}

pub(super) fn inspect(reader: &mut Reader, admin: Option<&Listen>) -> InspectConfig {
    const NO_ADMIN: &str = "the inspector is served by the admin listener, which is off\n\
        hint: set `admin` to an address, like \"127.0.0.1:8081\", or to a unix socket";
    let enabled = reader.get("inspect.enabled", boolean);
    if enabled && admin.is_none() && !reader.is_wrong("admin") {
        reader.report("inspect.enabled", NO_ADMIN);
    }
    let replay = [ReplayPolicy::Ask, ReplayPolicy::Safe, ReplayPolicy::Off];
    let replay = word(replay.map(|policy| (policy.name(), policy)));
    // It is part of an address, where others would have to be escaped.
    let is_part: fn(&u8) -> bool =
        |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let token = loaded(|path| read_token(path, 32, "letters, digits, `-` and `_`", is_part));
    InspectConfig {
        enabled,
        requests: reader.get("inspect.requests", count(1)),
        memory: reader.get("inspect.memory", size("1MiB", "1GiB")),
        bodies: reader.get("inspect.bodies", bodies),
        replay: reader.get("inspect.replay", replay),
        reveal: reader.get("inspect.reveal", list(revealed)),
        token: reader.get("inspect.token_file", token),
    }
}

fn bodies(setting: &Setting) -> Parsed<usize> {
    const EXPECTED: &str = "expected a size from \"1B\" to \"16MiB\", like \"64KiB\", or \"off\"";
    let text = setting.value.as_str().unwrap_or_default();
    if text.eq_ignore_ascii_case("off") {
        return Ok(0);
    }
    size("1B", "16MiB")(setting).map_err(|_| EXPECTED.into())
}

/// Parses a name whose values are shown.
fn revealed(text: &str) -> Result<HeaderName, &'static str> {
    const EXPECTED: &str = "expected names of headers, like [\"x-session-id\"]";
    const OWNED: &str = "headers that the proxy sets or consumes cannot be revealed, since their values are its credentials\n\
        hint: remove `authorization`, `x-auth-token` and the like from the list";
    let name: HeaderName = text.parse().map_err(|_| EXPECTED)?;
    if is_owned(name.as_str()) {
        return Err(OWNED);
    }
    Ok(name)
}
