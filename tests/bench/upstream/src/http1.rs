//! HTTP/1.1, written by hand so that it costs as little as possible.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use httparse::{EMPTY_HEADER, Request, Status};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::statistics::STATISTICS;
use crate::{ECHO, JSON, REQUEST_ID, STATS};

const BUFFER: usize = 64 * 1024;
const HEADERS: usize = 100;

/// The head of a request, as far as it matters here.
#[derive(Default)]
struct Head {
    /// Length in bytes, with the blank line.
    length: usize,
    framing: Framing,
    expects_continue: bool,
    closes: bool,
    target: Target,
    /// Request line and headers, for [`Target::Echo`] only.
    text: String,
}

#[derive(Default, Clone, Copy)]
enum Framing {
    #[default]
    None,
    Length(u64),
    Chunked,
}

#[derive(Default, Clone, Copy, PartialEq)]
enum Target {
    #[default]
    Document,
    Stats,
    Echo,
}

pub(crate) async fn serve(stream: TlsStream<TcpStream>) -> io::Result<()> {
    let mut connection = Connection {
        stream,
        buffer: vec![0; BUFFER].into(),
        start: 0,
        end: 0,
    };
    while let Some(head) = connection.head().await? {
        if head.expects_continue {
            let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
            connection.stream.write_all(interim).await?;
            connection.stream.flush().await?;
        }
        let body = connection.body(&head).await?;
        STATISTICS.requests.add(1);
        STATISTICS.body_bytes.add(body.length);
        connection.respond(&head, body).await?;
        if head.closes {
            break;
        }
    }
    connection.stream.shutdown().await
}

struct Connection {
    stream: TlsStream<TcpStream>,
    buffer: Box<[u8]>,
    /// What has been read and not been used is between these.
    start: usize,
    end: usize,
}

/// What is known of a body once it has been read.
struct Body {
    length: u64,
    /// For [`Target::Echo`] only.
    hash: Option<Sha256>,
}

impl Body {
    fn add(&mut self, data: &[u8]) {
        self.length += data.len() as u64;
        if let Some(hash) = &mut self.hash {
            hash.update(data);
        }
    }
}

impl Connection {
    /// Reads the head of the next request; none if the connection has ended.
    async fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            match parse(&self.buffer[self.start..self.end]) {
                Ok(Some(head)) => {
                    self.start += head.length;
                    return Ok(Some(head));
                }
                Ok(None) => {}
                Err(error) => {
                    let response = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
                    self.stream.write_all(response).await?;
                    return Err(io::Error::other(error));
                }
            }
            if self.fill().await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Reads more behind what is in the buffer already.
    async fn fill(&mut self) -> io::Result<usize> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let count = self.stream.read(&mut self.buffer[self.end..]).await?;
        self.end += count;
        Ok(count)
    }

    async fn body(&mut self, head: &Head) -> io::Result<Body> {
        let mut body = Body {
            length: 0,
            hash: (head.target == Target::Echo).then(Sha256::new),
        };
        match head.framing {
            Framing::None => {}
            Framing::Length(length) => self.data(length, &mut body).await?,
            Framing::Chunked => loop {
                let size = self.chunk_size().await?;
                self.data(size, &mut body).await?;
                let mut line_end = Body {
                    length: 0,
                    hash: None,
                };
                self.data(2, &mut line_end).await?;
                if size == 0 {
                    break;
                }
            },
        }
        Ok(body)
    }

    async fn data(&mut self, mut left: u64, body: &mut Body) -> io::Result<()> {
        while left > 0 {
            if self.start == self.end {
                (self.start, self.end) = (0, self.stream.read(&mut self.buffer).await?);
                if self.end == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            let count = left.min((self.end - self.start) as u64);
            let end = self.start + count as usize;
            body.add(&self.buffer[self.start..end]);
            self.start = end;
            left -= count;
        }
        Ok(())
    }

    async fn chunk_size(&mut self) -> io::Result<u64> {
        loop {
            match httparse::parse_chunk_size(&self.buffer[self.start..self.end]) {
                Ok(Status::Complete((length, size))) => {
                    self.start += length;
                    return Ok(size);
                }
                Ok(Status::Partial) if self.fill().await? > 0 => {}
                _ => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }

    async fn respond(&mut self, head: &Head, body: Body) -> io::Result<()> {
        let text = match head.target {
            Target::Document => {
                self.stream.write_all(&document()).await?;
                return self.stream.flush().await;
            }
            Target::Stats => STATISTICS.to_json(),
            Target::Echo => {
                let hash = hex::encode(body.hash.unwrap_or_default().finalize());
                let (head, length) = (&head.text, body.length);
                format!("{head}\nbody_len={length}\nbody_sha256={hash}\n")
            }
        };
        let length = text.len();
        let response = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{text}");
        self.stream.write_all(response.as_bytes()).await?;
        self.stream.flush().await
    }
}

/// Parses a head; none if it is not complete.
fn parse(bytes: &[u8]) -> Result<Option<Head>, httparse::Error> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut headers = [EMPTY_HEADER; HEADERS];
    let mut request = Request::new(&mut headers);
    let Status::Complete(length) = request.parse(bytes)? else {
        return Ok(None);
    };
    let path = request.path.unwrap_or_default();
    let mut head = Head {
        length,
        target: match path {
            STATS => Target::Stats,
            ECHO => Target::Echo,
            _ => Target::Document,
        },
        ..Head::default()
    };
    if head.target == Target::Echo {
        head.text = format!("{} {path}\n", request.method.unwrap_or_default());
    }
    for header in &*request.headers {
        head.note(header.name, header.value);
    }
    Ok(Some(head))
}

impl Head {
    fn note(&mut self, name: &str, value: &[u8]) {
        if name.eq_ignore_ascii_case("content-length") {
            let length = std::str::from_utf8(value).ok();
            let length = length.and_then(|text| text.trim().parse().ok());
            self.framing = Framing::Length(length.unwrap_or_default());
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            self.framing = Framing::Chunked;
        } else if name.eq_ignore_ascii_case("expect") {
            self.expects_continue = true;
        } else if name.eq_ignore_ascii_case("authorization") {
            STATISTICS.authorized.add(1);
        } else if name.eq_ignore_ascii_case("connection") {
            self.closes = value.eq_ignore_ascii_case(b"close");
        }
        if self.target == Target::Echo {
            let value = String::from_utf8_lossy(value);
            self.text += &format!("{name}: {value}\n");
        }
    }
}

thread_local! {
    static DOCUMENT: RefCell<(u64, Rc<[u8]>)> = RefCell::new((0, Rc::new([])));
}

/// The usual response, made once a second for its `date`.
#[expect(
    clippy::disallowed_methods,
    reason = "the program's rule for clocks; here, the wall clock is the date"
)]
fn document() -> Rc<[u8]> {
    let now = SystemTime::now();
    let second = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    DOCUMENT.with_borrow_mut(|(made, document)| {
        if *made != second {
            let (date, length) = (httpdate::fmt_http_date(now), JSON.len());
            let text = format!(
                "HTTP/1.1 200 OK\r\nserver: bench\r\ndate: {date}\r\n\
                 content-type: application/json\r\ncontent-length: {length}\r\n\
                 x-request-id: {REQUEST_ID}\r\n\
                 strict-transport-security: max-age=31536000\r\n\r\n{JSON}"
            );
            (*made, *document) = (second, text.into_bytes().into());
        }
        Rc::clone(document)
    })
}
