//! Services that issue temporary keys and tokens over HTTP.
//!
//! Each sends one or two requests over connections of its own and reads JSON, whose names differ
//! from service to service.
//!
//! # What can go wrong
//!
//! A service may refuse, hang, send an unexpected response, or issue a key that has already expired.
//! Each case has its own error, so that the log says what to do. Responses contain secrets, so they
//! are never quoted, except for what looks like an error code.

mod answer;
pub(super) mod iam;
pub(super) mod machine;
mod refusals;
pub(super) mod sts;

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Request};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use self::answer::Answer;
pub(crate) use self::iam::project_of;
use self::refusals::Refusals;
use super::error::{EXPIRED, NO_KEY};
use super::types::{Credentials, Lease};
use super::{CredentialsError, file};
use crate::clock::Moment;
use crate::config::{Environment, FileError, UpstreamUrl, read_secret_file};
use crate::signature::{
    Algorithm, CanonicalRequest, Payload, PayloadHash, SignatureError, Signer, SigningDate, Target,
};
use crate::upstream::Network;

const UNSIGNED: CredentialsError =
    CredentialsError::Garbage("a request to this endpoint cannot be signed");

/// A service that issues secrets.
#[derive(Debug)]
pub(super) struct Service {
    /// Its name in messages.
    pub(super) name: &'static str,
    protocol: Protocol,
    endpoint: UpstreamUrl,
    /// The files that it reads for each request, since other programs replace them.
    files: Vec<PathBuf>,
}

/// The protocol of a service, with its parameters; secrets are read from its files.
#[derive(Debug)]
enum Protocol {
    Metadata,
    PodIdentity,
    /// The fields of the request, and the token, if it is not in a file.
    Oidc(Value, Option<SecretString>),
    /// The URN of the agency. The request is signed with the key of another source.
    Agency(String, Refusals),
    /// The identity provider.
    Idp(HeaderValue),
    /// The project.
    Token(Option<String>),
}

impl Service {
    /// Requests a secret, which has to be still valid. `key` is that of another source, for services
    /// that exchange one.
    pub(super) async fn ask(
        &self,
        network: &Network,
        key: Option<&Credentials>,
    ) -> Result<Lease, CredentialsError> {
        let lease = match &self.protocol {
            Protocol::Metadata => self.ask_metadata(network).await,
            Protocol::PodIdentity => self.ask_agent(network).await,
            Protocol::Oidc(fields, token) => {
                let token = token.as_ref();
                self.ask_with_oidc(network, fields, token).await
            }
            Protocol::Agency(agency, refusals) => {
                let key = key.ok_or(NO_KEY)?;
                refusals.check(key, Moment::now())?;
                let asked = self.ask_with_key(network, agency, key).await;
                refusals.record(key, &asked, Moment::now());
                asked
            }
            Protocol::Idp(provider) => self.ask_with_idp(network, provider).await,
            Protocol::Token(project) => self.ask_with_password(network, project.as_deref()).await,
        }?;
        lease.is_good_now().then_some(lease).ok_or(EXPIRED)
    }

    /// Checks that its files are regular files. A missing file may be created later.
    pub(super) fn check_files(&self) -> Result<(), CredentialsError> {
        let wrong = self.files.iter().find_map(|path| {
            let error = read_secret_file(path).err();
            let source = error.filter(FileError::is_wrong_kind)?;
            let path = path.clone();
            Some(CredentialsError::File { path, source })
        });
        wrong.map_or(Ok(()), Err)
    }

    fn line(&self, file: usize) -> Result<SecretString, CredentialsError> {
        file::read_line(&self.files[file])
    }

    /// Sends a request. Services on this machine's link have 3 seconds and agents of a node 5, as in
    /// the SDKs, those of the public network 10.
    async fn send(
        &self,
        network: &Network,
        request: Request<Bytes>,
    ) -> Result<Answer, CredentialsError> {
        let limit = Duration::from_secs(match self.protocol {
            Protocol::Metadata => 3,
            Protocol::PodIdentity => 5,
            Protocol::Oidc(..) | Protocol::Agency(..) | Protocol::Idp(_) | Protocol::Token(_) => 10,
        });
        let response = network.oneshot(&self.endpoint, request, limit).await?;
        Ok(Answer::new(self.name, response))
    }
}

/// The value of a variable without which there is no such service.
fn variable<'a>(
    environment: &'a Environment,
    name: &'static str,
    hint: &'static str,
) -> Result<&'a str, CredentialsError> {
    let absent = || CredentialsError::absent(format!("{name} is not set"), hint);
    environment.text(name).ok_or_else(absent)
}

/// The path in a variable that has to be set with another one.
fn path(
    environment: &Environment,
    present: &'static str,
    missing: &'static str,
) -> Result<PathBuf, CredentialsError> {
    let path = environment.path(missing);
    path.ok_or(CredentialsError::HalfInEnvironment { present, missing })
}

/// The endpoint of a service: from the configuration, else from a variable, else the default.
fn endpoint(
    configured: Option<&UpstreamUrl>,
    environment: &Environment,
    (name, default): (&'static str, &str),
) -> Result<UpstreamUrl, CredentialsError> {
    if let Some(endpoint) = configured {
        return Ok(endpoint.clone());
    }
    let endpoint = environment.endpoint(environment.text(name).unwrap_or(default));
    endpoint.map_err(|expected| CredentialsError::Variable { name, expected })
}

fn signed_headers(
    endpoint: &UpstreamUrl,
    request: &Request<Bytes>,
    key: &Credentials,
    date: &SigningDate,
) -> Result<HeaderMap, SignatureError> {
    let target = request.uri().path_and_query();
    let target = target.map_or("/", PathAndQuery::as_str);
    let target = format!("{}{target}", endpoint.base_path);
    let token = key.security_token.as_ref().map(ExposeSecret::expose_secret);
    let mut headers = vec![("host", endpoint.authority.to_str().unwrap_or_default())];
    headers.extend(token.map(|token| ("x-security-token", token)));
    let hash = PayloadHash::new(request.body());
    let (target, payload) = (Target::parse(&target)?, Payload::Hash(&hash));
    let method = request.method().as_str();
    let algorithm = Algorithm::HmacSha256;
    let canonical = CanonicalRequest::new(algorithm, method, target, &headers, date, payload)?;
    let authorization = Signer::new(&key.access_key, &key.secret_key).sign(&canonical);
    let sent = [
        ("x-sdk-date", Some(date.as_str())),
        ("x-security-token", token),
        ("authorization", Some(&authorization)),
    ];
    let sent = sent.into_iter().filter_map(|(name, value)| {
        let mut value = HeaderValue::from_str(value?).ok()?;
        value.set_sensitive(name != "x-sdk-date");
        Some((HeaderName::from_static(name), value))
    });
    Ok(sent.collect())
}
