//! A gateway made of a TLS socket: it records every request as received, and answers with
//! bytes of the test.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use rustls::{
    HandshakeKind, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion,
};

use super::wire::{read_chunks, read_exactly, read_until};
use super::{ANSWERED, NAME, Received, SOCKET_TIMEOUT, authority, wait_until};

#[derive(Default)]
struct Shared {
    requests: Mutex<Vec<Received>>,
    connections: AtomicUsize,
    ended: AtomicUsize,
}

/// The upstream's end of a connection.
pub(crate) struct Link {
    pub(crate) stream: StreamOwned<ServerConnection, TcpStream>,
    shared: Arc<Shared>,
}

impl Link {
    fn new(
        stream: io::Result<TcpStream>,
        tls: Arc<ServerConfig>,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        let stream = stream?;
        stream.set_read_timeout(Some(SOCKET_TIMEOUT))?;
        stream.set_nodelay(true)?;
        let tls = ServerConnection::new(tls).map_err(io::Error::other)?;
        let stream = StreamOwned::new(tls, stream);
        Ok(Self { stream, shared })
    }

    /// The next request, complete; `None` when the connection ends before one begins.
    pub(crate) fn request(&mut self) -> io::Result<Option<Received>> {
        let Some(mut request) = self.head()? else {
            return Ok(None);
        };
        if !request.all("transfer-encoding").is_empty() {
            assert_eq!(request.header("transfer-encoding"), "chunked");
            request.assert_without(&["content-length"]);
            let (body, trailers) = read_chunks(&mut self.stream)?;
            request.body = body;
            request.headers.extend(trailers);
        } else if !request.all("content-length").is_empty() {
            let length = request.header("content-length").parse().unwrap();
            request.body = read_exactly(&mut self.stream, length)?;
        }
        self.keep(&request);
        Ok(Some(request))
    }

    /// The head of the next request.
    pub(crate) fn head(&mut self) -> io::Result<Option<Received>> {
        let mut head = match read_until(&mut self.stream, b"\r\n\r\n") {
            Err(ended) if ended.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            head => Received::parse(&head?)?,
        };
        head.resumed = self.stream.conn.handshake_kind() == Some(HandshakeKind::Resumed);
        Ok(Some(head))
    }

    /// Records a request whose body was not read by [`Self::request`].
    pub(crate) fn keep(&self, request: &Received) {
        self.shared.requests.lock().unwrap().push(request.clone());
    }

    /// Sends bytes at once.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())?;
        self.stream.flush()
    }

    /// Sends `close_notify` and closes the sending side.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.stream.conn.send_close_notify();
        self.stream.flush()?;
        self.stream.sock.shutdown(std::net::Shutdown::Write)
    }

    /// Makes the end of the connection a reset.
    pub(crate) fn reset(&mut self) -> io::Result<()> {
        socket2::SockRef::from(&self.stream.sock).set_linger(Some(std::time::Duration::ZERO))
    }

    /// Limits how much the system receives ahead of what is read.
    pub(crate) fn take_little(&mut self) -> io::Result<()> {
        socket2::SockRef::from(&self.stream.sock).set_recv_buffer_size(64 * 1024)
    }

    /// Waits until the proxy closes its side.
    pub(crate) fn wait_for_end(&mut self) -> io::Result<()> {
        self.drain();
        Ok(())
    }

    /// Counts the bytes until the proxy closes its side.
    pub(crate) fn drain(&mut self) -> usize {
        let mut count = 0;
        let mut buffer = [0; 16 * 1024];
        while let Ok(read @ 1..) = self.stream.read(&mut buffer) {
            count += read;
        }
        count
    }
}

/// A raw upstream on a loopback port.
pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

/// An answer with a length.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
}

/// An answer of 200 with this body.
pub(crate) fn ok(body: &str) -> String {
    answer("200 OK", "", body)
}

/// Releases one held answer for each message, and all when it is dropped.
pub(crate) type Hold = mpsc::Sender<()>;

impl Upstream {
    /// Answers each request with 200 and `late` when it is released.
    pub(crate) fn holding() -> (Self, Hold) {
        Self::halting("", ok("late").leak())
    }

