//! `[credentials]`, and the sets that routes name: `[credentials.NAME]`.
//!
//! A set says where everything comes from that a request may show: a key that signs, a token, an app
//! code, an API key. Only places are said here; what is read from them never passes through this room's
//! general readers.

use std::path::PathBuf;

use figment::value::Value;
use http::HeaderValue;

use super::judge::{Judge, header_value, text};
use super::keys::KEYS;
use super::problem::Place;
use super::raw::Raw;
use super::resolve::relative;
use super::{EgressProxy, UpstreamUrl, address};

/// Where what requests show comes from: `[credentials]`, or a `[credentials.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialsConfig {
    /// The name of the set; `None` for `[credentials]` itself.
    pub name: Option<String>,
    /// Which source a signing key is read from.
    pub source: CredentialSource,
    /// The file of [`CredentialSource::File`]; [`CredentialSource::Auto`] tries it in its turn.
    pub file: PathBuf,
    /// Which row of a `credentials.csv` with several keys: the row of this user name; `None` for the first.
    pub user: Option<String>,
    /// Value of `X-Project-Id`, when set.
    pub project_id: Option<HeaderValue>,
    /// Who is asked for temporary keys and tokens.
    pub endpoints: Endpoints,
    /// Where a token comes from, if there is one.
    pub token: Option<TokenSource>,
    /// The file with an app code.
    pub app_code: Option<PathBuf>,
    /// The file with an API key.
    pub api_key: Option<PathBuf>,
}

impl CredentialsConfig {
    /// The name of the set as metrics and the log show it.
    #[must_use]
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or("default")
    }
}

impl Default for CredentialsConfig {
    /// What holds when nothing is said.
    fn default() -> Self {
        Self {
            name: None,
            source: CredentialSource::Auto,
            file: "credentials.csv".into(),
            user: None,
            project_id: None,
            endpoints: Endpoints {
                metadata: Endpoint::metadata(),
                sts: None,
                iam: None,
            },
            token: None,
            app_code: None,
            api_key: None,
        }
    }
}

/// The kinds of source for a signing key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialSource {
    /// The first that has a key, in the order documented at [`crate::credentials`].
    Auto,
    /// Environment variables.
    Env,
    /// The file that `credentials.file` or `--credentials` names.
    File,
    /// The SDKs' profile, `~/.huaweicloud/credentials`.
    Profile,
    /// The metadata service of a server (ECS) that has an agency.
    Metadata,
    /// The identity of a pod in CCE.
    PodIdentity,
    /// An OpenID Connect token, changed into a key by STS.
    Oidc,
    /// A token of an identity provider, changed into a key by IAM.
    Idp,
}

/// Who is asked for temporary keys and tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoints {
    /// The metadata service.
    pub metadata: Endpoint,
    /// The security token service (STS); `None` for the one that the environment names, or the usual one.
    pub sts: Option<Endpoint>,
    /// Identity and access management (IAM); `None` for the one that the environment names, or the usual one.
    pub iam: Option<Endpoint>,
}

/// Where one of them is, and how it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its URL.
    pub url: UpstreamUrl,
    /// The proxy of the network on the way there.
    pub egress: Option<EgressProxy>,
}

impl Endpoint {
    /// Reads the URL of an endpoint: `https`, or `http` to an address of this machine or link.
    ///
    /// # Errors
    ///
    /// What is expected.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let url = address::endpoint(text)?;
        Ok(Self { url, egress: None })
    }
}

/// Where a token comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// A file that holds one, which somebody else keeps fresh.
    File(PathBuf),
    /// IAM, for a user with a password.
    Iam(IamUser),
}

/// The files that say who asks IAM for a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IamUser {
    /// The file with the user's name.
    pub user: PathBuf,
    /// The file with the password.
    pub password: PathBuf,
    /// The file with the name of the account (IAM calls it the domain).
    pub domain: PathBuf,
    /// The name of the project that the token is for; `None` for the whole account.
    pub project: Option<String>,
}

/// All sets: `[credentials]` first, then the named ones in the order of their names.
pub(super) fn sets(raw: &Raw, judge: &mut Judge<'_>) -> Vec<CredentialsConfig> {
    let mut sets = vec![set(judge, None)];
    for name in names(raw) {
        sets.push(set(judge, Some(&name)));
    }
    sets
}

