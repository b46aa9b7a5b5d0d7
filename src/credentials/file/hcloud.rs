//! KooCLI's `~/.hcloud/config.json`. Its keys are encrypted unless it was told otherwise. The
//! encryption is not documented, so that an encrypted file is recognised and explained, not read.

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::Parsed;
use crate::credentials::key_check::{is_access_key, is_secret_key};
use crate::credentials::types::Credentials;

#[derive(Deserialize)]
struct Config {
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

/// The key of the current profile, if it is not encrypted.
pub(super) fn parse(text: &str) -> Result<Parsed, &'static str> {
    const OTHER: &str =
        "is JSON, but not KooCLI's configuration with an access key\nhint: use a credentials.csv";
    const ENCRYPTED: &str = "is KooCLI's configuration, and its keys are encrypted\n\
        hint: run `hcloud configure set --cli-auth-encrypt=false` (KooCLI 5.2.7 or newer) and configure the key again, \
        or use a credentials.csv";
    let config: Config = serde_json::from_str(text).map_err(|_| OTHER)?;
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
