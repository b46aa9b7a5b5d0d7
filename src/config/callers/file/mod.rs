//! `access.callers_file`: one `[[caller]]` for each caller, as `apig-proxy caller` writes it.
//!
//! The secret key is there in text, since signatures are verified with it. Of the token and the
//! capability there is the hash.
//!
//! # What can go wrong
//!
//! The file may be written by hand. Errors name a line or a key and never quote, since a secret may
//! be in the place of something else.

use std::collections::HashSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::Method;
use jiff::Timestamp;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

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
    callers: Watched<Arc<[Arc<Surrogate>]>>,
}

impl CallersFile {
    /// Reads the file.
    pub(in crate::config) fn open(path: PathBuf) -> Result<Self, String> {
        let file = path.clone();
        let load = move || {
            let records = CallerRecord::read(&file)?;
            let callers = records
                .iter()
                .map(|record| record.surrogate().map(Arc::new));
            callers.collect()
        };
        let callers = Watched::new("the file of callers", vec![path.clone()], load)?;
        Ok(Self { path, callers })
    }

    /// Reads the file again if it has changed.
    pub fn refresh(&self) {
        self.callers.refresh();
    }

    /// The callers that it has.
    #[must_use]
    pub fn current(&self) -> Arc<[Arc<Surrogate>]> {
        self.callers.current()
    }
}

/// A caller as the file has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the names are those of the file")]
pub struct CallerRecord {
    pub name: String,
    pub access_key: String,
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

/// The whole file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Records {
    #[serde(default)]
    caller: Vec<CallerRecord>,
}

impl CallerRecord {
    /// A caller with these credentials, who may do everything.
    #[must_use]
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
    ///
    /// # Errors
    ///
    /// What is wrong with the file.
    pub fn read(path: &Path) -> Result<Vec<Self>, String> {
        const HINT: &str = "hint: `apig-proxy caller new` writes the file; correct or remove what was changed by hand";
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
            format!("line {line} of the file is not as `apig-proxy caller` writes it\n{HINT}")
        })?;
        // Whoever revokes one of two callers with the same key has revoked nothing.
        for of in UNIQUE {
            let values: HashSet<&str> = records.caller.iter().map(of).collect();
            if values.len() < records.caller.len() {
                return Err(format!(
                    "two callers of the file have the same name or credential\n{HINT}"
                ));
            }
        }
        Ok(records.caller)
    }

    /// The text of a file with these callers.
    #[must_use]
    pub fn write(records: &[Self]) -> Zeroizing<String> {
        // Room for all, so that no copy of a secret stays behind when it grows.
        let room = records.iter().map(|record| {
            let lists = [&record.routes, &record.methods, &record.reads];
            let items = lists.into_iter().flatten();
            1024 + items.map(|item| 2 * item.len() + 8).sum::<usize>()
        });
        let room = HEADER.len() + room.sum::<usize>();
        let mut text = Zeroizing::new(String::with_capacity(room));
        text.push_str(HEADER);
        for record in records {
            record
                .append(&mut text)
                .expect("writing to a string cannot fail");
        }
        text
    }

    fn append(&self, text: &mut String) -> std::fmt::Result {
        let quoted = |text: &str| toml::Value::from(text).to_string();
        let list = |items: &[String]| toml::Value::from(items.to_vec()).to_string();
        writeln!(text, "\n[[caller]]\nname = {}", quoted(&self.name))?;
        writeln!(text, "access_key = {}", quoted(&self.access_key))?;
        // Of letters and digits only, so that it needs no escapes, which would be copies of it.
        writeln!(text, "secret_key = \"{}\"", self.secret_key.expose_secret())?;
        writeln!(text, "token_sha256 = {}", quoted(&self.token_sha256))?;
        writeln!(
            text,
            "capability_sha256 = {}",
            quoted(&self.capability_sha256)
        )?;
        for (key, items) in [
            ("routes", &self.routes),
            ("methods", &self.methods),
            ("reads", &self.reads),
        ] {
            if !items.is_empty() {
                writeln!(text, "{key} = {}", list(items))?;
            }
        }
        if self.read_only {
            writeln!(text, "read_only = true")?;
        }
        for (key, value) in [("expires", &self.expires), ("rate", &self.rate)] {
            if let Some(value) = value {
                writeln!(text, "{key} = {}", quoted(value))?;
            }
        }
        Ok(())
    }

    /// The caller, with valid rights.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn surrogate(&self) -> Result<Surrogate, String> {
        const NAME: &str = "the name of a caller has at most 40 letters, digits, `.`, `_` and `-`";
        const KEY: &str = "the keys of a caller are not as `apig-proxy caller` writes them";
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if self.name.is_empty() || self.name.len() > 40 || !self.name.bytes().all(is_plain) {
            return Err(NAME.to_owned());
        }
        let secret = self.secret_key.expose_secret();
        let are_keys = self.access_key.starts_with(Surrogate::ACCESS_KEY_PREFIX)
            && [&self.access_key, secret]
                .iter()
                .all(|key| key.len() >= 16 && key.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        let hashes = CallerToken::from_hash(&self.token_sha256)
            .zip(CallerToken::from_hash(&self.capability_sha256));
        let (token, capability) = hashes.filter(|_| are_keys).ok_or(KEY)?;
        Ok(Surrogate {
            signer: Signer::new(&self.access_key, &self.secret_key),
            rights: self
                .rights()
                .map_err(|problem| format!("caller `{}`: {problem}", self.name))?,
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
            methods: methods(&self.methods)?,
            read_only: ReadOnly {
                enabled: self.read_only,
                reads: reads.collect::<Result<_, _>>()?,
            },
            expires: self.expires.as_ref().map(time).transpose()?,
            rate: self.rate.as_deref().map(Rate::parse).transpose()?,
        })
    }
}

fn methods(names: &[String]) -> Result<Option<Methods>, &'static str> {
    const EXPECTED: &str = "expected methods in capital letters, like GET";
    let method = |name: &String| {
        let is_name = name.bytes().all(|byte| byte.is_ascii_uppercase());
        name.parse().ok().filter(|_| is_name).ok_or(EXPECTED)
    };
    let methods: Vec<Method> = names.iter().map(method).collect::<Result<_, _>>()?;
    Ok((!methods.is_empty()).then_some(Methods::Only(methods)))
}

#[cfg(test)]
mod tests;
