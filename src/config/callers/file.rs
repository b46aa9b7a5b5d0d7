//! `access.callers_file`: one `[[caller]]` for each caller, as `apig-proxy caller` writes it.
//!
//! The secret key is stored as text, since signatures are verified with it; the token and the
//! capability are stored as hashes.
//!
//! # What can go wrong
//!
//! The file may be edited by hand. Errors name a line or a key and never quote, since a secret may
//! have been put in the wrong place.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};

use super::{IssuedCaller, Rate, ReadOnly, ReadRule, Rights, Surrogate};
use crate::config::file::{FileError, read_secret_file};
use crate::config::routes::prefix;
use crate::config::{CallerToken, Methods, Watched};
use crate::signature::Signer;

const HEADER: &str = "# Callers of apig-proxy (`access.callers_file`). `apig-proxy caller` writes this file, and it holds secrets.\n";

/// The callers of a file, which is read again when it changes.
#[derive(Clone, Debug)]
pub struct CallersFile {
    /// Its path.
    pub path: PathBuf,
    /// The callers that it has.
    pub callers: Watched<Arc<[Arc<Surrogate>]>>,
}

impl CallersFile {
    /// Reads the file.
    pub(in crate::config) fn open(path: &Path) -> Result<Self, String> {
        let (path, file) = (path.to_owned(), path.to_owned());
        let load = move || {
            let records = CallerRecord::read(&file)?;
            let caller = |record: &CallerRecord| record.surrogate().map(Arc::new);
            records.iter().map(caller).collect()
        };
        let callers = Watched::new("the file of callers", vec![path.clone()], load)?;
        Ok(Self { path, callers })
    }
}

/// A caller as the file has it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the names are those of the file")]
pub struct CallerRecord {
    pub name: String,
    pub access_key: String,
    #[serde(serialize_with = "exposed")]
    pub secret_key: SecretString,
    pub token_sha256: String,
    pub capability_sha256: String,
    #[serde(default)]
    pub routes: Vec<String>,
    #[serde(default)]
    pub methods: Vec<String>,
    #[serde(default)]
    pub read_only: bool,
    #[serde(default)]
    pub reads: Vec<String>,
    #[serde(default)]
    pub expires: Option<String>,
    #[serde(default)]
    pub rate: Option<String>,
}

/// What no two callers share.
const UNIQUE: [fn(&CallerRecord) -> &str; 4] = [
    |record| &record.name,
    |record| &record.access_key,
    |record| &record.token_sha256,
    |record| &record.capability_sha256,
];

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Records {
    #[serde(default)]
    caller: Vec<CallerRecord>,
}

impl CallerRecord {
    /// A caller with these credentials, who may do everything.
    pub fn new(issued: &IssuedCaller, surrogate: &Surrogate) -> Self {
        Self {
            name: surrogate.name.clone(),
            access_key: issued.access_key.clone(),
            secret_key: issued.secret_key.clone(),
            token_sha256: surrogate.token.hash(),
            capability_sha256: surrogate.capability.hash(),
            routes: Vec::new(),
            methods: Vec::new(),
            read_only: false,
            reads: Vec::new(),
            expires: None,
            rate: None,
        }
    }

    /// Reads all callers of a file; there are none if it does not exist.
    pub(crate) fn read(path: &Path) -> Result<Vec<Self>, String> {
        const HINT: &str = "hint: correct or remove what was edited by hand; `apig-proxy caller new` writes the file";
        let content = match read_secret_file(path) {
            Ok(content) => content,
            Err(FileError::Missing | FileError::Empty) => return Ok(Vec::new()),
            Err(error) => return Err(format!("the file {error}")),
        };
        let text = str::from_utf8(content.expose_secret());
        let text = text.map_err(|_| format!("the file is not UTF-8\n{HINT}"))?;
        let records: Records = toml::from_str(text).map_err(|error| {
            let end = error.span().map_or(0, |span| span.start);
            let line = text.bytes().take(end).filter(|byte| *byte == b'\n').count() + 1;
            format!("line {line} of the file does not have the format that `apig-proxy caller` writes\n{HINT}")
        })?;
        // Revoking one of two callers with the same key would revoke nothing.
        for of in UNIQUE {
            let values: HashSet<&str> = records.caller.iter().map(of).collect();
            if values.len() < records.caller.len() {
                return Err(format!(
                    "two callers in the file have the same name or credential\n{HINT}"
                ));
            }
        }
        Ok(records.caller)
    }

