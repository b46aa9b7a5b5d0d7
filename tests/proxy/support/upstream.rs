//! A gateway made of a TLS socket: it keeps every request as the bytes that came, and answers with
//! bytes that the test gives.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use apig_proxy::signature::{PayloadHash, ReceivedRequest, Signer, SigningDate, Verified, verify};
use rustls::{HandshakeKind, ServerConnection, StreamOwned, SupportedProtocolVersion};

use super::{PATIENCE, authority, key};

/// What an upstream does with a request: writes an answer.
type Script = dyn Fn(&Seen, &mut dyn Write) -> io::Result<()> + Send + Sync;

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// The request line.
    pub(crate) line: String,
    /// Names as they came, and values without the blanks around them.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    /// Whether its connection resumed a TLS session.
    pub(crate) resumed: bool,
    /// The body without its framing.
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn method(&self) -> &str {
        self.line.split(' ').next().unwrap()
    }

    pub(crate) fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap()
    }

    /// All values of a header.
    pub(crate) fn all(&self, name: &str) -> Vec<&[u8]> {
        let values = self
            .headers
            .iter()
            .filter(|header| header.0.eq_ignore_ascii_case(name));
        values.map(|header| header.1.as_slice()).collect()
    }

    /// The value of a header that must be there once.
    pub(crate) fn header(&self, name: &str) -> &str {
        let values = self.all(name);
        assert_eq!(values.len(), 1, "{name} in {:?}", self.headers);
        std::str::from_utf8(values[0]).unwrap()
    }

    /// Checks the signature from what came.
    pub(crate) fn verified(&self) -> Verified {
        let headers: Vec<(&str, &[u8])> = self
            .headers
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_slice()))
            .collect();
        let body = PayloadHash::of(&self.body);
        let request = ReceivedRequest {
            method: self.method(),
            target: self.target(),
            headers: &headers,
            body: &body,
        };
        let now = SigningDate::parse(self.header("x-sdk-date")).unwrap();
        let credentials = key();
        let signer = |id: &str| {
            (id == credentials.access_key).then(|| Signer::new(id, &credentials.secret_key))
        };
        verify(&request, signer, &now, PATIENCE)
            .unwrap_or_else(|refusal| panic!("{refusal}: {self:?}"))
    }
}

/// A raw upstream on a loopback port.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    connections: Arc<AtomicUsize>,
}

/// An answer with a length.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
}

impl Upstream {
    /// Answers everything with 200.
    pub(crate) fn start() -> Self {
        Self::answering(&answer(
            "200 OK",
            "content-type: application/json\r\n",
            "{\"ok\":true}",
        ))
    }

    /// Answers everything with these bytes.
    pub(crate) fn answering(bytes: &str) -> Self {
        let bytes = bytes.as_bytes().to_vec();
        Self::scripted(move |_, out| out.write_all(&bytes))
    }

    /// Answers as the script does. A script that fails closes the connection.
    pub(crate) fn scripted(
        script: impl Fn(&Seen, &mut dyn Write) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::speaking(rustls::ALL_VERSIONS, script)
    }

    /// Answers as the script does, over these versions of TLS.
    pub(crate) fn speaking(
        versions: &[&'static SupportedProtocolVersion],
        script: impl Fn(&Seen, &mut dyn Write) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let upstream = Self {
            address: listener.local_addr().unwrap(),
            seen: Arc::default(),
            connections: Arc::default(),
        };
        let (seen, connections) = (
            Arc::clone(&upstream.seen),
            Arc::clone(&upstream.connections),
        );
        let tls = authority::server(&["127.0.0.1", "localhost"], versions);
        let script: Arc<Script> = Arc::new(script);
        thread::spawn(move || {
            for stream in listener.incoming() {
                connections.fetch_add(1, Ordering::SeqCst);
                let (seen, tls, script) =
                    (Arc::clone(&seen), Arc::clone(&tls), Arc::clone(&script));
                thread::spawn(move || {
                    let stream: TcpStream = stream?;
                    stream.set_read_timeout(Some(PATIENCE))?;
                    stream.set_nodelay(true)?;
                    let tls = ServerConnection::new(tls).map_err(io::Error::other)?;
                    serve(StreamOwned::new(tls, stream), &seen, &*script)
                });
            }
        });
        upstream
    }

    /// The requests that came completely.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The only request that came.
    pub(crate) fn only_request(&self) -> Seen {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests.into_iter().next().unwrap()
    }

    /// How many connections were opened.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn serve(
    mut stream: StreamOwned<ServerConnection, TcpStream>,
    seen: &Mutex<Vec<Seen>>,
    script: &Script,
) -> io::Result<()> {
    while let Some(mut request) = read_request(&mut stream)? {
        request.resumed = stream.conn.handshake_kind() == Some(HandshakeKind::Resumed);
        seen.lock().unwrap().push(request.clone());
        script(&request, &mut stream)?;
        stream.flush()?;
    }
    Ok(())
}

/// Reads one request; `None` when the connection ends before one begins.
fn read_request(stream: &mut impl Read) -> io::Result<Option<Seen>> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte)? == 0 {
            return Ok(None);
        }
        head.push(byte[0]);
    }
    let mut lines = head
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii_end);
    let line = String::from_utf8(lines.next().unwrap().to_vec()).unwrap();
    let headers = lines.filter(|line| !line.is_empty()).map(|line| {
        let colon = line.iter().position(|byte| *byte == b':').unwrap();
        let name = String::from_utf8(line[..colon].to_vec()).unwrap();
        (name, line[colon + 1..].trim_ascii().to_vec())
    });
    let mut request = Seen {
        line,
        headers: headers.collect(),
        body: Vec::new(),
        resumed: false,
    };
    request.body = if !request.all("transfer-encoding").is_empty() {
        assert_eq!(request.header("transfer-encoding"), "chunked");
        assert!(request.all("content-length").is_empty(), "{request:?}");
        read_chunks(stream)?
    } else if request.all("content-length").is_empty() {
        Vec::new()
    } else {
        let mut body = vec![0; request.header("content-length").parse().unwrap()];
        stream.read_exact(&mut body)?;
        body
    };
    Ok(Some(request))
}

fn read_chunks(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let mut line = Vec::new();
        let mut byte = [0];
        while !line.ends_with(b"\r\n") {
            stream.read_exact(&mut byte)?;
            line.push(byte[0]);
        }
        let size = std::str::from_utf8(line.trim_ascii()).unwrap();
        let size = usize::from_str_radix(size, 16).unwrap();
        let start = body.len();
        body.resize(start + size + 2, 0);
        stream.read_exact(&mut body[start..])?;
        assert!(body.ends_with(b"\r\n"));
        body.truncate(start + size);
        if size == 0 {
            return Ok(body);
        }
    }
}
