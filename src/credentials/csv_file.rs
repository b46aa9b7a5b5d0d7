//! `credentials.csv` of the console: `User Name,Access Key Id,Secret Access Key`, a row per key.
//!
//! Columns are found by name, because files with other columns and orders are about. Only the three
//! names are certain; that there may be a byte order mark, quotes or CRLF is not documented.

use std::path::{Path, PathBuf};

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
    let has_text = |row: &StringRecord| row.iter().any(|field| !field.is_empty());
    let mut rows = reader.records().filter_map(Result::ok).filter(has_text);
    let names = rows
        .next()
        .ok_or_else(|| CredentialsError::NoRow(path.to_owned()))?;
    let columns = Columns::find(&names).map_err(|error| error(path.to_owned()))?;
    let row = rows
        .find(|row| user.is_none() || Columns::field(row, columns.user_name) == user)
        .ok_or_else(|| {
            let missing = if user.is_some() {
                CredentialsError::NoSuchUser
            } else {
                CredentialsError::NoRow
            };
            missing(path.to_owned())
        })?;
    let field = |column| Columns::field(&row, Some(column)).unwrap_or_default();
    let secret_key = SecretString::from(field(columns.secret_key));
    checked(
        field(columns.access_key),
        &secret_key,
        None,
        &Origin::File(path.to_owned()),
    )
}

/// Where in a row things are.
#[derive(Debug)]
struct Columns {
    user_name: Option<usize>,
    access_key: usize,
    secret_key: usize,
}

impl Columns {
    fn find(names: &StringRecord) -> Result<Self, fn(PathBuf) -> CredentialsError> {
        let column = |name: &str| names.iter().position(|field| squeezed(field) == name);
        match (column("accesskeyid"), column("secretaccesskey")) {
            (Some(access_key), Some(secret_key)) => Ok(Self {
                user_name: column("username"),
                access_key,
                secret_key,
            }),
            _ if column("api_key").or_else(|| column("apikey")).is_some() => {
                Err(CredentialsError::ApiKey)
            }
            _ => Err(CredentialsError::Columns),
        }
    }

    fn field(row: &StringRecord, column: Option<usize>) -> Option<&str> {
        row.get(column?)
    }
}

/// The name of a column in one spelling: lower case, without blanks.
fn squeezed(name: &str) -> String {
    name.chars()
        .filter(|c| !c.is_whitespace())
        .collect::<String>()
        .to_lowercase()
}
