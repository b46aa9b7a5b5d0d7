//! `apig-proxy sign`: signs one request and prints it, without sending it.

mod output;
mod request;

use std::io::{self, Write};

use clap::{Args, ValueEnum};

use super::described::Described;
use super::key::key;
use super::{Exit, fail};
use crate::clock;
use crate::config::Environment;
use crate::credentials::Credentials;
use crate::signature::{SignatureError, SigningDate};
use request::SignedRequest;

/// Arguments of `sign`.
///
/// All headers that are given are signed, and `host` and `x-sdk-date`, as the official SDKs do.
#[derive(Clone, Debug, Args)]
pub struct SignArguments {
    /// The request to sign, all of its headers included.
    #[command(flatten)]
    pub request: Described,
    /// Sign X-Sdk-Content-Sha256: UNSIGNED-PAYLOAD in the place of the body's hash.
    #[arg(long)]
    pub unsigned_payload: bool,
    /// Date of the signature, like 20261123T080000Z [default: now].
    #[arg(long, value_name = "DATE")]
    pub date: Option<String>,
    /// File with the access key [default: as for serve].
    #[arg(long, value_name = "FILE")]
    pub credentials: Option<String>,
    /// What is printed: the headers, a curl command, or every stage as JSON.
    #[arg(long, value_enum, default_value_t = Format::Headers)]
    pub format: Format,
    /// The URL to sign a request for.
    pub url: String,
}

/// What `sign` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// The headers to send, one a line.
    Headers,
    /// A curl command that sends the request.
    Curl,
    /// Canonical request, string to sign, authorization and headers.
    Json,
}

/// Why a request is not signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// A part of the request cannot be signed.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// The URL is not one.
    #[error("the URL is not of the form https://host/path?query; correct it")]
    Url,
    /// A header is not one.
    #[error("-H: expected NAME: VALUE, like -H 'x-stage: RELEASE'")]
    Header,
    /// There is no body that could be left unsigned.
    #[error(
        "--unsigned-payload needs a body: without one, SDKs disagree on what is signed; leave it out, or give --data"
    )]
    EmptyPayload,
    /// The body cannot be read.
    #[error("--data-file: the file cannot be read ({0}); correct its path or its permissions")]
    Data(io::ErrorKind),
    /// The result cannot be written.
    #[error("the result cannot be written: {0}")]
    Output(#[from] io::Error),
}

/// Signs and prints.
#[must_use]
pub fn run(arguments: &SignArguments, environment: &Environment) -> Exit {
    let credentials = match key(arguments.credentials.as_deref(), environment) {
        Ok(credentials) => credentials,
        Err(exit) => return exit,
    };
    let now = clock::signing_date();
    match sign(
        arguments,
        &credentials,
        now,
        &mut io::stdout(),
        &mut io::stderr(),
    ) {
        Ok(()) => Exit::Ok,
        Err(error @ (SignError::Data(_) | SignError::Output(_))) => fail(Exit::Failed, error),
        Err(error) => fail(Exit::Usage, error),
    }
}

/// Signs one request, and writes it to `out`, and what there is to say of it to `notes`.
///
/// # Errors
///
/// A [`SignError`]; nothing is written to `out` then, unless writing itself failed.
pub fn sign(
    arguments: &SignArguments,
    credentials: &Credentials,
    now: SigningDate,
    out: &mut impl Write,
    notes: &mut impl Write,
) -> Result<(), SignError> {
    let request = SignedRequest::new(arguments, credentials, now)?;
    if request.url != arguments.url {
        writeln!(notes, "note: the URL is sent as {}", request.url)?;
    }
    let text = match arguments.format {
        Format::Headers => output::headers(&request),
        Format::Curl => output::curl(&request, arguments),
        Format::Json => output::json(&request),
    };
    Ok(writeln!(out, "{text}")?)
}

#[cfg(test)]
mod tests;