    /// The text of a file with these callers. Only a command writes it, which ends soon, and the copies of
    /// secrets that the serializer makes with it.
    pub(crate) fn write(records: &[Self]) -> Zeroizing<String> {
        let caller = records.to_vec();
        let text = toml::to_string(&Records { caller }).map(Zeroizing::new);
        let text = text.expect("a caller is a table of texts");
        Zeroizing::new([HEADER, "\n", text.as_str()].concat())
    }

    /// The caller, with valid rights.
    pub(crate) fn surrogate(&self) -> Result<Surrogate, String> {
        const NAME: &str = "the name of a caller has at most 40 letters, digits, `.`, `_` and `-`";
        const KEY: &str =
            "the keys of a caller do not have the format that `apig-proxy caller` writes";
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if !(1..=40).contains(&self.name.len()) || !self.name.bytes().all(is_plain) {
            return Err(NAME.to_owned());
        }
        let is_key = |key: &str| key.len() >= 16 && key.bytes().all(|b| b.is_ascii_alphanumeric());
        let are_keys = self.access_key.starts_with(Surrogate::ACCESS_KEY_PREFIX)
            && is_key(&self.access_key)
            && is_key(self.secret_key.expose_secret());
        let hashes = CallerToken::from_hash(&self.token_sha256)
            .zip(CallerToken::from_hash(&self.capability_sha256));
        let (token, capability) = hashes.filter(|_| are_keys).ok_or(KEY)?;
        let rights = self.rights();
        Ok(Surrogate {
            signer: Signer::new(&self.access_key, &self.secret_key),
            rights: rights.map_err(|problem| format!("caller `{}`: {problem}", self.name))?,
            name: self.name.clone(),
            token,
            capability,
        })
    }

    fn rights(&self) -> Result<Rights, &'static str> {
        const TIME: &str = "expected a time like 2026-12-01T08:00:00Z";
        let time = |text: &String| text.parse().map(Timestamp::as_second).map_err(|_| TIME);
        let routes = self.routes.iter().map(|route| prefix(route));
        let reads = self.reads.iter().map(|rule| ReadRule::parse(rule));
        Ok(Rights {
            routes: routes.collect::<Result<_, _>>()?,
            methods: match self.methods.as_slice() {
                [] => None,
                names => Some(Methods::from_names(names)?),
            },
            read_only: ReadOnly {
                enabled: self.read_only,
                reads: reads.collect::<Result<_, _>>()?,
            },
            expires: self.expires.as_ref().map(time).transpose()?,
            rate: self.rate.as_deref().map(Rate::parse).transpose()?,
        })
    }
}

/// The key in text, for the file.
fn exposed<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn no_two_callers_share_a_name_or_a_credential() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("callers.toml");
        let [first, second] = ["a", "b"].map(|name| {
            let (issued, surrogate) = IssuedCaller::new(name, Rights::default());
            CallerRecord::new(&issued, &surrogate)
        });
        let both = CallerRecord::write(&[first.clone(), second.clone()]);
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
            CallerRecord::read(&path).map(|records| records.len())
        };
        assert_eq!(read(&both), Ok(2));
        for of in UNIQUE {
            let quoted = |record| format!("\"{}\"", of(record));
            let same = both.replace(&quoted(&second), &quoted(&first));
            assert!(read(&same).unwrap_err().starts_with("two callers"));
        }
    }
}
