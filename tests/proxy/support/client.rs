//! A caller made of a socket: it sends bytes, and takes an answer apart.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::SOCKET_TIMEOUT;

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
    let chunks = chunks.iter();
    let each =
        chunks.map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
    each.chain([b"0\r\n\r\n".to_vec()])
        .collect::<Vec<_>>()
        .concat()
}

/// A connection to the proxy.
pub(crate) struct Client(TcpStream);

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// All values of a header.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        let headers = self.headers.iter();
        let named = headers.filter(|header| header.0.eq_ignore_ascii_case(name));
        let values = named.map(|header| String::from_utf8_lossy(&header.1).into_owned());
        values.collect()
    }

    /// The value of a header that must be there once.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> String {
        let mut values = self.all(name);
        assert_eq!(values.len(), 1, "{name} in {self:?}");
        values.remove(0)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The names of all headers, in their order.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.headers.iter().map(|header| &*header.0).collect()
    }

    #[track_caller]
    pub(crate) fn assert_status(&self, status: u16) {
        assert_eq!(self.status, status, "{}", self.text());
    }

    /// Checks the status and the whole body.
    #[track_caller]
    pub(crate) fn assert_text(&self, status: u16, text: &str) {
        assert_eq!((self.status, &*self.text()), (status, text));
    }

    /// Checks the status and the code of an answer of the proxy's own.
    #[track_caller]
    pub(crate) fn assert_refused(&self, status: u16, code: &str) {
        let got = (self.status, &*self.code());
        assert_eq!(got, (status, code), "{}", self.text());
    }

    /// Checks the status and a header.
    #[track_caller]
    pub(crate) fn assert_header(&self, status: u16, name: &str, value: &str) {
        assert_eq!((self.status, &*self.header(name)), (status, value));
    }

    /// Checks that none of these headers is there.
    #[track_caller]
    pub(crate) fn assert_without(&self, names: &[&str]) {
        for name in names {
            assert_eq!(self.all(name), [""; 0], "{name}");
        }
    }

    /// Prints the case of a table that this is the answer to, for when the check after it fails.
    #[expect(clippy::print_stderr, reason = "the output of a test that fails")]
    pub(crate) fn about(&self, case: impl std::fmt::Debug) -> &Self {
        eprintln!("{case:?}");
        self
    }

    /// Checks that the body contains a text.
    #[track_caller]
    pub(crate) fn assert_says(&self, part: &str) {
        assert!(self.text().contains(part), "{}", self.text());
    }

    /// Checks that the hint in the header contains a text.
    #[track_caller]
    pub(crate) fn assert_hints(&self, part: &str) {
        let hint = self.header("x-apig-proxy-hint");
        assert!(hint.to_lowercase().contains(part), "{hint}");
    }

    /// The code of an answer of the proxy's own, whose shape is checked.
    pub(crate) fn code(&self) -> String {
        let text = self.text();
        let body: serde_json::Value = serde_json::from_str(&text).expect(&text);
        assert_eq!(self.header("content-type"), "application/json");
        assert_eq!(body["request_id"], *self.header("x-request-id"));
        let status = self.header("proxy-status");
        assert!(status.starts_with("apig-proxy; error="), "{status}");
        assert_ne!(body["error_msg"], "");
        let code = body["error_code"].as_str().unwrap();
        code.strip_prefix("PROXY.").expect(code).to_owned()
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(SOCKET_TIMEOUT)).unwrap();
        stream.set_write_timeout(Some(SOCKET_TIMEOUT)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self(stream)
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.try_send(bytes).unwrap();
        self
    }

    /// Sends as far as the other side takes it.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.0.write_all(bytes.as_ref())
    }

    /// Sends a GET of this path and reads the answer.
    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.send(get(path)).answer()
    }

    /// Keeps the system from taking much more than is read.
    pub(crate) fn take_little(&mut self) -> &mut Self {
        socket2::SockRef::from(&self.0)
            .set_recv_buffer_size(64 * 1024)
            .unwrap();
        self
    }

    /// Says that nothing more comes, unless the other side has closed the connection already.
    pub(crate) fn finish_sending(&mut self) -> &mut Self {
        let _ = self.0.shutdown(Shutdown::Write);
        self
    }

    /// Makes the end of the connection a reset.
    pub(crate) fn reset(&mut self) {
        socket2::SockRef::from(&self.0)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }

    /// Reads one answer, which must be complete.
    pub(crate) fn answer(&mut self) -> Answer {
        self.try_answer(false).unwrap()
    }

    /// Reads one answer to a HEAD request.
    pub(crate) fn head_answer(&mut self) -> Answer {
        self.try_answer(true).unwrap()
    }

    /// Reads one answer; an error if it breaks off.
    pub(crate) fn try_answer(&mut self, to_head: bool) -> io::Result<Answer> {
        // Header values may hold bytes that are not UTF-8; here each byte is one character.
        let head = self.up_to(b"\r\n\r\n")?.into_iter();
        let head: String = head.map(char::from).collect();
        let mut lines = head.lines();
        let line = lines.next().unwrap_or_default();
        let status = line.split(' ').nth(1).map(str::parse);
        let headers = lines.filter_map(|line| line.split_once(':'));
        let header = |(name, value): (&str, &str)| (name.to_owned(), value.trim().into());
        let mut answer = Answer {
            status: status
                .and_then(Result::ok)
                .ok_or_else(|| io::Error::other(line.to_owned()))?,
            headers: headers.map(header).collect(),
            body: Vec::new(),
        };
        if to_head || [204, 304].contains(&answer.status) || answer.status < 200 {
            return Ok(answer);
        }
        answer.body = match answer.all("content-length").first() {
            Some(length) => self.exactly(length.parse().unwrap())?,
            None if answer.all("transfer-encoding") == ["chunked"] => self.chunks()?,
            None => self.rest()?,
        };
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

    /// Waits until something has come, without reading it.
    pub(crate) fn wait_for_input(&self) {
        self.0.peek(&mut [0]).unwrap();
    }

    /// True if the other side has closed the connection.
    pub(crate) fn is_closed(&mut self) -> bool {
        match self.0.read(&mut [0]) {
            Ok(read) => read == 0,
            // The time is over, and it is still open.
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }

    pub(crate) fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok(body)
    }

    /// Reads all that comes until the connection ends, which it has to do in good order.
    pub(crate) fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        self.0.read_to_end(&mut body)?;
        Ok(body)
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let size = String::from_utf8(self.up_to(b"\r\n")?).map_err(io::Error::other)?;
            let size = usize::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
            body.extend(self.exactly(size)?);
            self.up_to(b"\r\n")?;
            if size == 0 {
                return Ok(body);
            }
        }
    }

    fn up_to(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while !bytes.ends_with(end) {
            bytes.extend(self.exactly(1)?);
        }
        Ok(bytes)
    }
}
