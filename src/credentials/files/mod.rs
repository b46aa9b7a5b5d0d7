//! Secrets in files, which somebody replaces now and then: by rename, by writing them anew, or by the swap
//! of a link as Kubernetes does it.
//!
//! Files are looked at rather than watched for events: a swapped link gives none, and neither does a file
//! on many kinds of mount.
//!
//! # What can go wrong
//!
//! A file may be read while it is written. What is read then may look whole, with a secret that is cut
//! off. So a change is believed only when the file has looked the same for a moment.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use secrecy::{ExposeSecret, SecretString};

use super::issued::{Issued, Secret};
use super::{CredentialsError, Origin, csv_file, load_file, load_folder, text_of};
use crate::config::secret::read_secret_file;

/// Files that hold one secret.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Files {
    paths: Vec<PathBuf>,
    content: Content,
}

/// What the files hold.
#[derive(Clone, Debug, PartialEq)]
enum Content {
    /// A key, in one of the forms that [`super::parse`] knows.
    Key { user: Option<String> },
    /// A key, in the files of systemd's `LoadCredential=`.
    Folder {
        folder: PathBuf,
        user: Option<String>,
    },
    /// Text that is sent as it is.
    Text,
    /// An API key, as text or as the CSV of the console.
    ApiKey,
}

/// How files looked, one after the other.
pub(super) type Stamp = Vec<Option<Look>>;

/// How a file looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Look {
    number: u64,
    length: u64,
    modified: SystemTime,
    /// When anything about it changed, which nobody can set: copying tools set the other time to the old one.
    changed: (i64, i64),
}

impl Files {
    /// A file with a key.
    pub(super) fn key(path: PathBuf, user: Option<String>) -> Self {
        Self {
            paths: vec![path],
            content: Content::Key { user },
        }
    }

    /// A folder with a key, as systemd fills it.
    pub(super) fn folder(folder: PathBuf, user: Option<String>) -> Self {
        let names = [
            "credentials.csv",
            "access_key",
            "secret_key",
            "security_token",
        ];
        Self {
            paths: names.map(|name| folder.join(name)).into(),
            content: Content::Folder { folder, user },
        }
    }

    /// A file with a token or an app code.
    pub(super) fn text(path: PathBuf) -> Self {
        Self {
            paths: vec![path],
            content: Content::Text,
        }
    }

    /// A file with an API key.
    pub(super) fn api_key(path: PathBuf) -> Self {
        Self {
            paths: vec![path],
            content: Content::ApiKey,
        }
    }

    /// How the files look now.
    pub(super) fn stamp(&self) -> Stamp {
        let look = |path: &PathBuf| {
            let metadata = fs::metadata(path).ok()?;
            Some(Look {
                number: metadata.ino(),
                length: metadata.len(),
                modified: metadata.modified().ok()?,
                changed: (metadata.ctime(), metadata.ctime_nsec()),
            })
        };
        self.paths.iter().map(look).collect()
    }

    /// Reads the secret; `None` if there is no such file and there need not be.
    ///
    /// # Errors
    ///
    /// A [`CredentialsError`] that says what to do.
    pub(super) fn load(&self) -> Result<Option<Issued>, CredentialsError> {
        let path = &self.paths[0];
        match &self.content {
            Content::Key { user } => {
                load_file(path, user.as_deref()).map(|found| Some(found.into()))
            }
            Content::Folder { folder, user } => {
                Ok(load_folder(folder, user.as_deref())?.map(Issued::from))
            }
            Content::Text => text(path, |text| Ok(text.trim().into())).map(Some),
            Content::ApiKey => text(path, |text| api_key(text, path)).map(Some),
        }
    }
}

/// The text that a file holds, which has to be one that a header can carry.
fn text(
    path: &Path,
    find: impl FnOnce(&str) -> Result<SecretString, CredentialsError>,
) -> Result<Issued, CredentialsError> {
    let content = read_secret_file(path)?;
    let secret = find(text_of(content.expose_secret(), path)?)?;
    let origin = Origin::File(path.to_owned());
    let is_clean = secret.expose_secret().bytes().all(|b| b.is_ascii_graphic());
    if secret.expose_secret().is_empty() || !is_clean {
        return Err(CredentialsError::NotText(path.to_owned()));
    }
    Ok(Issued::lasting(Secret::Text(secret), origin))
}

/// The API key of a file: its whole text, or what stands in the column of a CSV.
fn api_key(text: &str, path: &Path) -> Result<SecretString, CredentialsError> {
    if text.trim().contains(['\n', ',']) {
        csv_file::column(text, "api_key").ok_or_else(|| CredentialsError::NotText(path.to_owned()))
    } else {
        Ok(text.trim().into())
    }
}

#[cfg(test)]
mod tests;
