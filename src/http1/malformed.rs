//! The rules that a message can break.

/// Why what came is not taken for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// TLS, where plain HTTP is spoken.
    #[error("this is TLS, and plain HTTP is spoken here; write http:// instead of https://")]
    Tls,
    /// The preface of HTTP/2.
    #[error(
        "this is HTTP/2, and HTTP/1.1 is spoken here; switch off HTTP/2 with prior knowledge in the client"
    )]
    Http2,
    /// A line ends without a carriage return, or has one elsewhere.
    #[error("lines have to end with CR LF")]
    LineEnd,
    /// The first line is not one of a request.
    #[error(
        "the first line has to be a method, a target and HTTP/1.1, with one blank between them"
    )]
    RequestLine,
    /// The first line is not one of an answer.
    #[error("the first line has to be HTTP/1.1 and a status of three digits")]
    StatusLine,
    /// Another version of HTTP.
    #[error("the version has to be HTTP/1.1 or HTTP/1.0")]
    Version,
    /// The name of a field has a character that it cannot have, or blanks around it.
    #[error(
        "a header name has characters that it cannot have, or a header is folded over two lines"
    )]
    FieldName,
    /// The value of a field has a control character.
    #[error("a header value has control characters")]
    FieldValue,
    /// More fields than are taken.
    #[error("there are more than 100 headers")]
    TooManyFields,
    /// The first line alone is longer than a head may be.
    #[error("the first line is longer than a head may be")]
    FirstLineTooLong,
    /// A head is longer than it may be.
    #[error("the head is longer than it may be")]
    HeadTooLong,
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
    /// What follows the data of a chunk is not the end of a line.
    #[error("the data of a chunk has to be as long as its size says, and to end with CR LF")]
    ChunkEnd,
    /// What follows the last chunk are not fields.
    #[error("what follows the last chunk has to be headers and an empty line")]
    Trailers,
    /// What came over HTTP/2 breaks its rules.
    #[error("what came breaks the rules of HTTP/2")]
    Stream,
    /// More interim answers than are waited through.
    #[error("more interim answers came than are waited through")]
    Interim,
    /// A change of protocol that nobody asked for.
    #[error("the protocol was switched unasked")]
    Switched,
}

impl From<httparse::Error> for Malformed {
    fn from(error: httparse::Error) -> Self {
        match error {
            httparse::Error::HeaderName => Self::FieldName,
            httparse::Error::HeaderValue => Self::FieldValue,
            httparse::Error::NewLine => Self::LineEnd,
            httparse::Error::Status => Self::StatusLine,
            httparse::Error::Token => Self::RequestLine,
            httparse::Error::TooManyHeaders => Self::TooManyFields,
            httparse::Error::Version => Self::Version,
        }
    }
}
