//! Reads the request to verify: raw from a file, as `curl -v` prints it, or described by options. The
//! only parser of HTTP that is not hyper's, since these requests come over no connection.
//!
//! Raw requests are pasted and edited by hand. So bare line feeds end lines, empty lines before the
//! request and a missing one after the headers are ignored, and a body that is longer than
//! `Content-Length` is cut. Everything else is as strict as the proxy.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read};

use super::super::Failure;
use super::super::request_arguments::{RequestArguments, Url, unreadable_body};
use crate::signature::{Algorithm, DATE_HEADER, Presented, SigningDate, string_to_sign};

/// The longest request: several times the longest body that a gateway takes by default.
const MAX_REQUEST: u64 = 64 << 20;

/// The longest head. Gateways take 128 KiB of headers and 32 KiB of target.
const MAX_HEAD: usize = 256 << 10;

/// The most headers.
const MAX_HEADERS: usize = 256;

/// A request as it was received.
#[derive(Debug)]
pub(super) struct ParsedRequest {
    pub(super) method: String,
    pub(super) target: String,
    /// Names, and everything after the colon, including whitespace.
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) body: Vec<u8>,
    /// A remark on the length of the body.
    pub(super) note: Option<String>,
}

impl ParsedRequest {
    /// Reads a raw request from a file, or from standard input if the path is `-`. A body of the
    /// options takes the place of its own.
    pub(super) fn read(
        path: &str,
        options: &RequestArguments,
        stdin: &mut dyn Read,
    ) -> Result<Self, Failure> {
        let text = match path {
            "-" => read_limited(&mut *stdin),
            path => File::open(path).and_then(read_limited),
        };
        let text = text.map_err(|error| {
            Failure::failed(format_args!(
                "the request cannot be read ({error})\nhint: correct its path, its permissions or its length"
            ))
        })?;
        let (head, rest) = split_head(&text)?;
        let mut request = Self::parse_head(&head).map_err(malformed)?;
        if options.has_body() {
            request.body = read_body(options, stdin)?;
        } else {
            request.set_body(rest)?;
        }
        Ok(request)
    }

    /// Builds a request from options.
    pub(super) fn from_options(
        options: &RequestArguments,
        url: &str,
        stdin: &mut dyn Read,
    ) -> Result<Self, Failure> {
        let url = Url::parse(url)?;
        let mut headers = options.headers()?;
        let mut names = headers.iter().map(|header| header.0);
        if !names.any(|name| name.eq_ignore_ascii_case("host")) {
            headers.push(("Host", &url.host));
        }
        let lines = headers
            .iter()
            .map(|(name, value)| format!("{name}:{value}\r\n"));
        let (method, lines) = (options.method(), lines.collect::<String>());
        let head = format!("{method} {} HTTP/1.1\r\n{lines}\r\n", url.target);
        let mut request = Self::parse_head(head.as_bytes()).map_err(|error| {
            Failure::usage(format_args!(
                "-X, -H and the URL do not make a request: {error}"
            ))
        })?;
        request.body = read_body(options, stdin)?;
        Ok(request)
    }

    /// Sets the body from what follows the head on the wire.
    fn set_body(&mut self, rest: &[u8]) -> Result<(), Failure> {
        let (codings, lengths) = (
            self.values("transfer-encoding"),
            self.values("content-length"),
        );
        let body = match (codings.as_slice(), lengths.as_slice()) {
            ([], []) => Some(rest.to_vec()),
            ([], [length]) => length.parse().ok().map(|length| self.cut(rest, length)),
            ([coding], []) if coding.eq_ignore_ascii_case("chunked") => decode_chunks(rest),
            _ => None,
        };
        self.body = body.ok_or_else(|| {
            malformed("its body is not as its headers say\nhint: give it decoded and whole, with one `Content-Length`")
        })?;
        Ok(())
    }

    /// The body up to its length, with a note if it has another one.
    fn cut(&mut self, body: &[u8], length: usize) -> Vec<u8> {
        self.note = match body.len().checked_sub(length) {
            Some(0) => None,
            Some(more) => Some(format!(
                "the body was cut to the {length} bytes of `Content-Length`; {more} after it were left out"
            )),
            None => Some(format!(
                "`Content-Length` says {length} bytes, and the body has {}\nhint: give the body with --data-file",
                body.len()
            )),
        };
        body[..length.min(body.len())].to_vec()
    }

