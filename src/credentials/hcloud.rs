//! KooCLI's `~/.hcloud/config.json`. Its keys are encrypted unless it was told otherwise; how is not
//! documented, so an encrypted file is recognised and explained, not read.

use std::path::Path;

use secrecy::SecretString;
use serde_json::Value;

use super::wiped::Wiped;
use super::{Credentials, CredentialsError, Origin, checked};

/// The key of the current profile, if it is not encrypted.
pub(super) fn parse(text: &str, path: &Path) -> Result<Credentials, CredentialsError> {
    let not_hcloud = || CredentialsError::NotHcloud(path.to_owned());
    let config = Wiped(serde_json::from_str(text).map_err(|_| not_hcloud())?);
    let config = &config.0;
    let current = config.get("current").and_then(Value::as_str);
    let profiles = config
        .get("profiles")
        .and_then(Value::as_array)
        .ok_or_else(not_hcloud)?;
    let name = |profile: &Value| {
        profile
            .get("name")
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let chosen = profiles
        .iter()
        .find(|profile| current.is_none_or(|current| name(profile).as_deref() == Some(current)));
    let field = |name: &str| {
        let value = chosen?.get(name)?.as_str()?;
        (!value.is_empty()).then_some(value)
    };
    let (Some(access_key), Some(secret_key)) = (field("accessKeyId"), field("secretAccessKey"))
    else {
        return Err(not_hcloud());
    };
    if !is_plain(access_key, secret_key) {
        return Err(CredentialsError::Encrypted(path.to_owned()));
    }
    let token = field("securityToken").map(SecretString::from);
    checked(
        access_key,
        &secret_key.into(),
        token,
        &Origin::File(path.to_owned()),
    )
}

/// Whether the two have the shape that the console gives to keys: 20 and 40 letters and digits.
fn is_plain(access_key: &str, secret_key: &str) -> bool {
    let is_upper = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
    access_key.len() == 20
        && access_key.bytes().all(is_upper)
        && secret_key.len() == 40
        && secret_key.bytes().all(|byte| byte.is_ascii_alphanumeric())
}
