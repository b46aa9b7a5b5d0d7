//! Reads the request to verify: raw from a file, or described by options.
//!
//! Raw requests are pasted and edited by hand, so bare line feeds are taken for line ends, empty lines
//! before the request and a missing one after the headers are overlooked, and a body that is longer
//! than its length says is cut. Everything else is as strict as the proxy itself.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::super::described::Described;
use super::super::url::Url;
use super::message::{Framing, Head, Malformed, decode_chunks};
use super::{VerifyArguments, VerifyError};

/// The most that is read: the longest body that a gateway takes by default, several times over.
const LONGEST: usize = 64 << 20;

/// The longest head. Gateways take 128 KiB of headers and 32 KiB of target.
const LONGEST_HEAD: usize = 256 << 10;

/// A request, as it came.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<Header>,
    pub(super) body: Vec<u8>,
    /// What there is to say of how it was read.
    pub(super) notes: Vec<String>,
}

/// A header, as it came.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) name: String,
    /// All that is behind the colon, blanks included.
    pub(super) raw: Vec<u8>,
}

impl Header {
    /// The value without surrounding blanks.
    pub(super) fn value(&self) -> &[u8] {
        let is_text = |byte: &u8| !matches!(byte, b' ' | b'\t');
        let start = self.raw.iter().position(is_text).unwrap_or(self.raw.len());
        let end = self
            .raw
            .iter()
            .rposition(is_text)
            .map_or(start, |at| at + 1);
        &self.raw[start..end]
    }
}

impl Request {
    pub(super) fn read(
        arguments: &VerifyArguments,
        stdin: &mut impl Read,
    ) -> Result<Self, VerifyError> {
        if let Some(url) = arguments.url() {
            return Self::described(&arguments.request, url, stdin);
        }
        let path = arguments.source.as_deref().unwrap_or("-");
        Self::parse(&read(Path::new(path), stdin, VerifyError::Read)?)
    }

    /// Reads a request as it is on the wire.
    fn parse(text: &[u8]) -> Result<Self, VerifyError> {
        let (head, rest) = split(text)?;
        let (mut request, head) = Self::of_head(&head).map_err(VerifyError::Malformed)?;
        request.body = match head.framing {
            Framing::Chunked => decode_chunks(rest)
                .map_err(VerifyError::Chunks)?
                .ok_or(VerifyError::ChunksIncomplete)?,
            Framing::Length(length) => request.cut(rest, length),
            Framing::Unsaid => rest.to_vec(),
        };
        Ok(request)
    }

    /// Puts a request together from options.
    fn described(
        options: &Described,
        url: &str,
        stdin: &mut impl Read,
    ) -> Result<Self, VerifyError> {
        let url = Url::parse(url).ok_or(VerifyError::Url)?;
        let body = match (&options.data, &options.data_file) {
            (Some(data), _) => data.clone().into_bytes(),
            (None, Some(path)) => read(path, stdin, VerifyError::Data)?,
            (None, None) => Vec::new(),
        };
        let mut head = format!("{} {} HTTP/1.1\r\n", options.method(), url.target);
        let mut has_host = false;
        for header in options.headers() {
            let (name, value) = header.ok_or(VerifyError::Header)?;
            has_host |= name.eq_ignore_ascii_case("host");
            head.extend([name, ":", value, "\r\n"]);
        }
        if !has_host {
            head.extend(["Host: ", &url.host, "\r\n"]);
        }
        head.push_str("\r\n");
        let (request, _) = Self::of_head(head.as_bytes()).map_err(VerifyError::Described)?;
        Ok(Self { body, ..request })
    }

    /// A request without its body.
    fn of_head(text: &[u8]) -> Result<(Self, Head), Malformed> {
        let head = Head::parse(text)?;
        let lines = text.split(|byte| *byte == b'\n').skip(1);
        let headers = lines.filter_map(|line| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let colon = line.iter().position(|byte| *byte == b':')?;
            Some(Header {
                name: String::from_utf8_lossy(&line[..colon]).into_owned(),
                raw: line[colon + 1..].to_vec(),
            })
        });
        let request = Self {
            method: head.method.clone(),
            target: head.target.clone(),
            headers: headers.collect(),
            body: Vec::new(),
            notes: Vec::new(),
        };
        Ok((request, head))
    }

    /// The body, as far as its length says.
    fn cut(&mut self, rest: &[u8], length: u64) -> Vec<u8> {
        let given = rest.len() as u64;
        if given > length {
            self.notes.push(format!(
                "the body was cut to the {length} bytes of Content-Length; {} after it were left out",
                given - length
            ));
        } else if given < length {
            self.notes.push(format!(
                "Content-Length says {length} bytes, and the body has {given}; what is missing was signed, probably"
            ));
        }
        rest[..usize::try_from(length.min(given)).unwrap_or(rest.len())].to_vec()
    }
}

fn read(
    path: &Path,
    stdin: &mut impl Read,
    failed: fn(io::ErrorKind) -> VerifyError,
) -> Result<Vec<u8>, VerifyError> {
    let mut text = Vec::new();
    let limit = LONGEST as u64 + 1;
    let length = if path.as_os_str() == "-" {
        stdin.take(limit).read_to_end(&mut text)
    } else {
        File::open(path).and_then(|file| file.take(limit).read_to_end(&mut text))
    };
    match length {
        Err(error) => Err(failed(error.kind())),
        Ok(length) if length > LONGEST => Err(VerifyError::TooLong),
        Ok(_) => Ok(text),
    }
}

/// The head, with the line ends that a head has to have, and what follows it.
fn split(text: &[u8]) -> Result<(Vec<u8>, &[u8]), VerifyError> {
    let mut head = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest);
        let line = &rest[..end.unwrap_or(rest.len())];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        rest = end.map_or(&[], |end| &rest[end + 1..]);
        match (line.is_empty(), head.is_empty()) {
            (true, true) => {}
            (true, false) => break,
            (false, _) => {
                head.extend_from_slice(line);
                head.extend_from_slice(b"\r\n");
            }
        }
        if head.len() > LONGEST_HEAD {
            return Err(VerifyError::HeadTooLong);
        }
    }
    head.extend_from_slice(b"\r\n");
    Ok((head, rest))
}
