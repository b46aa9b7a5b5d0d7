//! `apig-proxy verify`: says whether a signed request verifies, and what differs if it does not.
//!
//! For who looks for the reason why the gateway refuses a request, and for a backend that checks the
//! signature of the gateway. The request is read leniently, as people paste it; whether it verifies is
//! decided by [`crate::signature::verify`] alone. The search for what a signer did otherwise comes
//! after that, and changes no verdict.

mod explain;
mod lines;
mod message;
mod output;
mod request;
mod verdict;

use std::io::{self, IsTerminal, Read, Write};
use std::time::Duration;

use clap::{Args, ValueEnum};
use jiff::SignedDuration;

use super::described::Described;
use super::key::key;
use super::{Exit, fail};
use crate::clock;
use crate::config::Environment;
use crate::credentials::Credentials;
use crate::signature::SigningDate;
use message::Malformed;
use request::Request;
use verdict::{Terms, Verdict};

/// Arguments of `verify`.
///
/// The request is one of HTTP/1.1 as it is on the wire, in a file or on standard input; lines may end
/// with LF. With a URL in the place of the file, it is described by -X, -H and -d.
#[derive(Clone, Debug, Args)]
pub struct VerifyArguments {
    /// File with the access key [default: as for serve].
    #[arg(long, value_name = "FILE")]
    pub credentials: Option<String>,
    /// Time to judge the date of the signature by, like 20261123T080000Z [default: now].
    #[arg(long, value_name = "DATE", value_parser = SigningDate::parse)]
    pub now: Option<SigningDate>,
    /// How far the date of the signature may be from that time.
    #[arg(long, value_name = "DURATION", default_value = "15m", value_parser = parse_window)]
    pub window: Duration,
    /// Header that must be among the signed ones; may be given several times.
    #[arg(long = "require", value_name = "NAME")]
    pub required: Vec<String>,
    /// What is printed: sentences, or everything as JSON.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// File with the request, "-" for standard input, or a URL [default: standard input].
    #[arg(value_name = "FILE|URL")]
    pub source: Option<String>,
    /// The request, if a URL is in the place of the file. Last, since a heading holds for all that follows.
    #[command(flatten, next_help_heading = "Request to a URL")]
    pub request: Described,
}

/// What `verify` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Sentences, then the evidence.
    Text,
    /// One object.
    Json,
}

/// Why nothing can be said about a request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// A request is described, but not where it goes.
    #[error(
        "-X, -H, -d and --data-file describe a request to a URL; give the URL, or leave them out"
    )]
    NoUrl,
    /// The URL is not one.
    #[error("the URL is not of the form https://host/path?query; correct it")]
    Url,
    /// A header is not one.
    #[error("-H: expected NAME: VALUE, like -H 'x-stage: RELEASE'")]
    Header,
    /// The options do not make a request.
    #[error("-X, -H and the URL do not make a request: {0}")]
    Described(#[source] Malformed),
    /// The request cannot be read.
    #[error("the request cannot be read ({0}); correct the path of its file or its permissions")]
    Read(io::ErrorKind),
    /// The body cannot be read.
    #[error("--data-file: the file cannot be read ({0}); correct its path or its permissions")]
    Data(io::ErrorKind),
    /// There is more than is held in memory.
    #[error("the request is longer than 64 MiB; verify one with a shorter body")]
    TooLong,
    /// The head is longer than any gateway takes.
    #[error(
        "the head is longer than 256 KiB; there has to be an empty line between the headers and the body"
    )]
    HeadTooLong,
    /// The head is not one.
    #[error("this is not a request of HTTP/1.1: {0}")]
    Malformed(#[source] Malformed),
    /// The chunks of the body are not ones.
    #[error(
        "the chunked body cannot be read: {0}; give it decoded, with Content-Length in the place of Transfer-Encoding"
    )]
    Chunks(#[source] Malformed),
    /// The chunks of the body do not end.
    #[error("the chunked body breaks off before its last chunk; give the whole body")]
    ChunksIncomplete,
    /// The result cannot be written.
    #[error("the result cannot be written: {0}")]
    Output(#[from] io::Error),
}

impl VerifyError {
    fn exit(&self) -> Exit {
        match self {
            Self::NoUrl | Self::Url | Self::Header | Self::Described(_) => Exit::Usage,
            Self::Read(_)
            | Self::Data(_)
            | Self::TooLong
            | Self::HeadTooLong
            | Self::Malformed(_)
            | Self::Chunks(_)
            | Self::ChunksIncomplete
            | Self::Output(_) => Exit::Failed,
        }
    }
}

/// Verifies and prints.
#[must_use]
pub fn run(arguments: &VerifyArguments, environment: &Environment) -> Exit {
    if let Err(error) = arguments.check() {
        return fail(error.exit(), error);
    }
    let credentials = match key(arguments.credentials.as_deref(), environment) {
        Ok(credentials) => credentials,
        Err(exit) => return exit,
    };
    let stdin = io::stdin();
    if arguments.reads_standard_input() && stdin.is_terminal() {
        let note = "note: the request is read from the terminal; end it with Ctrl-D";
        // Nothing can be done about a closed standard error.
        let _ = writeln!(io::stderr(), "{note}");
    }
    let verified = verify(
        arguments,
        &credentials,
        &mut stdin.lock(),
        &mut io::stdout(),
        &mut io::stderr(),
    );
    match verified {
        Ok(true) => Exit::Ok,
        Ok(false) => Exit::Failed,
        Err(error) => fail(error.exit(), error),
    }
}

/// Verifies one request: whether it does, with the verdict written to `out`, and what there is to say
/// of how it was read to `notes`.
///
/// # Errors
///
/// A [`VerifyError`] when there is no request to verify; nothing is written to `out` then, unless
/// writing itself failed.
pub fn verify(
    arguments: &VerifyArguments,
    credentials: &Credentials,
    stdin: &mut impl Read,
    out: &mut impl Write,
    notes: &mut impl Write,
) -> Result<bool, VerifyError> {
    arguments.check()?;
    let request = Request::read(arguments, stdin)?;
    for note in &request.notes {
        writeln!(notes, "note: {note}")?;
    }
    let terms = Terms {
        credentials,
        now: arguments.now.unwrap_or_else(clock::signing_date),
        window: arguments.window,
        required: &arguments.required,
    };
    let verdict = Verdict::of(&request, &terms);
    let text = match arguments.format {
        Format::Text => output::text(&verdict),
        Format::Json => output::json(&verdict),
    };
    writeln!(out, "{text}")?;
    Ok(verdict.is_verified())
}

impl VerifyArguments {
    /// The URL, if the request is described by options.
    fn url(&self) -> Option<&str> {
        self.source.as_deref().filter(|text| text.contains("://"))
    }

    fn reads_standard_input(&self) -> bool {
        match self.source.as_deref() {
            None | Some("-") => true,
            Some(_) => self.request.reads_standard_input(),
        }
    }

    fn check(&self) -> Result<(), VerifyError> {
        if !self.request.is_empty() && self.url().is_none() {
            return Err(VerifyError::NoUrl);
        }
        Ok(())
    }
}

fn parse_window(text: &str) -> Result<Duration, &'static str> {
    let time = text.parse::<SignedDuration>().ok();
    time.and_then(|time| Duration::try_from(time).ok())
        .ok_or("expected a time, like \"15m\", \"90s\" or \"2h\"")
}

#[cfg(test)]
mod tests;
