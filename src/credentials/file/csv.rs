//! `credentials.csv` of the console: `User Name,Access Key Id,Secret Access Key`, a row per key.
//!
//! Columns are found by name, because their number and order differ between files; spreadsheets
//! separate them with semicolons or tabs, and save user names in the encoding of the system. Parsed with
//! `csv-core`, which leaves all memory to its caller, so that every copy is zeroized.

use csv_core::{ReadFieldResult, ReaderBuilder};
use secrecy::{ExposeSecret, ExposeSecretMut, SecretBox, SecretString};

use super::Parsed;
use crate::credentials::types::Credentials;

type Row = Vec<SecretString>;

/// The key in the row of a user, or in the first row.
pub(super) fn parse(text: &[u8], user: Option<&str>) -> Result<Parsed, &'static str> {
    const NO_ROW: &str = "has no key below its first line\n\
        hint: a key can be downloaded once only, so create a new access key";
    const NO_COLUMNS: &str = "has no columns \"Access Key Id\" and \"Secret Access Key\" in its first line\n\
        hint: write `User Name,Access Key Id,Secret Access Key` there, or create a new access key";
    const API_KEY: &str = "holds an API key of ModelArts, which does not sign requests\n\
        hint: set `api_key_file` and `auth.mode = \"api-key\"`, or create an access key on the page My Credentials";
    const NO_USER: &str = "has no key of the user that `credentials.user` names\n\
        hint: correct the name, or leave it out for the first";
    let rows = rows(text);
    let (names, rows) = rows.split_first().ok_or(NO_ROW)?;
    let column = |wanted| column(names, wanted);
    let (Some(access_key), Some(secret_key)) = (column("accesskeyid"), column("secretaccesskey"))
    else {
        let is_api_key = column("api_key").or_else(|| column("apikey")).is_some();
        return Err(if is_api_key { API_KEY } else { NO_COLUMNS });
    };
    let user_name = column("username");
    let is_wanted = |row: &&Row| user.is_none() || user_name.and_then(|at| field(row, at)) == user;
    let no_row = if user.is_some() { NO_USER } else { NO_ROW };
    let row = rows.iter().find(is_wanted).ok_or(no_row)?;
    let value = |column| field(row, column).unwrap_or_default();
    let key = Credentials::checked(value(access_key), value(secret_key).into(), None)?;
    Ok((key, None))
}

/// The first API key of the console's list.
pub(super) fn api_key(text: &[u8]) -> Option<SecretString> {
    let rows = rows(text);
    let (names, rows) = rows.split_first()?;
    let at = column(names, "api_key")?;
    let mut keys = rows.iter().filter_map(|row| field(row, at));
    keys.find(|key| !key.is_empty()).map(SecretString::from)
}

fn field(row: &Row, column: usize) -> Option<&str> {
    row.get(column).map(ExposeSecret::expose_secret)
}

/// The column of this name, which is compared in lower case and without spaces.
fn column(names: &Row, wanted: &str) -> Option<usize> {
    names.iter().position(|name| {
        let name = name.expose_secret().chars().filter(|c| !c.is_whitespace());
        name.collect::<String>().to_lowercase() == wanted
    })
}

/// The separator of columns, and what follows a first line `sep=;`, which names it for spreadsheets.
fn separator(text: &[u8]) -> (u8, &[u8]) {
    let end = memchr::memchr(b'\n', text).unwrap_or(text.len());
    let (first, rest) = text.split_at(end);
    if let Some([separator, ..]) = first.strip_prefix(b"sep=") {
        return (*separator, rest);
    }
    let count = |wanted: &u8| first.iter().filter(|byte| *byte == wanted).count();
    let separator = [b'\t', b';', b','].into_iter().max_by_key(count);
    (separator.unwrap_or(b','), text)
}

/// All rows that are not blank.
fn rows(text: &[u8]) -> Vec<Row> {
    let (separator, mut rest) = separator(text.trim_ascii_start());
    let mut reader = ReaderBuilder::new().delimiter(separator).build();
    // Longer than the longest possible field, since the reader takes a full buffer for too short a
    // one.
    let mut buffer = SecretBox::new(Box::new(vec![0; text.len() + 8]));
    let buffer = buffer.expose_secret_mut();
    let (mut rows, mut row, mut length) = (Vec::new(), Row::new(), 0);
    loop {
        let (result, read, written) = reader.read_field(rest, &mut buffer[length..]);
        (rest, length) = (&rest[read..], length + written);
        match result {
            // Read again with nothing left, it ends the last row.
            ReadFieldResult::InputEmpty => {}
            ReadFieldResult::Field { record_end } => {
                // Names of users may be in another encoding. Keys are ASCII.
                row.push(String::from_utf8_lossy(&buffer[..length]).trim().into());
                length = 0;
                if record_end {
                    rows.push(std::mem::take(&mut row));
                }
            }
            ReadFieldResult::OutputFull | ReadFieldResult::End => break,
        }
    }
    rows.retain(|row| row.iter().any(|field| !field.expose_secret().is_empty()));
    rows
}
