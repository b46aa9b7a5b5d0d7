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
    Signer, SigningDate, Target, UNSIGNED_PAYLOAD, normalize_target,
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
    // In the spelling that all decoders read alike.
    let target = normalize_target(&url.target).into_owned();
    let mut headers = headers(arguments, credentials, &url)?;
    let given_date = take(&mut headers, DATE_HEADER);
    let date = match arguments.date.as_ref().or(given_date.as_ref()) {
        Some(date) => SigningDate::parse(date).map_err(Failure::usage)?,
        None => now,
    };
    let hash = arguments.request.body(stdin).and_then(hash);
    let hash = hash.map_err(|error| unreadable_body(&error))?;
    let declared = declared(arguments, &mut headers, &hash)?;
    let payload = declared
        .as_deref()
        .map_or(Payload::Hash(&hash), Payload::Declared);
    let method = arguments.request.method();
    let signed: Vec<_> = headers
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    let canonical = Target::parse(&target)
        .and_then(|target| CanonicalRequest::new(method, target, &signed, &date, payload));
    let canonical = canonical.map_err(Failure::usage)?;
    let authorization =
        Signer::new(&credentials.access_key, &credentials.secret_key).sign(&canonical);
    let (canonical_request, string_to_sign) = (canonical.to_string(), canonical.string_to_sign());
    let mut add = |name: &str, value: &str| headers.push((name.to_owned(), value.to_owned()));
    add(DATE_HEADER, date.as_str());
    if let Some(value) = &declared {
        add(CONTENT_HASH_HEADER, value);
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

/// What is declared in place of the hash of the body: `UNSIGNED-PAYLOAD`, or what a header says.
fn declared(
    arguments: &SignArguments,
    headers: &mut Vec<(String, String)>,
    hash: &PayloadHash,
) -> Result<Option<String>, Failure> {
    let given = take(headers, CONTENT_HASH_HEADER).filter(|value| !value.is_empty());
    if !arguments.unsigned_payload {
        return Ok(given);
    }
    if *hash == PayloadHash::EMPTY {
        return Err(Failure::usage(
            "--unsigned-payload needs a body, because SDKs disagree on what is signed without one\nhint: leave it out, or give --data",
        ));
    }
    Ok(Some(UNSIGNED_PAYLOAD.to_owned()))
}

/// The host, the given headers, and the token of a temporary key unless it was given.
fn headers(
    arguments: &SignArguments,
    credentials: &Credentials,
    url: &Url,
) -> Result<Vec<(String, String)>, Failure> {
    let given = arguments.request.headers()?.into_iter();
    let given = given.map(|(name, value)| (name.to_owned(), value.trim_ascii().to_owned()));
    let mut headers: Vec<_> = given.collect();
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
