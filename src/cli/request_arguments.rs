//! What `sign` and `verify` share, so that one verifies what the other signs: the options that describe
//! a request, the URL, and the access key.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args};

use super::{Failure, block_on, say};
use crate::config::{self, Auth, Environment, Overrides};
use crate::credentials::{self, Credentials, Secret, Source};
use crate::server::network;

/// A request that is described by options; its URL is an argument of the command.
#[derive(Clone, Debug, Default, Args)]
#[command(group(ArgGroup::new("body").args(["data", "data_file"])))]
pub(super) struct RequestArguments {
    /// Method [default: GET, or POST with a body].
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    pub(super) method: Option<String>,
    /// Header; may be given several times.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub(super) headers: Vec<String>,
    /// Body, as it is: "@" has no meaning here.
    #[arg(short = 'd', long, value_name = "DATA")]
    pub(super) data: Option<String>,
    /// File with the body, or "-" for standard input.
    #[arg(long, value_name = "FILE")]
    pub(super) data_file: Option<PathBuf>,
}

impl RequestArguments {
    pub(super) fn has_body(&self) -> bool {
        self.data.is_some() || self.data_file.is_some()
    }

    /// The given method, or the one that the body implies.
    pub(super) fn method(&self) -> &str {
        let default = if self.has_body() { "POST" } else { "GET" };
        self.method.as_deref().unwrap_or(default)
    }

    pub(super) fn headers(&self) -> Result<Vec<(String, String)>, Failure> {
        let headers = self.headers.iter().map(|line| {
            let (name, value) = line.split_once(':')?;
            let (name, value) = (name.trim(), value.trim_ascii());
            (!name.is_empty()).then(|| (name.to_owned(), value.to_owned()))
        });
        headers.collect::<Option<_>>().ok_or_else(|| {
            Failure::usage(
                "`-H` is not of the form NAME: VALUE\nhint: give it like `-H 'x-stage: RELEASE'`",
            )
        })
    }

    pub(super) fn body(&self, stdin: &mut dyn Read) -> Result<Vec<u8>, Failure> {
        if self.data.as_ref().is_some_and(|data| data.starts_with('@')) {
            say(
                "note: `@` at the beginning of `-d` is part of the body; `--data-file` reads a file",
            );
        }
        let mut body = Vec::new();
        let read = match &self.data_file {
            None => return Ok(self.data.clone().unwrap_or_default().into_bytes()),
            Some(path) if path == "-" => stdin.read_to_end(&mut body),
            Some(path) => File::open(path).and_then(|mut file| file.read_to_end(&mut body)),
        };
        read.map_err(|error| {
            Failure::failed(format_args!(
                "`--data-file`: {} cannot be read ({error})\nhint: correct its path, its permissions or its length",
                self.data_file.as_deref().unwrap_or_else(|| Path::new("-")).display()
            ))
        })?;
        Ok(body)
    }
}

/// A URL, as far as a request needs it. Not `http::Uri`, which refuses characters that SDKs sign.
#[derive(Debug)]
pub(super) struct Url {
    /// Scheme and authority as given.
    pub(super) origin: String,
    /// The value of `Host`: without the scheme's default port, as clients send it.
    pub(super) host: String,
    /// Path and query as given, without the fragment.
    pub(super) target: String,
}

impl Url {
    /// Parses a URL with the scheme `http` or `https`.
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let parse = || {
            let (scheme, rest) = text.split_once("://")?;
            let default_port = match scheme {
                "https" => ":443",
                "http" => ":80",
                _ => return None,
            };
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let (authority, target) = rest.split_at(end);
            let is_valid = authority.parse::<http::uri::Authority>().is_ok();
            let target = target.split('#').next().unwrap_or_default();
            let root = if target.starts_with('/') { "" } else { "/" };
            let host = authority.strip_suffix(default_port).unwrap_or(authority);
            (is_valid && !authority.contains('@') && !text.contains(['<', '>'])).then(|| Self {
                origin: format!("{scheme}://{authority}"),
                host: host.to_owned(),
                target: format!("{root}{target}"),
            })
        };
        parse().ok_or_else(|| {
            let has_scheme = text.starts_with("https://") || text.starts_with("http://");
            let hint = match text {
                _ if !has_scheme => "begin it with `https://`, without blanks or quotes before it",
                _ if text.contains(['<', '>']) => "write values in place of what is in `<>`",
                _ => "give scheme and host, without a user",
            };
            Failure::usage(format_args!(
                "the URL is not of the form https://host/path?query\nhint: {hint}"
            ))
        })
    }
}

/// The access key of `[credentials]`, or of the file that `--credentials` names. A service is asked if
/// the key comes from one.
pub(super) fn access_key(
    file: Option<&str>,
    environment: &Environment,
) -> Result<Credentials, Failure> {
    let overrides = Overrides::default().text("credentials.file", "--credentials", file);
    let set = config::load_part(&overrides, environment, "credentials", |config| {
        config.credentials.into_iter().next()
    })?;
    let set = set.expect("there is `[credentials]`");
    let source = Source::open(Auth::default(), &set, environment);
    let mut sources = [source.map_err(|error| Failure::no_credentials(vec![error]))?];
    if sources[0].slot().current().is_none() {
        let config = config::with_upstream("https://localhost").expect("the URL is valid");
        let network = network(&config).map_err(Failure::configuration)?;
        block_on(credentials::start(&mut sources, &network))?.map_err(Failure::no_credentials)?;
    }
    let [source] = &sources;
    match source.slot().current().map(|lease| lease.secret.clone()) {
        Some(Secret::Key(credentials)) => Ok(credentials),
        _ => Err(Failure::failed(format_args!(
            "there is no key: {}",
            source.failure.as_deref().unwrap_or("its source gives none")
        ))),
    }
}
