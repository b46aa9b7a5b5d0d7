//! Secrets in files, and how changes of files are detected.
//!
//! Files are polled, because a swapped symbolic link, as in Kubernetes, causes no event, and neither
//! do files on many kinds of mounts.
//!
//! # What can go wrong
//!
//! People save files with byte order marks, quotes, spaces from copying or other columns, as
//! spreadsheets, or with keys of another cloud. A file may also be read while it is written: it may
//! look complete although the secret is cut off. A change is therefore used only after the file has
//! stayed the same for a moment.

mod csv;
mod profile;

use std::path::{Path, PathBuf};

use http::HeaderValue;
use secrecy::{ExposeSecret, SecretBox, SecretString};

use super::types::{Credentials, Lease, Origin, Secret};
use super::{CredentialsError, key_check};
use crate::config::{CredentialsConfig, Environment, FileStamps, read_secret_file, stamps};
use crate::escape::Escaped;

/// The files that systemd's `LoadCredential=` may put into its folder.
const SYSTEMD: [&str; 4] = [
    "credentials.csv",
    "access_key",
    "secret_key",
    "security_token",
];

/// A key as parsers give it: with the project that the file names.
type Parsed = (Credentials, Option<HeaderValue>);

/// The files that hold one secret.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub(super) path: PathBuf,
    pub(super) format: Format,
}

/// What the files hold.
#[derive(Clone, Debug)]
pub(super) enum Format {
    /// A key of this user, or the first one, in one of the formats that [`parse`] reads.
    Key(Option<String>),
    /// A folder with the files of [`SYSTEMD`].
    Systemd(Option<String>),
    /// A token or an app code.
    Text,
    /// An API key, as text or as the CSV of the console.
    ApiKey,
}

impl Files {
    /// The state of the files now.
    pub(super) fn stamps(&self) -> FileStamps {
        match self.format {
            Format::Systemd(_) => stamps(&SYSTEMD.map(|name| self.path.join(name))),
            _ => stamps(std::slice::from_ref(&self.path)),
        }
    }

    /// Reads the secret.
    pub(super) fn load(&self) -> Result<Lease, CredentialsError> {
        let path = &self.path;
        match &self.format {
            Format::Key(user) => load_key(path, user.as_deref()),
            Format::Systemd(user) => load_folder(path, user.as_deref()),
            Format::Text => header_text(path, |text| Ok(text.into())),
            Format::ApiKey => header_text(path, api_key),
        }
    }
}

/// Parses the content of the file at `path`: a `credentials.csv`, a profile, or KooCLI's file, told
/// apart by the first character. Of a `credentials.csv` it takes the row of `user`, or the first.
///
/// # Errors
///
/// A [`CredentialsError`] that says what to do, and nothing of the content.
pub fn parse(content: &[u8], path: &Path, user: Option<&str>) -> Result<Lease, CredentialsError> {
    let parsed = text_bytes(content).and_then(|bytes| match bytes.trim_ascii_start().first() {
        Some(b'{') => profile::parse_hcloud(utf8(bytes)?),
        Some(b'[' | b';' | b'#') => profile::parse(utf8(bytes)?),
        _ => csv::parse(bytes, user),
    });
    let (key, project_id) = parsed.map_err(|problem| invalid(path, problem))?;
    Ok(Lease {
        project_id,
        ..Lease::lasting(Secret::Key(key), Origin::File(path.to_owned()))
    })
}

fn read(path: &Path) -> Result<SecretBox<Vec<u8>>, CredentialsError> {
    let path = path.to_owned();
    read_secret_file(&path).map_err(|source| CredentialsError::File { path, source })
}

fn load_key(path: &Path, user: Option<&str>) -> Result<Lease, CredentialsError> {
    parse(read(path)?.expose_secret(), path, user)
}

fn load_folder(folder: &Path, user: Option<&str>) -> Result<Lease, CredentialsError> {
    let [whole, access_key, secret_key, token] = SYSTEMD.map(|name| folder.join(name));
    if whole.exists() {
        return load_key(&whole, user);
    }
    let text = |path: &Path| read_text(path, |text| Ok(text.into()));
    let token = token.exists().then(|| text(&token)).transpose()?;
    let (ak, sk) = (text(&access_key)?, text(&secret_key)?);
    let key = Credentials::checked(ak.expose_secret(), sk, token);
    let key = key.map_err(|problem| invalid(&access_key, problem))?;
    Ok(Lease::lasting(Secret::Key(key), Origin::File(access_key)))
}

/// The only line of a file, without white space around it.
pub(super) fn read_line(path: &Path) -> Result<SecretString, CredentialsError> {
    read_text(path, |text| {
        let is_line = !text.is_empty() && !text.chars().any(char::is_control);
        let line = is_line.then(|| text.into());
        line.ok_or("does not hold exactly one line of text\nhint: write the file again")
    })
}

