//! The SDKs' profile: an INI file with the sections `[basic]` and `[global]`, or with `[app]` for the key and
//! the secret of an app, which sign in the same way.
//!
//! Read by hand rather than by a crate: a secret may have any character, so nothing in a value has a
//! meaning of its own, and what is read stays where it is, with no copies to be wiped.

use std::path::Path;

use http::HeaderValue;
use secrecy::SecretString;

use super::{Credentials, CredentialsError, Origin, checked};

/// Sections that may have a key, with the names of its two parts.
const SECTIONS: [(&str, &str, &str); 3] = [
    ("basic", "ak", "sk"),
    ("global", "ak", "sk"),
    ("app", "app_key", "app_secret"),
];

/// The key of the first section that has one, and the project.
pub(super) fn parse(
    text: &str,
    path: &Path,
) -> Result<(Credentials, Option<HeaderValue>), CredentialsError> {
    let lines = Line::all(text).ok_or_else(|| CredentialsError::NotAProfile(path.to_owned()))?;
    let value = |section: &str, name: &str| {
        lines
            .iter()
            .find(|line| line.section == section && line.name == name)
            .map(|line| line.value)
    };
    let (section, key, secret) = SECTIONS
        .into_iter()
        .find(|(section, key, secret)| {
            value(section, key).is_some() && value(section, secret).is_some()
        })
        .ok_or_else(|| CredentialsError::Profile(path.to_owned()))?;
    let value = |name| value(section, name).filter(|value| !value.is_empty());
    let secret_key = SecretString::from(value(secret).unwrap_or_default());
    let token = value("security_token").map(SecretString::from);
    let origin = Origin::File(path.to_owned());
    let credentials = checked(value(key).unwrap_or_default(), &secret_key, token, &origin)?;
    let project_id = value("project_id").and_then(|id| HeaderValue::from_str(id).ok());
    Ok((credentials, project_id))
}

/// A line `name = value`, or `name: value`, without the blanks around each.
struct Line<'a> {
    section: &'a str,
    name: &'a str,
    value: &'a str,
}

impl<'a> Line<'a> {
    /// All of a text but comments, or `None` if there are lines of another kind.
    fn all(text: &'a str) -> Option<Vec<Self>> {
        let mut section = "";
        let mut all = Vec::new();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with([';', '#']) {
                continue;
            }
            if let Some(rest) = line.strip_prefix('[') {
                section = rest.split_once(']')?.0.trim();
                continue;
            }
            let (name, value) = line.split_once(['=', ':'])?;
            all.push(Self {
                section,
                name: name.trim_end(),
                value: value.trim_start(),
            });
        }
        Some(all)
    }
}
