//! Profiles: that of KooCLI, which is JSON, and that of the SDKs: an INI file with the sections `[basic]` and `[global]`, or with `[app]` for
//! the key and the secret of an app, which sign in the same way.
//!
//! The INI file is parsed by hand rather than by a crate: a secret may contain any character, so nothing in
//! a value is special, and no copies are made that would have to be zeroized.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::Parsed;
use crate::credentials::key_check::{is_access_key, is_secret_key};
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

#[derive(Deserialize)]
struct Hcloud {
    current: Option<String>,
    profiles: Vec<Profile>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Profile {
    name: Option<String>,
    access_key_id: Option<SecretString>,
    secret_access_key: Option<SecretString>,
    security_token: Option<SecretString>,
}

/// The key of the current profile of KooCLI's `~/.hcloud/config.json`. Its keys are encrypted by
/// default. The encryption is not documented, so an encrypted file is recognised and explained, not
/// read.
pub(super) fn parse_hcloud(text: &str) -> Result<Parsed, &'static str> {
    const OTHER: &str =
        "is JSON, but not KooCLI's configuration with an access key\nhint: use a `credentials.csv`";
    const ENCRYPTED: &str = "is KooCLI's configuration, and its keys are encrypted\n\
        hint: run `hcloud configure set --cli-auth-encrypt=false` (KooCLI 5.2.7 or newer) and configure the key again, \
        or use a credentials.csv";
    let config: Hcloud = serde_json::from_str(text).map_err(|_| OTHER)?;
    let is_current = |profile: &Profile| config.current.is_none() || profile.name == config.current;
    let profile = config.profiles.into_iter().find(is_current).ok_or(OTHER)?;
    let filled = |part: Option<SecretString>| part.filter(|part| !part.expose_secret().is_empty());
    let access_key = filled(profile.access_key_id).ok_or(OTHER)?;
    let secret_key = filled(profile.secret_access_key).ok_or(OTHER)?;
    if !is_access_key(access_key.expose_secret()) || !is_secret_key(secret_key.expose_secret()) {
        return Err(ENCRYPTED);
    }
    let token = filled(profile.security_token);
    let key = Credentials::checked(access_key.expose_secret(), secret_key, token)?;
    Ok((key, None))
}
