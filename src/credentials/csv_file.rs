//! `credentials.csv` of the console: `User Name,Access Key Id,Secret Access Key`, a row per key.
//!
//! Columns are found by name, because files with other columns and orders are about. Only the three
//! names are certain; that there may be a byte order mark, quotes or CRLF is not documented.
//!
//! Read with `csv-core`, which leaves all memory to its caller: everything that is copied is wiped.

use std::path::{Path, PathBuf};

use csv_core::{ReadFieldResult, Reader};
use secrecy::{ExposeSecret, ExposeSecretMut, SecretBox, SecretString};

use super::{Credentials, CredentialsError, Origin, checked};

/// The key of a user's row, or of the first.
pub(super) fn parse(
    text: &str,
    path: &Path,
    user: Option<&str>,
) -> Result<Credentials, CredentialsError> {
    let mut rows = Rows::of(text).filter(Row::has_text);
    let names = rows
        .next()
        .ok_or_else(|| CredentialsError::NoRow(path.to_owned()))?;
    let columns = Columns::find(&names).map_err(|error| error(path.to_owned()))?;
    let row = rows
        .find(|row| user.is_none() || columns.user_name.and_then(|at| row.field(at)) == user)
        .ok_or_else(|| {
            let missing = if user.is_some() {
                CredentialsError::NoSuchUser
            } else {
                CredentialsError::NoRow
            };
            missing(path.to_owned())
        })?;
    let secret_key = SecretString::from(row.field(columns.secret_key).unwrap_or_default());
    checked(
        row.field(columns.access_key).unwrap_or_default(),
        &secret_key,
        None,
        &Origin::File(path.to_owned()),
    )
}

/// What stands in a column of the first row that has something there.
pub(super) fn column(text: &str, name: &str) -> Option<SecretString> {
    let mut rows = Rows::of(text).filter(Row::has_text);
    let names = rows.next()?;
    let is_it = |field: &SecretString| squeezed(field.expose_secret()) == name;
    let at = names.0.iter().position(is_it)?;
    rows.find_map(|row| {
        row.field(at)
            .filter(|field| !field.is_empty())
            .map(SecretString::from)
    })
}

/// The fields of a row, without the blanks around them.
struct Row(Vec<SecretString>);

impl Row {
    fn field(&self, column: usize) -> Option<&str> {
        self.0.get(column).map(ExposeSecret::expose_secret)
    }

    fn has_text(&self) -> bool {
        self.0.iter().any(|field| !field.expose_secret().is_empty())
    }
}

/// The rows of a text, one after the other.
struct Rows<'a> {
    reader: Reader,
    rest: &'a [u8],
    /// Room for the longest field that there can be, and some more: full is what it must not get.
    field: SecretBox<Vec<u8>>,
}

impl<'a> Rows<'a> {
    fn of(text: &'a str) -> Self {
        Self {
            reader: Reader::new(),
            rest: text.as_bytes(),
            field: SecretBox::new(Box::new(vec![0; text.len() + 8])),
        }
    }
}

impl Iterator for Rows<'_> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        let mut row = Vec::new();
        let mut length = 0;
        loop {
            let field = self.field.expose_secret_mut();
            let (result, read, written) = self.reader.read_field(self.rest, &mut field[length..]);
            self.rest = &self.rest[read..];
            length += written;
            match result {
                // Asked again with nothing left, it ends the last row.
                ReadFieldResult::InputEmpty => {}
                ReadFieldResult::Field { record_end } => {
                    // Cut at ASCII characters, UTF-8 stays what it is.
                    let text = str::from_utf8(&field[..length]).unwrap_or_default();
                    row.push(SecretString::from(text.trim()));
                    length = 0;
                    if record_end {
                        return Some(Row(row));
                    }
                }
                ReadFieldResult::OutputFull | ReadFieldResult::End => return None,
            }
        }
    }
}

/// Where in a row things are.
#[derive(Debug)]
struct Columns {
    user_name: Option<usize>,
    access_key: usize,
    secret_key: usize,
}

impl Columns {
    fn find(names: &Row) -> Result<Self, fn(PathBuf) -> CredentialsError> {
        let column = |name: &str| {
            let is_it = |field: &SecretString| squeezed(field.expose_secret()) == name;
            names.0.iter().position(is_it)
        };
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
}

/// The name of a column in one spelling: lower case, without blanks.
fn squeezed(name: &str) -> String {
    name.chars()
        .filter(|c| !c.is_whitespace())
        .collect::<String>()
        .to_lowercase()
}
