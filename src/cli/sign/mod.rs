//! `apig-proxy sign`: signs one request and prints it, without sending it. Signs all given headers,
//! `host` and `x-sdk-date`, as the official SDKs do.

use std::io::{self, Read};

use clap::{Args, ValueEnum};
use secrecy::ExposeSecret;
use serde::de::IgnoredAny;
use serde_json::{Map, json};

use super::request_arguments::{RequestArguments, Url, access_key};
use super::{Failure, Outcome, print, say};
use crate::clock;
use crate::config::{Environment, scope};
use crate::credentials::Credentials;
use crate::inspect::quoted;
use crate::signature::{
    Algorithm, CanonicalRequest, DATE_HEADER, Payload, PayloadHash, Signer, SigningDate, Target,
    UNSIGNED_PAYLOAD, normalize_target,
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
    #[arg(long, value_name = "NAME", value_parser = scope, default_value = "", hide_default_value = true)]
    region: String,
    /// Service that the key is derived for, like iotdm; only for V11-HMAC-SHA256.
    #[arg(long, value_name = "NAME", value_parser = scope, default_value = "", hide_default_value = true)]
    service: String,
    /// Date of the signature, like 20261123T080000Z [default: now].
    #[arg(long, value_name = "DATE", value_parser = SigningDate::parse)]
    date: Option<SigningDate>,
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

pub(super) fn run(arguments: &SignArguments, environment: &Environment) -> Outcome {
    let credentials = access_key(arguments.credentials.as_deref(), environment)?;
    let now = clock::signing_date();
    let request = sign(arguments, &credentials, now, &mut io::stdin())?;
    if request.url != arguments.url {
        say(format_args!("note: the URL is sent as {}", request.url));
    }
    print(match arguments.format {
        Format::Headers => request.header_lines().join("\n"),
        Format::Curl => request.curl(&arguments.request),
        Format::Json => request.json(),
    })
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
    let method = arguments.request.method();
    let body = arguments.request.body(stdin)?;
    let mut headers = headers(arguments, credentials, &url)?;
    let date = arguments.date(take(&mut headers, DATE_HEADER), now)?;
    let hash_header = algorithm.content_hash_header();
    let declared = arguments.declared_payload(take(&mut headers, hash_header), &body)?;
    let hash = PayloadHash::with_algorithm(algorithm, &body);
    let payload = declared.as_deref();
    let payload = payload.map_or(Payload::Hash(&hash), Payload::Declared);
    let signed = headers.iter();
    let signed: Vec<_> = signed.map(|(name, value)| (&**name, &**value)).collect();
    let canonical = Target::parse(&target).and_then(|target| {
        CanonicalRequest::new(algorithm, method, target, &signed, &date, payload)
    });
    let canonical = canonical.map_err(Failure::usage)?;
    let signer = Signer::new(&credentials.access_key, &credentials.secret_key);
    let authorization = signer.sign(&canonical);
    let (canonical_request, string_to_sign) = (canonical.to_string(), canonical.string_to_sign());
    headers.push((DATE_HEADER.to_owned(), date.to_string()));
    headers.extend(declared.map(|value| (hash_header.to_owned(), value)));
    headers.push(("authorization".to_owned(), authorization.clone()));
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
    fn algorithm(&self) -> Result<Algorithm<'_>, Failure> {
        let algorithm = Algorithm::from_name(&self.algorithm, &self.region, &self.service);
        let algorithm = algorithm.unwrap_or_default();
        let is_derived = matches!(algorithm, Algorithm::V11HmacSha256 { .. });
        let given = [&self.region, &self.service].map(|name| !name.is_empty());
        if given != [is_derived; 2] {
            return Err(Failure::usage(
                "V11-HMAC-SHA256, and no other algorithm, derives the key for a region and a service\nhint: give `--region` and `--service` with it, and leave them out otherwise",
            ));
        }
        Ok(algorithm)
    }

    /// The date of the option, or else that of a given header, or else now.
    fn date(&self, header: Option<String>, now: SigningDate) -> Result<SigningDate, Failure> {
        match (self.date, header) {
            (Some(date), _) => Ok(date),
            (None, Some(header)) => SigningDate::parse(&header).map_err(Failure::usage),
            (None, None) => Ok(now),
        }
    }

    /// What is signed in place of the body's hash: the value of a given header, or UNSIGNED-PAYLOAD.
    fn declared_payload(
        &self,
        header: Option<String>,
        body: &[u8],
    ) -> Result<Option<String>, Failure> {
        if !self.unsigned_payload {
            return Ok(header.filter(|value| !value.is_empty()));
        }
        if body.is_empty() {
            return Err(Failure::usage(
                "`--unsigned-payload` needs a body, because SDKs disagree on what is signed without one\nhint: leave it out, or give `--data`",
            ));
        }
        Ok(Some(UNSIGNED_PAYLOAD.to_owned()))
    }
}

