//! Where what requests show comes from, and how it is kept fresh while it is used.
//!
//! ```text
//! needs ─► Supply::open ─► start ─► keep ─► Feed ─► every worker
//! which    finds the       asks     renews,   the current secret,
//! secrets  source          once     re-reads  and how it went
//! ```
//!
//! With `credentials.source = "auto"`, the first of these that is there gives the key that signs:
//!
//! 1. STS, if `HUAWEICLOUD_OIDC_PROVIDER_URN` is set;
//! 2. IAM with a token of an identity provider, if `HUAWEICLOUD_SDK_IDP_ID` is set;
//! 3. `HUAWEICLOUD_SDK_AK` and `HUAWEICLOUD_SDK_SK`, as for the SDKs, then `HW_ACCESS_KEY` and
//!    `HW_SECRET_KEY`, then `OS_ACCESS_KEY` and `OS_SECRET_KEY`, as for Terraform;
//! 4. systemd's `$CREDENTIALS_DIRECTORY`: `credentials.csv`, or one file each for the parts of a key;
//! 5. the file of `credentials.file`, which is `./credentials.csv` by default;
//! 6. the SDKs' profile, `~/.huaweicloud/credentials`;
//! 7. the metadata service of a server with an agency;
//! 8. the identity of a pod, if `HC_CONTAINER_CREDENTIALS_FULL_URI` is set.
//!
//! A source that is there but broken is an error and not passed over: it would be a surprise to sign
//! with another key than the one that was given. Naming a file makes it the only source.
//!
//! # What can go wrong
//!
//! Everything that people do to files: byte order marks, quotes, blanks from copying, other
//! columns, keys of another cloud, half a file. Services refuse, hang, and give keys that have ended. The
//! old secret is used for as long as it is good; only then do requests fail. Errors say what to do, and
//! never what was read.
//!
//! # What stays in memory
//!
//! What is read of a file, the copies that parsers make of it and the parts of a key are wiped as soon as
//! they are not needed; a key that signs is kept as the state of its HMAC, which is wiped too. Not wiped
//! are the environment block, which belongs to the system, what `hmac` leaves on the stack when it is
//! given the key, the password of a network's proxy, what a service sent while it is read, and the heads of
//! requests on their way, which hold tokens. So other processes of the same user are kept from the memory as a whole
//! (`cli::memory`).

mod csv_file;
mod environment;
mod environment_services;
mod error;
mod feed;
mod files;
mod hcloud;
mod issued;
mod keeper;
mod profile;
mod search;
mod service;
mod start;
mod supply;
mod wiped;

use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use crate::config::Environment;
use crate::config::secret::read_secret_file;
pub use error::CredentialsError;
pub use feed::{Feed, FeedStatus};
pub use issued::{Issued, Secret};
pub use keeper::keep;
pub use service::ServiceError;
pub use start::start;
pub use supply::{Kind, Need, Supply, needs};

/// An access key pair, with the token that a temporary pair needs.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The access key id (AK): a name and no secret, but kept out of answers all the same.
    pub access_key: String,
    /// The secret access key (SK).
    pub secret_key: SecretString,
    /// `X-Security-Token` of a temporary pair.
    pub security_token: Option<SecretString>,
}

/// Credentials, and where they were found.
#[derive(Clone, Debug)]
pub struct Found {
    /// The credentials.
    pub credentials: Credentials,
    /// A project that the source names.
    pub project_id: Option<http::HeaderValue>,
    /// Where they were found.
    pub origin: Origin,
}

/// Where credentials were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In environment variables; the name of the one with the access key.
    Environment(&'static str),
    /// In a file.
    File(PathBuf),
    /// A service gave them; its name.
    Service(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(name) => write!(f, "the environment ({name})"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Service(name) => f.write_str(name),
        }
    }
}

/// Loads credentials from a file.
fn load_file(path: &Path, user: Option<&str>) -> Result<Found, CredentialsError> {
    parse(read_secret_file(path)?.expose_secret(), path, user)
}

