//! `apig-proxy sign`: signs one request and prints it, without sending it. Signs all given headers,
//! `host` and `x-sdk-date`, as the official SDKs do.

mod output;

use std::io::{self, Read};

use clap::{Args, ValueEnum};
use secrecy::ExposeSecret;

use super::request_arguments::{RequestArguments, Url, access_key, unreadable_body};
use super::{Failure, Outcome, print, say};
use crate::clock;
use crate::config::Environment;
use crate::credentials::Credentials;
use crate::signature::{
    CONTENT_HASH_HEADER, CanonicalRequest, DATE_HEADER, Payload, PayloadHash, PayloadHasher,
    SignatureError, Signer, SigningDate, Target, UNSIGNED_PAYLOAD, normalize_target,
};

/// Arguments of `sign`.
///
/// All headers that are given are signed, and `host` and `x-sdk-date`, as the official SDKs do.
#[derive(Clone, Debug, Args)]
pub(super) struct SignArguments {
    /// The request to sign, with all of its headers.
    #[command(flatten)]
    pub(super) request: RequestArguments,
    /// Sign X-Sdk-Content-Sha256: UNSIGNED-PAYLOAD in place of the body's hash.
    #[arg(long)]
    pub(super) unsigned_payload: bool,
    /// Environment of the API, sent and signed as x-stage [default: none].
    #[arg(long, value_name = "NAME")]
    pub(super) stage: Option<String>,
    /// Date of the signature, like 20261123T080000Z [default: now].
    #[arg(long, value_name = "DATE")]
    pub(super) date: Option<String>,
    /// File with the access key [default: as for serve].
    #[arg(long, value_name = "FILE")]
    pub(super) credentials: Option<String>,
    /// Print the headers, a curl command, or every stage of the signature as JSON.
    #[arg(long, value_enum, default_value_t = Format::Headers)]
    pub(super) format: Format,
    /// The URL to sign a request for.
    pub(super) url: String,
}

/// What `sign` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// The headers to send, one a line.
    Headers,
    /// A curl command that sends the request.
    Curl,
    /// Canonical request, string to sign, authorization and headers.
    Json,
}

/// Signs and prints.
pub(super) fn run(arguments: &SignArguments, environment: &Environment) -> Outcome {
    let credentials = access_key(arguments.credentials.as_deref(), environment)?;
    let request = sign(
        arguments,
        &credentials,
        clock::signing_date(),
        &mut io::stdin(),
    )?;
    if request.url != arguments.url {
        say(format_args!("note: the URL is sent as {}", request.url));
    }
    print(output::text(&request, arguments))
}

/// A signed request, with every stage of its signature.
#[derive(Debug)]
struct SignedRequest {
    method: String,
    /// As it has to be sent.
    url: String,
    /// All headers to send, in their order.
    headers: Vec<(String, String)>,
    canonical_request: String,
    string_to_sign: String,
    authorization: String,
}

/// Signs the request that the arguments describe.
fn sign(
    arguments: &SignArguments,
    credentials: &Credentials,
    now: SigningDate,
    stdin: &mut dyn Read,
) -> Result<SignedRequest, Failure> {
    let url = Url::parse(&arguments.url)?;
    // In the spelling that all decoders read alike.
    let target = normalize_target(&url.target).into_owned();
    let mut headers = Headers::new(arguments, credentials, &url)?;
    let given_date = headers.take(DATE_HEADER);
    let date = match arguments.date.as_ref().or(given_date.as_ref()) {
        Some(date) => SigningDate::parse(date).map_err(Failure::usage)?,
        None => now,
    };
    let body = arguments.request.body(stdin).and_then(hash);
    let body = body.map_err(|error| unreadable_body(&error))?;
    let declared = headers.take(CONTENT_HASH_HEADER);
    let mut declared = declared.filter(|value| !value.is_empty());
    if arguments.unsigned_payload {
        if body == PayloadHash::EMPTY {
            return Err(Failure::usage(
                "--unsigned-payload needs a body: without one, SDKs disagree on what is signed; leave it out, or give --data",
            ));
        }
        declared = Some(UNSIGNED_PAYLOAD.to_owned());
    }
    let url = format!("{}{target}", url.origin);
    let method = arguments.request.method();
    let payload = declared
        .as_deref()
        .map_or(Payload::Hash(&body), Payload::Declared);
    headers
        .signed(method, url, &target, &date, payload, credentials)
        .map_err(Failure::usage)
}

/// The headers of a request, in their order.
struct Headers(Vec<(String, String)>);

impl Headers {
    /// The given headers, the host, and the token of a temporary key unless it was given.
    fn new(
        arguments: &SignArguments,
        credentials: &Credentials,
        url: &Url,
    ) -> Result<Self, Failure> {
        let given = arguments.request.headers()?.into_iter();
        let given = given.map(|(name, value)| (name.to_owned(), value.trim_ascii().to_owned()));
        let mut headers = Self(given.collect());
        let host = headers.take("host").unwrap_or_else(|| url.host.clone());
        headers.0.insert(0, ("host".to_owned(), host));
        if let Some(stage) = &arguments.stage {
            headers.0.push(("x-stage".to_owned(), stage.clone()));
        }
        let name = "x-security-token";
        if let Some(token) = &credentials.security_token
            && !headers
                .0
                .iter()
                .any(|header| header.0.eq_ignore_ascii_case(name))
        {
            let token = token.expose_secret().to_owned();
            headers.0.push((name.to_owned(), token));
        }
        Ok(headers)
    }

    /// Removes a header, and returns its value.
    fn take(&mut self, name: &str) -> Option<String> {
        let mut headers = self.0.iter();
        let at = headers.position(|header| header.0.eq_ignore_ascii_case(name))?;
        Some(self.0.remove(at).1)
    }

    /// Signs these headers, and adds those of the signature.
    fn signed(
        mut self,
        method: &str,
        url: String,
        target: &str,
        date: &SigningDate,
        payload: Payload<'_>,
        credentials: &Credentials,
    ) -> Result<SignedRequest, SignatureError> {
        let headers = self.0.iter();
        let headers: Vec<_> = headers.map(|(name, value)| (&**name, &**value)).collect();
        let target = Target::parse(target)?;
        let canonical = CanonicalRequest::new(method, target, &headers, date, payload)?;
        let signer = Signer::new(&credentials.access_key, &credentials.secret_key);
        let authorization = signer.sign(&canonical);
        let canonical_request = canonical.to_string();
        let string_to_sign = canonical.string_to_sign();
        let mut add = |name: &str, value: &str| self.0.push((name.to_owned(), value.to_owned()));
        add(DATE_HEADER, date.as_str());
        if let Payload::Declared(value) = payload {
            add(CONTENT_HASH_HEADER, value);
        }
        add("authorization", &authorization);
        Ok(SignedRequest {
            method: method.to_owned(),
            url,
            headers: self.0,
            canonical_request,
            string_to_sign,
            authorization,
        })
    }
}

/// Hashes a body, which may not fit the memory.
fn hash(mut body: impl Read) -> io::Result<PayloadHash> {
    let mut hasher = PayloadHasher::default();
    let mut piece = vec![0; 64 * 1024];
    loop {
        match body.read(&mut piece)? {
            0 => return Ok(hasher.finish()),
            length => hasher.update(&piece[..length]),
        }
    }
}

#[cfg(test)]
mod tests;