/// The names of the sets that are said.
fn names(raw: &Raw) -> Vec<String> {
    let named = raw.said().filter_map(|(key, _)| split(key));
    let mut names: Vec<String> = named.map(|(name, _)| name.to_owned()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Name and key of what is said of a named set; `None` for every other key.
pub(super) fn split(key: &str) -> Option<(&str, &str)> {
    let (name, inner) = key.strip_prefix("credentials.")?.split_once('.')?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_name = !name.is_empty() && name.len() <= 40 && name.bytes().all(is_name);
    is_name.then_some((name, inner))
}

/// The keys of one set, read.
struct Set<'a, 'b> {
    judge: &'a mut Judge<'b>,
    name: Option<&'a str>,
}

impl Set<'_, '_> {
    fn key(&self, key: &str) -> String {
        match self.name {
            Some(name) => format!("credentials.{name}.{key}"),
            None => format!("credentials.{key}"),
        }
    }

    /// A key's value, judged; the default of `[credentials]` if a named set does not say it.
    fn read<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&Value) -> Result<T, &'static str>,
    ) -> Option<T> {
        let full = self.key(key);
        if self.judge.is_said(&full) {
            return self.judge.read(&full, read);
        }
        let default = KEYS
            .iter()
            .find(|known| known.name.strip_prefix("credentials.") == Some(key));
        let default = default?.default.trim_matches('"');
        read(&Value::from(default)).ok()
    }

    fn text(&mut self, key: &str) -> Option<String> {
        self.read(key, text).filter(|text| !text.is_empty())
    }

    fn path(&mut self, key: &str) -> Option<PathBuf> {
        let path = self.text(key)?;
        Some(relative(self.judge, &self.key(key), path))
    }

    fn endpoint(&mut self, key: &str) -> Option<Endpoint> {
        let endpoint = self.read(key, |value| match text(value)?.as_str() {
            "" => Ok(None),
            text => Endpoint::parse(text).map(Some),
        });
        endpoint.flatten()
    }

    fn report(&mut self, key: &str, message: &str) {
        let key = self.key(key);
        self.judge.report(&key, message);
    }
}

fn set(judge: &mut Judge<'_>, name: Option<&str>) -> CredentialsConfig {
    let mut set = Set { judge, name };
    let source = source(&mut set);
    let file = set.path("file");
    if file.is_none() {
        set.report("file", "expected the path of a file with a key");
    }
    let is_named = set.judge.place(&set.key("file")) != Place::Nowhere;
    CredentialsConfig {
        name: name.map(str::to_owned),
        source: match source {
            // Naming a file says that the key is in it.
            CredentialSource::Auto if is_named && file.is_some() => CredentialSource::File,
            source => source,
        },
        file: file.unwrap_or_default(),
        user: set.text("user"),
        project_id: set
            .read("project_id", header_value)
            .filter(|value| !value.is_empty()),
        endpoints: endpoints(&mut set),
        token: token(&mut set),
        app_code: set.path("app_code_file"),
        api_key: set.path("api_key_file"),
    }
}

fn source(set: &mut Set<'_, '_>) -> CredentialSource {
    const EXPECTED: &str = "expected \"auto\", \"env\", \"file\", \"profile\", \"metadata\", \"pod-identity\", \"oidc\" or \"idp\"";
    let source = set.read("source", |value| match text(value)?.as_str() {
        "auto" => Ok(CredentialSource::Auto),
        "env" => Ok(CredentialSource::Env),
        "file" => Ok(CredentialSource::File),
        "profile" => Ok(CredentialSource::Profile),
        "metadata" => Ok(CredentialSource::Metadata),
        "pod-identity" => Ok(CredentialSource::PodIdentity),
        "oidc" => Ok(CredentialSource::Oidc),
        "idp" => Ok(CredentialSource::Idp),
        _ => Err(EXPECTED),
    });
    source.unwrap_or(CredentialSource::Auto)
}

fn endpoints(set: &mut Set<'_, '_>) -> Endpoints {
    Endpoints {
        metadata: set
            .endpoint("metadata_endpoint")
            .unwrap_or_else(Endpoint::metadata),
        sts: set.endpoint("sts_endpoint"),
        iam: set.endpoint("iam_endpoint"),
    }
}

impl Endpoint {
    /// The metadata service of a server, where it always is.
    fn metadata() -> Self {
        Self::parse("http://169.254.169.254").expect("it is an address of the link")
    }
}

/// Where a token comes from: a file, or the three that IAM wants to know.
fn token(set: &mut Set<'_, '_>) -> Option<TokenSource> {
    const MISSING: &str =
        "a token of IAM needs iam_user_file, iam_password_file and iam_domain_file; set all three";
    let file = set.path("token_file");
    let keys = ["iam_user_file", "iam_password_file", "iam_domain_file"];
    let [user, password, domain] = keys.map(|key| set.path(key));
    let project = set.text("iam_project");
    match (file, user, password, domain) {
        (Some(file), None, None, None) => Some(TokenSource::File(file)),
        (Some(_), ..) => {
            set.report(
                "token_file",
                "expected either token_file, or the files of an IAM user, not both",
            );
            None
        }
        (None, Some(user), Some(password), Some(domain)) => Some(TokenSource::Iam(IamUser {
            user,
            password,
            domain,
            project,
        })),
        (None, None, None, None) => None,
        (None, user, password, _) => {
            let missing = match (user, password) {
                (None, _) => "iam_user_file",
                (_, None) => "iam_password_file",
                _ => "iam_domain_file",
            };
            set.report(missing, MISSING);
            None
        }
    }
}
