//! A caller made of a socket: it sends bytes, and parses the answer.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::wire::{parse_head, read_chunks, read_exactly, read_until};
use super::{Answer, SOCKET_TIMEOUT};

/// A request with this method and target, these further header lines, and a body whose length is
/// declared unless it is empty.
pub(crate) fn request(line: &str, fields: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut head = format!("{line} HTTP/1.1\r\nHost: localhost\r\n");
    for field in fields.split('|').filter(|field| !field.is_empty()) {
        head.extend([field, "\r\n"]);
    }
    if !body.is_empty() {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

/// A GET request of this path.
pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// A POST of a body with this content type, whose length is declared.
pub(crate) fn post(content_type: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let fields = format!("Content-Type: {content_type}|Content-Length: {length}");
    [&request("POST /v1", &fields, "")[..], body].concat()
}

/// A POST of a body in these chunks.
pub(crate) fn chunked(content_type: &str, chunks: &[&[u8]]) -> Vec<u8> {
    let fields = format!("Content-Type: {content_type}|Transfer-Encoding: chunked");
    [request("POST /v1", &fields, ""), in_chunks(chunks)].concat()
}

/// A body in these chunks.
pub(crate) fn in_chunks(chunks: &[&[u8]]) -> Vec<u8> {
    let sized =
        |chunk: &&[u8]| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat();
    let chunks: Vec<Vec<u8>> = chunks.iter().map(sized).collect();
    [chunks.concat(), b"0\r\n\r\n".to_vec()].concat()
}

/// A connection to the proxy.
pub(crate) struct Client<S = TcpStream>(S);

impl<S: Read + Write> Client<S> {
    /// A connection that is open already.
    pub(crate) fn over(stream: S) -> Self {
        Self(stream)
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.try_send(bytes).unwrap();
        self
    }

    /// Sends until the peer takes no more.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.0.write_all(bytes.as_ref())
    }

    /// Sends a GET of this path and reads the answer.
    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.send(get(path)).answer()
    }

    /// Reads one answer, which must be complete.
    pub(crate) fn answer(&mut self) -> Answer {
        self.try_answer(false).unwrap()
    }

    /// Reads one answer to a HEAD request.
    pub(crate) fn head_answer(&mut self) -> Answer {
        self.try_answer(true).unwrap()
    }

    /// Reads one answer; an error if it is cut off.
    pub(crate) fn try_answer(&mut self, to_head: bool) -> io::Result<Answer> {
        let (line, headers) = parse_head(&read_until(&mut self.0, b"\r\n\r\n")?)?;
        let status = line.split(' ').nth(1).and_then(|text| text.parse().ok());
        let mut answer = Answer {
            status: status.ok_or_else(|| io::Error::other(line.clone()))?,
            line,
            headers,
            body: Vec::new(),
        };
        if to_head || [204, 304].contains(&answer.status) || answer.status < 200 {
            return Ok(answer);
        }
        if let Some(length) = answer.all("content-length").first() {
            answer.body = self.exactly(length.parse().unwrap())?;
        } else if answer.all("transfer-encoding") == ["chunked"] {
            let (body, trailers) = read_chunks(&mut self.0)?;
            answer.body = body;
            answer.headers.extend(trailers);
        } else {
            answer.body = self.rest()?;
        }
        Ok(answer)
    }

    /// Reads from `start`, which must come next, until `end`.
    pub(crate) fn until(&mut self, start: &str, end: &str) -> String {
        let mut text = self.exactly(start.len().saturating_sub(1)).unwrap();
        while !text.ends_with(end.as_bytes()) || text.len() < start.len() {
            text.extend(self.exactly(1).unwrap());
        }
        let text = String::from_utf8(text).unwrap();
        assert!(text.starts_with(start), "{text:?}");
        text
    }

    /// True if the peer has closed the connection.
    pub(crate) fn is_closed(&mut self) -> bool {
        match self.0.read(&mut [0]) {
            Ok(read) => read == 0,
            // The socket timeout has passed, and the connection is still open.
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    pub(crate) fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        read_exactly(&mut self.0, length)
    }

    /// Reads until the connection ends, which must not be a reset.
    pub(crate) fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        self.0.read_to_end(&mut body)?;
        Ok(body)
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self(connect(address))
    }

    /// Limits how much the system receives ahead of what is read.
    pub(crate) fn take_little(&mut self) -> &mut Self {
        let socket = socket2::SockRef::from(&self.0);
        socket.set_recv_buffer_size(64 * 1024).unwrap();
        self
    }

    /// Closes the sending side, unless the peer has closed the connection already.
    pub(crate) fn finish_sending(&mut self) -> &mut Self {
        let _ = self.0.shutdown(Shutdown::Write);
        self
    }

    /// Makes the end of the connection a reset.
    pub(crate) fn reset(&mut self) {
        let socket = socket2::SockRef::from(&self.0);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Waits for input without reading it.
    pub(crate) fn wait_for_input(&self) {
        self.0.peek(&mut [0]).unwrap();
    }
}

/// A connection on which nothing blocks for longer than [`SOCKET_TIMEOUT`].
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOCKET_TIMEOUT)).unwrap();
    stream.set_write_timeout(Some(SOCKET_TIMEOUT)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}