type Find = fn(&str) -> Result<SecretString, &'static str>;

fn read_text(path: &Path, find: Find) -> Result<SecretString, CredentialsError> {
    let content = read(path)?;
    let text = text_bytes(content.expose_secret()).and_then(utf8);
    let secret = text.and_then(|text| find(text.trim()));
    secret.map_err(|problem| invalid(path, problem))
}

/// The API key of a file: its whole text, or a column of the console's CSV.
fn api_key(text: &str) -> Result<SecretString, &'static str> {
    if !text.contains(['\n', ',']) {
        return Ok(text.into());
    }
    csv::api_key(text.as_bytes())
        .ok_or("has no key in a column \"api_key\"\nhint: write the API key alone into the file")
}

/// A secret that a header can carry.
fn header_text(path: &Path, find: Find) -> Result<Lease, CredentialsError> {
    const WORD: &str =
        "does not hold exactly one word of visible ASCII characters\nhint: write the file again";
    let secret = read_text(path, find)?;
    let text = secret.expose_secret();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(invalid(path, WORD));
    }
    key_check::check_text(text).map_err(|problem| invalid(path, problem))?;
    let origin = Origin::File(path.to_owned());
    Ok(Lease::lasting(Secret::Text(secret), origin))
}

/// The bytes of a text file in an encoding that contains ASCII, without a byte order mark.
fn text_bytes(content: &[u8]) -> Result<&[u8], &'static str> {
    const WORKBOOK: &str = "is a workbook of a spreadsheet program (xlsx or xls)\n\
        hint: give the `credentials.csv` as it was downloaded, or save the sheet as CSV";
    const UTF16: &str = "is UTF-16, as some editors save it\nhint: save it as UTF-8";
    // A zip archive, and the container of older workbooks.
    if content.starts_with(b"PK\x03\x04") || content.starts_with(b"\xd0\xcf\x11\xe0") {
        return Err(WORKBOOK);
    }
    if content.starts_with(b"\xff\xfe") || content.starts_with(b"\xfe\xff") || content.contains(&0)
    {
        return Err(UTF16);
    }
    Ok(content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content))
}

fn utf8(bytes: &[u8]) -> Result<&str, &'static str> {
    str::from_utf8(bytes).map_err(|_| "is not UTF-8 text\nhint: save it as UTF-8")
}

fn invalid(path: &Path, problem: &'static str) -> CredentialsError {
    let origin = Origin::File(path.to_owned());
    CredentialsError::Invalid { origin, problem }
}

/// The folder that systemd fills.
pub(super) fn systemd(
    config: &CredentialsConfig,
    environment: &Environment,
) -> Result<Files, CredentialsError> {
    let has_key = |path: &PathBuf| SYSTEMD[..2].iter().any(|name| path.join(name).exists());
    let path = environment.path("CREDENTIALS_DIRECTORY").filter(has_key);
    let what = "CREDENTIALS_DIRECTORY is not set, or holds no key";
    Ok(Files {
        path: path.ok_or_else(|| CredentialsError::absent(what, ""))?,
        format: Format::Systemd(config.user.clone()),
    })
}

pub(super) fn named(config: &CredentialsConfig) -> Result<Files, CredentialsError> {
    let what = format!("there is no {}", Escaped(config.file.display()));
    key_file(config, Some(config.file.clone()), &what, "")
}

pub(super) fn profile(
    config: &CredentialsConfig,
    environment: &Environment,
) -> Result<Files, CredentialsError> {
    let named = environment.path("HUAWEICLOUD_SDK_CREDENTIALS_FILE");
    let home = || Some(environment.path("HOME")?.join(".huaweicloud/credentials"));
    let what = match named {
        Some(_) => "there is no file where HUAWEICLOUD_SDK_CREDENTIALS_FILE says",
        None => "there is no ~/.huaweicloud/credentials",
    };
    let hint = "set HOME, or HUAWEICLOUD_SDK_CREDENTIALS_FILE";
    key_file(config, named.or_else(home), what, hint)
}

/// A file with a key. It may be missing unless its source is named.
fn key_file(
    config: &CredentialsConfig,
    path: Option<PathBuf>,
    what: &str,
    hint: &'static str,
) -> Result<Files, CredentialsError> {
    let is_named = config.source != "auto";
    let path = path.filter(|path| is_named || path.exists());
    Ok(Files {
        path: path.ok_or_else(|| CredentialsError::absent(what, hint))?,
        format: Format::Key(config.user.clone()),
    })
}

#[cfg(test)]
mod tests;
