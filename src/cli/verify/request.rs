//! Reads the request to verify: raw from a file, as `curl -v` prints it, or described by options. The
//! only parser of HTTP that is not hyper's, since these requests come over no connection.
//!
//! Raw requests are pasted and edited by hand. So bare line feeds end lines, empty lines before the
//! request and a missing one after the headers are ignored, and a body that is longer than
//! `Content-Length` is cut.

use std::fs::File;
use std::io::{self, IsTerminal, Read};

use super::super::request_arguments::{RequestArguments, Url};
use super::super::{Failure, say};

/// The longest request: several times the longest body that a gateway takes by default.
const MAX_REQUEST: u64 = 64 << 20;

/// A request as it was received.
#[derive(Debug)]
pub(super) struct ParsedRequest {
    pub(super) method: String,
    pub(super) target: String,
    /// Values may have blanks around them, which a signer may have signed by mistake.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl ParsedRequest {
    /// Reads a raw request from a file, or from standard input if the path is `-`. A body of the
    /// options takes the place of its own.
    pub(super) fn read(
        path: &str,
        options: &RequestArguments,
        stdin: &mut dyn Read,
    ) -> Result<Self, Failure> {
        if path == "-" && io::stdin().is_terminal() {
            say("reading the request from the terminal; Ctrl-D ends");
        }
        let text = match path {
            "-" => read_limited(&mut *stdin),
            path => File::open(path).and_then(read_limited),
        };
        let text = text.map_err(|error| {
            Failure::failed(format_args!(
                "the request cannot be read from {} ({error})\nhint: correct its path, its permissions or its length",
                if path == "-" { "standard input" } else { path }
            ))
        })?;
        let (mut request, rest) = Self::parse(&text).ok_or_else(|| {
            Failure::failed("this is not a request of HTTP/1.1\nhint: give it as it is sent, with an empty line after its headers")
        })?;
        request.body = if options.has_body() {
            options.body(stdin)?
        } else {
            let body = request.body_of(rest);
            let body = body.ok_or_else(|| {
                Failure::failed("the body is not as the headers of the request say\nhint: give it decoded and whole with `-d` or `--data-file`, since `curl -v` prints none")
            })?;
            body.to_vec()
        };
        Ok(request)
    }

    pub(super) fn from_options(
        options: &RequestArguments,
        url: &str,
        stdin: &mut dyn Read,
    ) -> Result<Self, Failure> {
        let url = Url::parse(url)?;
        let mut request = Self {
            method: options.method().to_owned(),
            target: url.target,
            headers: options.headers()?,
            body: options.body(stdin)?,
        };
        if request.value("host").is_none() {
            request.headers.push(("host".to_owned(), url.host));
        }
        Ok(request)
    }

    /// Parses the head, and returns what follows it. In the output of `curl -v`, the head is the lines
    /// after `>`, and no body is printed.
    fn parse(text: &[u8]) -> Option<(Self, &[u8])> {
        let is_curl = text.starts_with(b"* ") || text.starts_with(b"> ");
        let (mut lines, mut length) = (Vec::new(), 0);
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            length += line.len();
            let line = match line.strip_prefix(b">") {
                Some(line) if is_curl => line,
                _ if is_curl => continue,
                _ => line,
            };
            let line = str::from_utf8(line).ok()?.trim_start();
            if !line.is_empty() {
                lines.push(line);
            } else if !lines.is_empty() {
                break;
            }
        }
        let (method, rest) = lines.first()?.split_once(' ')?;
        let (target, _) = rest.rsplit_once(" HTTP/")?;
        let headers = lines[1..].iter().map(|line| {
            let (name, value) = line.split_once(':')?;
            let value = value.trim_end_matches(['\r', '\n']);
            // The space that clients write after the colon.
            let value = value.strip_prefix(' ').unwrap_or(value);
            Some((name.to_owned(), value.to_owned()))
        });
        // Clients send the absolute form to proxies; the path of it is signed.
        let absolute = Url::parse(target).ok().map(|url| url.target);
        let request = Self {
            method: method.to_owned(),
            target: absolute.unwrap_or_else(|| target.to_owned()),
            headers: headers.collect::<Option<_>>()?,
            body: Vec::new(),
        };
        Some((request, if is_curl { &[] } else { &text[length..] }))
    }

    /// The body, of what follows the head.
    fn body_of<'a>(&self, rest: &'a [u8]) -> Option<&'a [u8]> {
        match (
            self.value("transfer-encoding"),
            self.value("content-length"),
        ) {
            (None, None) => Some(rest),
            (None, Some(length)) => rest.get(..length.parse().ok()?),
            (Some(_), _) => None,
        }
    }

    /// The first value of a header, without blanks around it.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let header = headers.find(|header| header.0.eq_ignore_ascii_case(name))?;
        Some(header.1.trim())
    }
}

/// Reads to the end, but not more than the longest request.
fn read_limited(source: impl Read) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    source.take(MAX_REQUEST + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_REQUEST {
        return Err(io::Error::other("longer than 64 MiB"));
    }
    Ok(text)
}
