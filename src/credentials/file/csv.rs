//! `credentials.csv` of the console: `User Name,Access Key Id,Secret Access Key`, a row per key.
//!
//! Columns are found by name, because files with other columns and orders are about. Parsed with
//! `csv-core`, which leaves all memory to its caller, so that every copy is zeroized.

use csv_core::{ReadFieldResult, Reader};
use secrecy::{ExposeSecret, ExposeSecretMut, SecretBox, SecretString};

use super::Parsed;
use crate::credentials::types::Credentials;

/// The trimmed fields of a row.
type Row = Vec<SecretString>;

/// The key in the row of a user, or in the first row.
pub(super) fn parse(text: &str, user: Option<&str>) -> Result<Parsed, &'static str> {
    let rows = rows(text);
    let no_row = "has no key below its first line; download it again";
    let (names, rows) = rows.split_first().ok_or(no_row)?;
    let (Some(access_key), Some(secret_key)) = (
        column(names, "accesskeyid"),
        column(names, "secretaccesskey"),
    ) else {
        let is_api_key = column(names, "api_key").or_else(|| column(names, "apikey"));
        return Err(match is_api_key {
            Some(_) => {
                "holds an API key of ModelArts, which does not sign requests; download an access key \
                 from My Credentials in the console"
            }
            None => {
                "has no columns \"Access Key Id\" and \"Secret Access Key\" in its first line; \
                 download credentials.csv again and leave its first line as it is"
            }
        });
    };
    let user_name = column(names, "username");
    let is_wanted = |row: &&Row| user.is_none() || user_name.and_then(|at| field(row, at)) == user;
    let row = rows.iter().find(is_wanted).ok_or(match user {
        Some(_) => {
            "has no key of the user that credentials.user names; correct the name, or leave it out \
             for the first"
        }
        None => no_row,
    })?;
    let value = |column| field(row, column).unwrap_or_default();
    let key = Credentials::checked(value(access_key), value(secret_key).into(), None)?;
    Ok((key, None))
}

/// The first API key of the console's list.
pub(super) fn api_key(text: &str) -> Option<SecretString> {
    let rows = rows(text);
    let (names, rows) = rows.split_first()?;
    let at = column(names, "api_key")?;
    let mut keys = rows.iter().filter_map(|row| field(row, at));
    keys.find(|key| !key.is_empty()).map(SecretString::from)
}

fn field(row: &Row, column: usize) -> Option<&str> {
    row.get(column).map(ExposeSecret::expose_secret)
}

/// The column of this name, which is compared in lower case and without blanks.
fn column(names: &Row, wanted: &str) -> Option<usize> {
    names.iter().position(|name| {
        let name = name.expose_secret().chars().filter(|c| !c.is_whitespace());
        name.collect::<String>().to_lowercase() == wanted
    })
}

/// All rows that are not blank.
fn rows(text: &str) -> Vec<Row> {
    // Longer than the longest possible field, since the reader takes a full buffer for too short a
    // one.
    let mut buffer = SecretBox::new(Box::new(vec![0; text.len() + 8]));
    let buffer = buffer.expose_secret_mut();
    let (mut reader, mut rest, mut length) = (Reader::new(), text.as_bytes(), 0);
    let (mut rows, mut row) = (Vec::new(), Row::new());
    loop {
        let (result, read, written) = reader.read_field(rest, &mut buffer[length..]);
        (rest, length) = (&rest[read..], length + written);
        match result {
            // Read again with nothing left, it ends the last row.
            ReadFieldResult::InputEmpty => {}
            ReadFieldResult::Field { record_end } => {
                // Split at ASCII characters, UTF-8 stays valid.
                let field = str::from_utf8(&buffer[..length]).unwrap_or_default();
                row.push(field.trim().into());
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
