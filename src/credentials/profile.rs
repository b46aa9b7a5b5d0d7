//! The SDKs' profile: an INI file with the sections `[basic]` and `[global]`.

use std::path::Path;

use http::HeaderValue;
use ini::{Ini, ParseOption, Properties};
use secrecy::SecretString;

use super::{Credentials, CredentialsError, Origin, checked};

/// The key of `[basic]`, or else of `[global]`, and the project.
pub(super) fn parse(
    text: &str,
    path: &Path,
) -> Result<(Credentials, Option<HeaderValue>), CredentialsError> {
    // A secret may have any character, so nothing in a value has a meaning of its own.
    let options = ParseOption {
        enabled_escape: false,
        enabled_quote: false,
        ..ParseOption::default()
    };
    let profile = Ini::load_from_str_opt(text, options)
        .map_err(|_| CredentialsError::NotAProfile(path.to_owned()))?;
    let has_key =
        |section: &&Properties| section.get("ak").is_some() && section.get("sk").is_some();
    let sections = [
        profile.section(Some("basic")),
        profile.section(Some("global")),
    ];
    let section = sections.into_iter().flatten().find(has_key);
    let section = section.ok_or_else(|| CredentialsError::Profile(path.to_owned()))?;
    let value = |name: &str| {
        section
            .get(name)
            .map(str::trim)
            .filter(|value| !value.is_empty())
    };
    let secret_key = SecretString::from(value("sk").unwrap_or_default());
    let token = value("security_token").map(SecretString::from);
    let origin = Origin::File(path.to_owned());
    let credentials = checked(value("ak").unwrap_or_default(), &secret_key, token, &origin)?;
    let project_id = value("project_id").and_then(|id| HeaderValue::from_str(id).ok());
    Ok((credentials, project_id))
}
