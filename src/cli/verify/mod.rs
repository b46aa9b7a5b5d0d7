//! `apig-proxy verify`: checks the signature of a request, and names what differs.
//!
//! For finding out why the gateway refuses a request, and for backends that check the signature of the
//! gateway. Requests are read leniently, as people paste them; whether they verify is decided by
//! [`crate::signature::verify`] alone. The search for the signer's mistake changes no verdict.

mod report;
mod request;
#[cfg(test)]
mod tests;

use std::io::{self, Read};
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::json;

use super::request_arguments::{RequestArguments, access_key};
use super::{Exit, Failure, Outcome, parse_duration, print};
use crate::clock;
use crate::config::Environment;
use crate::credentials::Credentials;
use crate::signature::SigningDate;
use report::Report;
use request::ParsedRequest;

/// Arguments of `verify`.
///
/// The request is one of HTTP/1.1 as it is on the wire, or what `curl -v` prints, in a file or on standard
/// input; lines may end with LF. With a URL in place of the file, -X, -H and -d describe the request.
#[derive(Clone, Debug, Args)]
pub(super) struct VerifyArguments {
    /// File with the access key [default: as for serve].
    #[arg(long, value_name = "FILE")]
    credentials: Option<String>,
    /// Time to judge the date of the signature by, like 20261123T080000Z [default: now].
    #[arg(long, value_name = "DATE", value_parser = SigningDate::parse)]
    now: Option<SigningDate>,
    /// How far the date of the signature may be from that time.
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = parse_duration)]
    window: Duration,
    /// Header that must be signed; may be given several times.
    #[arg(long = "require", value_name = "NAME")]
    required: Vec<String>,
    /// Print sentences, or everything as JSON.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// File with the request, "-" for standard input, or a URL [default: standard input].
    #[arg(value_name = "FILE|URL")]
    source: Option<String>,
    /// The request to a URL, or only the body of the request. Last, since a heading applies to all options after it.
    #[command(flatten, next_help_heading = "Request to a URL")]
    request: RequestArguments,
}

/// What `verify` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Sentences, then the evidence.
    Text,
    /// One object.
    Json,
}

/// Verifies and prints.
pub(super) fn run(arguments: &VerifyArguments, environment: &Environment) -> Outcome {
    let credentials = access_key(arguments.credentials.as_deref(), environment)?;
    let report = verify(arguments, &credentials, &mut io::stdin())?;
    match arguments.format {
        Format::Text => print(report.text()),
        Format::Json => print(format_args!("{:#}", json!(report))),
    }?;
    Ok(if report.verified {
        Exit::Ok
    } else {
        Exit::Failed
    })
}

fn verify(
    arguments: &VerifyArguments,
    credentials: &Credentials,
    stdin: &mut dyn Read,
) -> Result<Report, Failure> {
    let options = &arguments.request;
    let source = arguments.source.as_deref().unwrap_or("-");
    let request = if source.contains("://") {
        ParsedRequest::from_options(options, source, stdin)?
    } else if options.method.is_some() || !options.headers.is_empty() {
        return Err(Failure::usage(
            "`-X` and `-H` describe a request to a URL\nhint: give the URL, or leave them out",
        ));
    } else {
        ParsedRequest::read(source, options, stdin)?
    };
    let now = arguments.now.unwrap_or_else(clock::signing_date);
    let (window, required) = (arguments.window, &arguments.required);
    Ok(Report::new(&request, credentials, now, window, required))
}
