//! `credentials.csv` of the console: `User Name,Access Key Id,Secret Access Key`, a row per key.
//!
//! Columns are found by name, because files with other columns and orders are about. Only the three
//! names are certain; that there may be a byte order mark, quotes or CRLF is not documented.

use std::path::Path;

use csv::{ReaderBuilder, StringRecord, Trim};
use secrecy::SecretString;

use super::{Credentials, CredentialsError, Origin, checked};

/// The key of a user's row, or of the first.
pub(super) fn parse(
    text: &str,
    path: &Path,
    user: Option<&str>,
) -> Result<Credentials, CredentialsError> {
    let mut reader = ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .trim(Trim::All)
        .from_reader(text.as_bytes());
    let mut rows = reader
        .records()
        .filter_map(Result::ok)
        .filter(|row| row.iter().any(|field| !field.is_empty()));
    let names = rows
        .next()
        .ok_or_else(|| CredentialsError::NoRow(path.to_owned()))?;
    let column = |name: &str| names.iter().position(|field| squeezed(field) == name);
    let (Some(access_key), Some(secret_key)) = (column("accesskeyid"), column("secretaccesskey"))
    else {
        let is_api_key = column("api_key").is_some() || column("apikey").is_some();
        let error = if is_api_key {
            CredentialsError::ApiKey
        } else {
            CredentialsError::Columns
        };
        return Err(error(path.to_owned()));
    };
    let user_name = column("username");
    let is_chosen = |row: &StringRecord| match (user, user_name) {
        (None, _) => true,
        (Some(user), Some(column)) => row.get(column) == Some(user),
        (Some(_), None) => false,
    };
    let missing = if user.is_some() {
        CredentialsError::NoSuchUser
    } else {
        CredentialsError::NoRow
    };
    let row = rows
        .find(is_chosen)
        .ok_or_else(|| missing(path.to_owned()))?;
    let secret_key = SecretString::from(row.get(secret_key).unwrap_or_default());
    let origin = Origin::File(path.to_owned());
    checked(
        row.get(access_key).unwrap_or_default(),
        &secret_key,
        None,
        &origin,
    )
}

/// The name of a column in one spelling: lower case, without blanks.
fn squeezed(name: &str) -> String {
    name.chars()
        .filter(|c| !c.is_whitespace())
        .collect::<String>()
        .to_lowercase()
}