    /// Parses a head up to and including its empty line.
    fn parse_head(text: &[u8]) -> Result<Self, String> {
        let mut headers = vec![httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        let parsed = request.parse(text).map_err(|error| error.to_string())?;
        if parsed != httparse::Status::Complete(text.len()) {
            return Err("the head does not end with an empty line".to_owned());
        }
        // httparse trims the values, and mistaken signers do not.
        let lines = text.split(|byte| *byte == b'\n').skip(1);
        let headers = lines.filter_map(|line| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let colon = memchr::memchr(b':', line)?;
            let name = String::from_utf8_lossy(&line[..colon]).into_owned();
            Some((name, line[colon + 1..].to_vec()))
        });
        let target = request.path.unwrap_or_default();
        // Clients send the absolute form to proxies; the path of it is signed.
        let absolute = Url::parse(target).ok().map(|url| url.target);
        Ok(Self {
            method: request.method.unwrap_or_default().to_owned(),
            target: absolute.unwrap_or_else(|| target.to_owned()),
            headers: headers.collect(),
            body: Vec::new(),
            note: None,
        })
    }

    /// The values of a header, without surrounding whitespace.
    pub(super) fn values(&self, name: &str) -> Vec<String> {
        let headers = self.headers.iter();
        headers
            .filter(|header| header.0.eq_ignore_ascii_case(name))
            .map(|(_, value)| String::from_utf8_lossy(value.trim_ascii()).into_owned())
            .collect()
    }

    /// The algorithm of the signature, without region and service.
    pub(super) fn algorithm(&self) -> Algorithm<'static> {
        let authorization = self.values("authorization");
        Algorithm::of_authorization(authorization.first().map_or(b"", String::as_bytes))
    }

    /// The string to sign for a canonical request.
    pub(super) fn string_to_sign(&self, canonical: &str) -> Option<String> {
        let authorization = self.values("authorization");
        let presented = Presented::parse(authorization.first()?).ok()?;
        Some(string_to_sign(
            presented.algorithm,
            canonical,
            &self.date()?,
        ))
    }

    /// The date of the signature.
    pub(super) fn date(&self) -> Option<SigningDate> {
        SigningDate::parse(self.values(DATE_HEADER).first()?).ok()
    }
}

fn malformed(what: impl Display) -> Failure {
    Failure::failed(format_args!("this is not a request of HTTP/1.1: {what}"))
}

/// Reads the body that options give.
fn read_body(options: &RequestArguments, stdin: &mut dyn Read) -> Result<Vec<u8>, Failure> {
    let body = options.body(stdin).and_then(read_limited);
    body.map_err(|error| unreadable_body(&error))
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

/// The head, with CR LF at the ends of its lines, and what follows it. In the output of `curl -v`, the
/// head is the lines after `>`.
fn split_head(text: &[u8]) -> Result<(Vec<u8>, &[u8]), Failure> {
    let is_curl = text.starts_with(b"* ") || text.starts_with(b"> ");
    let mut head = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        rest = rest.get(end + 1..).unwrap_or_default();
        let line = match line.strip_prefix(b">") {
            Some(line) if is_curl => line.trim_ascii_start(),
            _ if is_curl => continue,
            _ => line,
        };
        if !line.is_empty() {
            let http2 = line
                .strip_suffix(b" HTTP/2")
                .filter(|_| is_curl && head.is_empty());
            head.extend_from_slice(http2.unwrap_or(line));
            head.extend_from_slice(if http2.is_some() {
                b" HTTP/1.1\r\n"
            } else {
                b"\r\n"
            });
        } else if !head.is_empty() {
            break;
        }
        if head.len() > MAX_HEAD {
            return Err(malformed(
                "its head is longer than 256 KiB\nhint: end the headers with an empty line",
            ));
        }
    }
    head.extend_from_slice(b"\r\n");
    Ok((head, if is_curl { &[] } else { rest }))
}

/// Decodes a chunked body, if it is whole. Trailers are ignored.
fn decode_chunks(mut text: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let httparse::Status::Complete((start, size)) = httparse::parse_chunk_size(text).ok()?
        else {
            return None;
        };
        if size == 0 {
            return Some(body);
        }
        let (data, rest) = text[start..].split_at_checked(usize::try_from(size).ok()?)?;
        body.extend_from_slice(data);
        text = rest.strip_prefix(b"\r\n")?;
    }
}
