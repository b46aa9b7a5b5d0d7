//! `apig-proxy sign`: signs one request and prints it, without sending it. Signs all given headers,
//! `host` and `x-sdk-date`, as the official SDKs do.

mod output;

use std::io::{self, Read};

use clap::{Args, ValueEnum};
use secrecy::ExposeSecret;

use super::request_arguments::{RequestArguments, Url, access_key, unreadable_body};
use super::{Failure, Outcome, print, say};
use crate::clock;
use crate::config::{Environment, scope};
use crate::credentials::Credentials;
use crate::signature::{
    Algorithm, CanonicalRequest, DATE_HEADER, Payload, PayloadHash, PayloadHasher, Signer,
    SigningDate, Target, UNSIGNED_PAYLOAD, normalize_target,
};

/// Arguments of `sign`.
///
/// All headers that are given are signed, and `host` and `x-sdk-date`, as the official SDKs do.
#[derive(Clone, Debug, Args)]
pub(super) struct SignArguments {
    /// The request to sign, with all of its headers.
    #[command(flatten)]
    request: RequestArguments,
    /// Sign X-Sdk-Content-Sha256: UNSIGNED-PAYLOAD in place of the body's hash.
    #[arg(long)]
    unsigned_payload: bool,
    /// Environment of the API, sent and signed as x-stage [default: none].
    #[arg(long, value_name = "NAME")]
    stage: Option<String>,
    /// Algorithm of the signature.
    #[arg(long, value_name = "NAME", value_parser = Algorithm::NAMES, default_value = Algorithm::NAMES[0])]
    algorithm: String,
    /// Region that the key is derived for, like cn-north-4; only for V11-HMAC-SHA256.
    #[arg(
        long,
        value_name = "NAME",
        value_parser = scope,
        default_value = "",
        hide_default_value = true
    )]
    region: String,
    /// Service that the key is derived for, like iotdm; only for V11-HMAC-SHA256.
    #[arg(
        long,
        value_name = "NAME",
        value_parser = scope,
        default_value = "",
        hide_default_value = true
    )]
    service: String,
    /// Date of the signature, like 20261123T080000Z [default: now].
    #[arg(long, value_name = "DATE")]
    date: Option<String>,
    /// File with the access key [default: as for serve].
    #[arg(long, value_name = "FILE")]
    credentials: Option<String>,
    /// Print the headers, a curl command, or every stage of the signature as JSON.
    #[arg(long, value_enum, default_value_t = Format::Headers)]
    format: Format,
    /// The URL to sign a request for.
    url: String,
}

/// What `sign` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
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
    let now = clock::signing_date();
    let request = sign(arguments, &credentials, now, &mut io::stdin())?;
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
    let algorithm = arguments.algorithm()?;
    // In the spelling that all decoders read alike.
    let target = normalize_target(&url.target).into_owned();
    let mut headers = headers(arguments, credentials, &url)?;
    let given_date = take(&mut headers, DATE_HEADER);
    let date = match arguments.date.as_ref().or(given_date.as_ref()) {
        Some(date) => SigningDate::parse(date).map_err(Failure::usage)?,
        None => now,
    };
    let hash = arguments
        .request
        .body(stdin)
        .and_then(|body| hash(body, algorithm));
    let hash = hash.map_err(|error| unreadable_body(&error))?;
    let name = algorithm.content_hash_header();
    let declared = take(&mut headers, name).filter(|value| !value.is_empty());
    let is_empty = hash == PayloadHash::empty(algorithm);
    let declared = arguments.unsigned(is_empty)?.or(declared);
    let payload = declared
        .as_deref()
        .map_or(Payload::Hash(&hash), Payload::Declared);
    let method = arguments.request.method();
    let signed: Vec<_> = headers
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    let canonical = Target::parse(&target).and_then(|target| {
        CanonicalRequest::with_algorithm(algorithm, method, target, &signed, &date, payload)
    });
    let canonical = canonical.map_err(Failure::usage)?;
    let authorization =
        Signer::new(&credentials.access_key, &credentials.secret_key).sign(&canonical);
    let (canonical_request, string_to_sign) = (canonical.to_string(), canonical.string_to_sign());
    let mut add = |name: &str, value: &str| headers.push((name.to_owned(), value.to_owned()));
    add(DATE_HEADER, date.as_str());
    if let Some(value) = &declared {
        add(name, value);
    }
    add("authorization", &authorization);
    Ok(SignedRequest {
        method: method.to_owned(),
        url: format!("{}{target}", url.origin),
        headers,
        canonical_request,
        string_to_sign,
        authorization,
    })
}

impl SignArguments {
    /// The algorithm, with all that it needs.
    fn algorithm(&self) -> Result<Algorithm<'_>, Failure> {
        let algorithm = Algorithm::from_name(&self.algorithm, &self.region, &self.service);
        let algorithm = algorithm.unwrap_or_default();
        let is_derived = matches!(algorithm, Algorithm::V11HmacSha256 { .. });
        if is_derived && (self.region.is_empty() || self.service.is_empty()) {
            return Err(Failure::usage(
                "V11-HMAC-SHA256 derives the key for a region and a service\nhint: give --region and --service",
            ));
        }
        let has_scope = !self.region.is_empty() || !self.service.is_empty();
        if has_scope && !is_derived {
            return Err(Failure::usage(
                "--region and --service are for V11-HMAC-SHA256 only\nhint: leave them out, or give --algorithm V11-HMAC-SHA256",
            ));
        }
        Ok(algorithm)
    }

    /// What `--unsigned-payload` signs in place of the hash of the body.
    fn unsigned(&self, is_empty: bool) -> Result<Option<String>, Failure> {
        if self.unsigned_payload && is_empty {
            return Err(Failure::usage(
                "--unsigned-payload needs a body, because SDKs disagree on what is signed without one\nhint: leave it out, or give --data",
            ));
        }
        Ok(self.unsigned_payload.then(|| UNSIGNED_PAYLOAD.to_owned()))
    }
}

/// The host, the given headers, and the token of a temporary key unless it was given.
fn headers(
    arguments: &SignArguments,
    credentials: &Credentials,
    url: &Url,
) -> Result<Vec<(String, String)>, Failure> {
    let mut headers = arguments.request.headers()?;
    let host = take(&mut headers, "host").unwrap_or_else(|| url.host.clone());
    headers.insert(0, ("host".to_owned(), host));
    headers.extend(
        arguments
            .stage
            .iter()
            .map(|stage| ("x-stage".to_owned(), stage.clone())),
    );
    let name = "x-security-token";
    if let Some(token) = &credentials.security_token
        && !headers
            .iter()
            .any(|header| header.0.eq_ignore_ascii_case(name))
    {
        headers.push((name.to_owned(), token.expose_secret().to_owned()));
    }
    Ok(headers)
}

/// Removes a header, and returns its value.
fn take(headers: &mut Vec<(String, String)>, name: &str) -> Option<String> {
    let at = headers
        .iter()
        .position(|header| header.0.eq_ignore_ascii_case(name))?;
    Some(headers.remove(at).1)
}

/// Hashes a body, which may not fit the memory.
fn hash(mut body: impl Read, algorithm: Algorithm<'_>) -> io::Result<PayloadHash> {
    let mut hasher = PayloadHasher::new(algorithm);
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
