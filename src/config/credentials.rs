//! `[credentials]`, and the named sets for routes: `[credentials.NAME]`.
//!
//! A set names the sources of a signing key, a token, an app code and an API key. Only names and
//! paths are read here: secrets never pass through the config reader.

use std::path::PathBuf;

use http::HeaderValue;

use super::reader::{Reader, split_named_set};
use super::value::{any, file, optional, project_id, word};
use super::{UpstreamUrl, upstream_url};

/// The sources of credentials: `[credentials]`, or a `[credentials.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the reference describes the keys")]
pub struct CredentialsConfig {
    /// The name of the set; `None` for `[credentials]` itself.
    pub name: Option<String>,
    /// The source of the signing key: `auto` for the first that has a key, or the one of this name, as
    /// documented at [`crate::credentials`].
    pub source: &'static str,
    /// The file of the source `file`, which `auto` tries too.
    pub file: PathBuf,
    pub user: Option<String>,
    pub project_id: Option<HeaderValue>,
    pub agency: Option<String>,
    /// A caller's `X-Project-Id` is sent and signed instead.
    pub takes_project_id: bool,
    pub metadata: UpstreamUrl,
    /// `None` for the one that the environment names, or the default; so is `iam`.
    pub sts: Option<UpstreamUrl>,
    pub iam: Option<UpstreamUrl>,
    pub token: Option<TokenSource>,
    pub app_code: Option<PathBuf>,
    pub api_key: Option<PathBuf>,
}

impl CredentialsConfig {
    /// The name of the set in metrics and the log.
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or("default")
    }
}

impl Default for CredentialsConfig {
    fn default() -> Self {
        set(&mut Reader::new(Vec::new()), None)
    }
}

const SOURCES: [&str; 8] = [
    "auto",
    "env",
    "file",
    "profile",
    "metadata",
    "pod-identity",
    "oidc",
    "idp",
];

/// The source of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// A file that another program keeps fresh.
    File(PathBuf),
    /// IAM, for a user with a password.
    Iam(IamUser),
}

/// The files with the credentials of an IAM user.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the reference describes the keys")]
pub struct IamUser {
    pub user: PathBuf,
    pub password: PathBuf,
    pub domain: PathBuf,
    pub project: Option<String>,
}

/// All sets: `[credentials]` first, then the named ones in the order of their names.
pub(super) fn sets(reader: &mut Reader) -> Vec<CredentialsConfig> {
    let name = |key: &String| Some(split_named_set(key)?.0.to_owned());
    let mut names: Vec<Option<String>> = reader.settings.keys().map(name).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(|name| set(reader, name)).collect()
}

fn set(reader: &mut Reader, name: Option<String>) -> CredentialsConfig {
    let named = name.as_ref().map(|name| format!("credentials.{name}"));
    let table = named.unwrap_or_else(|| "credentials".to_owned());
    let key = |key: &str| format!("{table}.{key}");
    let source = reader.get(&key("source"), word(SOURCES.map(|name| (name, name))));
    let path = reader.get(&key("file"), file);
    if path.is_none() && !reader.is_wrong(&key("file")) {
        reader.report(&key("file"), "expected the path of a file with a key");
    }
    // Naming a file says that the key is in it.
    let is_file = source == "auto" && reader.is_set(&key("file"));
    let metadata = reader.get(&key("metadata_endpoint"), optional(upstream_url::endpoint));
    let project_id = reader.get(&key("project_id"), optional(project_id));
    let is_caller = |id: &HeaderValue| id.as_bytes().eq_ignore_ascii_case(b"caller");
    let takes_project_id = project_id.as_ref().is_some_and(is_caller);
    CredentialsConfig {
        name,
        source: if is_file { "file" } else { source },
        file: path.unwrap_or_default(),
        user: reader.get(&key("user"), any),
        project_id: project_id.filter(|_| !takes_project_id),
        takes_project_id,
        agency: reader.get(&key("agency"), optional(agency)),
        metadata: metadata.unwrap_or_else(|| CredentialsConfig::default().metadata),
        sts: reader.get(&key("sts_endpoint"), optional(upstream_url::endpoint)),
        iam: reader.get(&key("iam_endpoint"), optional(upstream_url::endpoint)),
        token: token(reader, &table),
        app_code: reader.get(&key("app_code_file"), file),
        api_key: reader.get(&key("api_key_file"), file),
    }
}

fn agency(text: &str) -> Result<String, &'static str> {
    let parts: Vec<&str> = text.split(':').collect();
    let is_urn = matches!(parts[..], ["iam", "", account, "agency", name] | ["iam", account, "agency", name] if !account.is_empty() && !name.is_empty());
    let urn = is_urn.then(|| text.to_owned());
    urn.ok_or("expected the URN of an agency, like \"iam::<account id>:agency:<name>\"")
}

/// The source of a token: a file, or an IAM user, which needs three files.
fn token(reader: &mut Reader, table: &str) -> Option<TokenSource> {
    const EITHER: &str = "expected either `token_file`, or the files of an IAM user, not both";
    const ALL: &str = "a token of IAM needs `iam_user_file`, `iam_password_file` and `iam_domain_file`\nhint: set all three";
    let keys = ["token", "iam_user", "iam_password", "iam_domain"];
    let keys = keys.map(|name| format!("{table}.{name}_file"));
    let files = keys.each_ref().map(|key| reader.get(key, file));
    let project = reader.get(&format!("{table}.iam_project"), any);
    let missing = files.iter().rposition(Option::is_none).unwrap_or(0);
    match files {
        [None, None, None, None] => None,
        [Some(file), None, None, None] => Some(TokenSource::File(file)),
        [None, Some(user), Some(password), Some(domain)] => Some(TokenSource::Iam(IamUser {
            user,
            password,
            domain,
            project,
        })),
        [Some(_), ..] => {
            reader.report(&keys[0], EITHER);
            None
        }
        [None, ..] => {
            reader.report(&keys[missing], ALL);
            None
        }
    }
}