    /// Sends the first bytes of each answer at once, and the rest when it is released.
    pub(crate) fn halting(first: impl Into<Vec<u8>>, rest: &'static str) -> (Self, Hold) {
        let (hold, told) = mpsc::channel::<()>();
        let (told, first) = (Mutex::new(told), first.into());
        let upstream = Self::scripted(move |_, out| {
            out.write_all(&first)?;
            out.flush()?;
            let _ = told.lock().unwrap().recv();
            out.write_all(rest.as_bytes())
        });
        (upstream, hold)
    }

    /// Answers everything with 200.
    pub(crate) fn start() -> Self {
        let json = "content-type: application/json\r\n";
        Self::answering(answer("200 OK", json, ANSWERED))
    }

    /// Reports a head with the first byte of its body, then reads so many further bytes and answers.
    pub(crate) fn telling(rest: usize) -> (Self, mpsc::Receiver<Received>) {
        let (arrived, first_arrived) = mpsc::channel();
        let upstream = Self::handling(move |link| {
            let head = link.head()?.unwrap();
            link.stream.read_exact(&mut [0])?;
            arrived.send(head).unwrap();
            link.stream.read_exact(&mut vec![0; rest])?;
            link.send(ok("{}"))
        });
        (upstream, first_arrived)
    }

    /// Answers everything with these bytes.
    pub(crate) fn answering(bytes: impl Into<String>) -> Self {
        let bytes = bytes.into();
        Self::replying(move |_| bytes.clone())
    }

    /// Answers with the bytes that are returned.
    pub(crate) fn replying<B: AsRef<[u8]>>(
        reply: impl Fn(&Received) -> B + Send + Sync + 'static,
    ) -> Self {
        Self::scripted(move |request, out| out.write_all(reply(request).as_ref()))
    }

    /// Answers with a script. An error closes the connection.
    pub(crate) fn scripted(
        script: impl Fn(&Received, &mut dyn Write) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::speaking(rustls::ALL_VERSIONS, script)
    }

    /// Answers with a script, over these versions of TLS.
    pub(crate) fn speaking(
        versions: &[&'static SupportedProtocolVersion],
        script: impl Fn(&Received, &mut dyn Write) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::start_as(tls(versions), move |link| {
            while let Some(request) = link.request()? {
                script(&request, &mut link.stream)?;
                link.stream.flush()?;
            }
            Ok(())
        })
    }

    /// Runs the handler on each connection.
    pub(crate) fn handling(
        handler: impl Fn(&mut Link) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::start_as(tls(rustls::ALL_VERSIONS), handler)
    }

    /// Runs the handler on each connection, with this TLS configuration.
    pub(crate) fn start_as(
        tls: Arc<ServerConfig>,
        handler: impl Fn(&mut Link) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let upstream = Self {
            address,
            shared: Arc::default(),
        };
        let (handler, shared) = (Arc::new(handler), Arc::clone(&upstream.shared));
        thread::spawn(move || {
            for stream in listener.incoming() {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let (tls, handler) = (Arc::clone(&tls), Arc::clone(&handler));
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    let link = Link::new(stream, tls, Arc::clone(&shared));
                    let _ = link.and_then(|mut link| handler(&mut link));
                    shared.ended.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        upstream
    }

    /// The requests that arrived completely.
    pub(crate) fn requests(&self) -> Vec<Received> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// Waits until so many requests have arrived completely.
    pub(crate) fn wait_for(&self, count: usize) {
        wait_until(&format!("{count} requests arrive"), || {
            self.requests().len() >= count
        });
    }

    /// Waits until so many connections have ended.
    pub(crate) fn wait_for_end_of(&self, count: usize) {
        wait_until(&format!("{count} connections end"), || {
            self.ended() == count
        });
    }

    /// Forgets the recorded requests.
    pub(crate) fn forget(&self) {
        self.shared.requests.lock().unwrap().clear();
    }

    /// The only recorded request.
    pub(crate) fn only_request(&self) -> Received {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests.into_iter().next().unwrap()
    }

    /// How many connections were opened.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many connections have ended.
    pub(crate) fn ended(&self) -> usize {
        self.shared.ended.load(Ordering::SeqCst)
    }
}

fn tls(versions: &[&'static SupportedProtocolVersion]) -> Arc<ServerConfig> {
    authority::server(&["127.0.0.1", "localhost", NAME], versions)
}
