//! The HTTP/1.1 of a request that was pasted or saved: its head and its chunks.
//!
//! Only `verify` parses HTTP by itself, since its requests do not come over a connection.

/// The most headers of a request.
const HEADERS: usize = 256;

/// How long a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// No header says.
    Unsaid,
    /// `Content-Length` says so many bytes.
    Length(u64),
    /// It comes in chunks.
    Chunked,
}

/// Why what was given is not a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The first line or a header breaks a rule.
    #[error(transparent)]
    Head(#[from] httparse::Error),
    /// The head is followed by something else than its end.
    #[error("the head does not end with an empty line")]
    Incomplete,
    /// A length that is not one plain number.
    #[error("Content-Length has to be there once, as digits only")]
    ContentLength,
    /// A transfer coding other than chunked.
    #[error("Transfer-Encoding has to be there once, and to be chunked")]
    TransferEncoding,
    /// Two lengths.
    #[error("Content-Length and Transfer-Encoding exclude each other")]
    TwoLengths,
    /// The size of a chunk is not one, or does not end its line.
    #[error("the size of a chunk has to be hexadecimal digits on a line of its own")]
    ChunkSize,
    /// The data of a chunk does not end where its size says.
    #[error("the data of a chunk has to be as long as its size says, and to end with CR LF")]
    ChunkEnd,
}

/// The first line of a request, and how long its body is.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) framing: Framing,
}

impl Head {
    /// Reads a head up to and including its empty line.
    pub(super) fn parse(text: &[u8]) -> Result<Self, Malformed> {
        let mut headers = vec![httparse::EMPTY_HEADER; HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        match request.parse(text)? {
            httparse::Status::Complete(length) if length == text.len() => {}
            _ => return Err(Malformed::Incomplete),
        }
        let (Some(method), Some(target)) = (request.method, request.path) else {
            return Err(Malformed::Incomplete);
        };
        Ok(Self {
            method: method.to_owned(),
            target: target.to_owned(),
            framing: framing(request.headers)?,
        })
    }
}

fn framing(headers: &[httparse::Header<'_>]) -> Result<Framing, Malformed> {
    let values = |name: &str| -> Vec<&[u8]> {
        let named = headers
            .iter()
            .filter(|header| header.name.eq_ignore_ascii_case(name));
        named.map(|header| header.value).collect()
    };
    let (codings, lengths) = (values("transfer-encoding"), values("content-length"));
    match (codings.as_slice(), lengths.as_slice()) {
        ([], []) => Ok(Framing::Unsaid),
        ([], [length]) => {
            let digits = str::from_utf8(length).ok();
            let digits = digits.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
            let length = digits.and_then(|text| text.parse().ok());
            length.map(Framing::Length).ok_or(Malformed::ContentLength)
        }
        ([], _) => Err(Malformed::ContentLength),
        ([coding], []) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
        (_, []) => Err(Malformed::TransferEncoding),
        _ => Err(Malformed::TwoLengths),
    }
}

/// The data of a chunked body; `None` if its last chunk is missing. Trailers are overlooked.
pub(super) fn decode_chunks(mut text: &[u8]) -> Result<Option<Vec<u8>>, Malformed> {
    let mut body = Vec::new();
    loop {
        let size = httparse::parse_chunk_size(text).map_err(|_| Malformed::ChunkSize)?;
        let httparse::Status::Complete((start, size)) = size else {
            return Ok(None);
        };
        if size == 0 {
            return Ok(Some(body));
        }
        let rest = &text[start..];
        let size = usize::try_from(size).map_err(|_| Malformed::ChunkSize)?;
        if rest.len() < size.saturating_add(2) {
            return Ok(None);
        }
        let (data, rest) = rest.split_at(size);
        body.extend_from_slice(data);
        text = rest.strip_prefix(b"\r\n").ok_or(Malformed::ChunkEnd)?;
    }
}