/// The host, the given headers, and the token of a temporary key unless it was given.
fn headers(
    arguments: &SignArguments,
    credentials: &Credentials,
    url: &Url,
) -> Result<Vec<(String, String)>, Failure> {
    let mut headers = arguments.request.headers()?;
    if take(&mut headers, "authorization").is_some() {
        return Err(Failure::usage(
            "`-H` gives `Authorization`, but `sign` sets that header itself\nhint: leave it out",
        ));
    }
    let host = take(&mut headers, "host").unwrap_or_else(|| url.host.clone());
    headers.insert(0, ("host".to_owned(), host));
    let stage = arguments.stage.clone();
    headers.extend(stage.map(|stage| ("x-stage".to_owned(), stage)));
    let name = "x-security-token";
    if let Some(token) = &credentials.security_token
        && position(&headers, name).is_none()
    {
        headers.push((name.to_owned(), token.expose_secret().to_owned()));
    }
    Ok(headers)
}

fn take(headers: &mut Vec<(String, String)>, name: &str) -> Option<String> {
    position(headers, name).map(|at| headers.remove(at).1)
}

fn position(headers: &[(String, String)], name: &str) -> Option<usize> {
    let mut headers = headers.iter();
    headers.position(|header| header.0.eq_ignore_ascii_case(name))
}

impl SignedRequest {
    fn header_lines(&self) -> Vec<String> {
        let headers = self.headers.iter();
        headers
            .map(|(name, value)| format!("{name}: {value}"))
            .collect()
    }

    /// A command that can be pasted into a shell.
    fn curl(&self, arguments: &RequestArguments) -> String {
        // Without these options, curl resolves dots and expands brackets, and sends another URL than the signed one.
        let mut line = match (&*self.method, arguments.has_body()) {
            // With `-X HEAD`, curl would wait for a body.
            ("HEAD", false) => "curl --path-as-is -g --head".to_owned(),
            (method, _) => format!("curl --path-as-is -g -X {}", quoted(method)),
        };
        let mut option = |name: &str, value: &str| line.extend([" ", name, " ", &quoted(value)]);
        for header in self.header_lines() {
            // curl removes a header with an empty value, unless the name ends with a semicolon.
            match header.strip_suffix(": ") {
                Some(name) => option("-H", &format!("{name};")),
                None => option("-H", &header),
            }
        }
        // Without a type, curl sends a form.
        let has_type = position(&self.headers, "content-type").is_some();
        let data = arguments.data.as_deref().unwrap_or_default();
        if !has_type && serde_json::from_str::<IgnoredAny>(data).is_ok() {
            option("-H", "content-type: application/json");
        }
        if let Some(path) = &arguments.data_file {
            option("--data-binary", &format!("@{}", path.display()));
        } else if let Some(data) = &arguments.data {
            // --data-raw, since --data-binary takes a leading "@" for a file.
            option("--data-raw", data);
        }
        format!("{line} {}", quoted(&self.url))
    }

    fn json(&self) -> String {
        let headers = self.headers.iter();
        let headers = headers.map(|(name, value)| (name.clone(), value.as_str().into()));
        let stages = json!({
            "method": self.method,
            "url": self.url,
            "canonical_request": self.canonical_request,
            "string_to_sign": self.string_to_sign,
            "authorization": self.authorization,
            "headers": headers.collect::<Map<_, _>>(),
        });
        format!("{stages:#}")
    }
}

#[cfg(test)]
mod tests;