/// Reads the content of the file at `path`, whose kind is told from that content: a `credentials.csv`, a
/// profile, or KooCLI's file. Of a `credentials.csv` it takes the row of `user`, or the first.
///
/// # Errors
///
/// A [`CredentialsError`] that says what to do, and nothing of the content.
pub fn parse(content: &[u8], path: &Path, user: Option<&str>) -> Result<Found, CredentialsError> {
    let text = text_of(content, path)?;
    let (credentials, project_id) = match text.trim_start().as_bytes().first() {
        Some(b'{') => (hcloud::parse(text, path)?, None),
        Some(b'[' | b';' | b'#') => profile::parse(text, path)?,
        _ => (csv_file::parse(text, path, user)?, None),
    };
    Ok(Found {
        credentials,
        project_id,
        origin: Origin::File(path.to_owned()),
    })
}

/// Loads what systemd's `LoadCredential=` put into a folder, if it is there.
fn load_folder(folder: &Path, user: Option<&str>) -> Result<Option<Found>, CredentialsError> {
    let whole = folder.join("credentials.csv");
    if whole.exists() {
        return load_file(&whole, user).map(Some);
    }
    let access_key = folder.join("access_key");
    if !access_key.exists() {
        return Ok(None);
    }
    let part = |name: &str| -> Result<SecretString, CredentialsError> {
        let path = folder.join(name);
        let content = read_secret_file(&path)?;
        Ok(text_of(content.expose_secret(), &path)?.trim().into())
    };
    let token = folder
        .join("security_token")
        .exists()
        .then(|| part("security_token"))
        .transpose()?;
    let origin = Origin::File(access_key);
    let credentials = checked(
        part("access_key")?.expose_secret(),
        &part("secret_key")?,
        token,
        &origin,
    )?;
    Ok(Some(Found {
        credentials,
        project_id: None,
        origin,
    }))
}

/// The text of a file, without a byte order mark.
fn text_of<'a>(content: &'a [u8], path: &Path) -> Result<&'a str, CredentialsError> {
    if content.starts_with(b"\xff\xfe") || content.starts_with(b"\xfe\xff") || content.contains(&0)
    {
        return Err(CredentialsError::Utf16(path.to_owned()));
    }
    let text =
        std::str::from_utf8(content).map_err(|_| CredentialsError::NotUtf8(path.to_owned()))?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Credentials whose parts look like what they should be.
fn checked(
    access_key: &str,
    secret_key: &SecretString,
    security_token: Option<SecretString>,
    origin: &Origin,
) -> Result<Credentials, CredentialsError> {
    let error = |error: fn(Origin) -> CredentialsError| Err(error(origin.clone()));
    let clean =
        |text: &str| !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || c.is_control());
    let (secret, token) = (
        secret_key.expose_secret(),
        security_token.as_ref().map(ExposeSecret::expose_secret),
    );
    if !clean(access_key) || !clean(secret) || !token.is_none_or(clean) {
        return error(CredentialsError::Blanks);
    }
    // Values of a header, and in the case of the access key one that a comma ends.
    if !access_key
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b',')
        || !token.is_none_or(str::is_ascii)
    {
        return error(CredentialsError::NotAKey);
    }
    if access_key.len() == 20 && access_key.starts_with("AKIA") || access_key.starts_with("LTAI") {
        return error(CredentialsError::OtherCloud);
    }
    let access_key = access_key.to_owned();
    Ok(Credentials {
        access_key,
        secret_key: secret_key.clone(),
        security_token,
    })
}

fn profile_path(environment: &Environment) -> Option<PathBuf> {
    environment
        .path("HUAWEICLOUD_SDK_CREDENTIALS_FILE")
        .or_else(|| {
            environment
                .path("HOME")
                .map(|home| home.join(".huaweicloud/credentials"))
        })
}

/// KooCLI's file, if there is one: it is not looked into unasked, but it may hold the key.
fn hcloud_file(environment: &Environment) -> Option<PathBuf> {
    let home = environment.path("HOME")?;
    Some(home.join(".hcloud/config.json")).filter(|path| path.exists())
}

#[cfg(test)]
mod tests;
