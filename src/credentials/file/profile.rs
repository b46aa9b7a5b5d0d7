//! The SDKs' profile: an INI file with the sections `[basic]` and `[global]`, or with `[app]` for
//! the key and the secret of an app, which sign in the same way.
//!
//! Parsed by hand rather than by a crate: a secret may hold any character, so that nothing in a
//! value has a meaning of its own, and nothing is copied that would have to be zeroized.

use secrecy::SecretString;

use super::Parsed;
use crate::credentials::types::Credentials;

/// Sections that may hold a key, with the names of its two parts.
const SECTIONS: [(&str, &str, &str); 3] = [
    ("basic", "ak", "sk"),
    ("global", "ak", "sk"),
    ("app", "app_key", "app_secret"),
];

/// The key of the first section that has one, and the project.
pub(super) fn parse(text: &str) -> Result<Parsed, &'static str> {
    const NO_LINES: &str =
        "is not a profile\nhint: write lines of the form `ak = value` below `[basic]`";
    const NO_KEY: &str = "has no ak and sk in its section [basic]\nhint: add both";
    let lines = lines(text).ok_or(NO_LINES)?;
    for (section, key, secret) in SECTIONS {
        let value = |name: &str| {
            let mut lines = lines.iter();
            let line = lines.find(|line| (line[0], line[1]) == (section, name));
            line.map(|line| line[2])
        };
        if let (Some(access_key), Some(secret_key)) = (value(key), value(secret)) {
            let value = |name| value(name).filter(|value| !value.is_empty());
            let token = value("security_token").map(SecretString::from);
            let key = Credentials::checked(access_key, secret_key.into(), token)?;
            return Ok((key, value("project_id").and_then(|id| id.parse().ok())));
        }
    }
    Err(NO_KEY)
}

/// Section, name and value of each line `name = value` or `name: value`; `None` if there is another
/// kind of line.
fn lines(text: &str) -> Option<Vec<[&str; 3]>> {
    let mut section = "";
    let mut lines = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with([';', '#']) {
            continue;
        }
        if let Some(rest) = line.strip_prefix('[') {
            section = rest.split_once(']')?.0.trim();
            continue;
        }
        let (name, value) = line.split_once(['=', ':'])?;
        lines.push([section, name.trim_end(), value.trim_start()]);
    }
    Some(lines)
}
