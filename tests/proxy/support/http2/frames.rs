//! An HTTP/2 connection as frames (RFC 9113 §4.1), for gateways and callers that violate the protocol.

use std::io;

use h2::Reason;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames.
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const GOAWAY: u8 = 7;

/// Flags of frames.
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const ACK: u8 = 1;

/// `:status: 200` (RFC 7541 §6.1).
pub(crate) const OK: &[u8] = &[0x88];

/// The bytes of a frame.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A connection, frame by frame.
pub(crate) struct Frames<S> {
    pub(crate) stream: S,
}

/// One frame.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The last four bytes, which are the reason of RST_STREAM and GOAWAY.
    pub(crate) fn reason(&self) -> Reason {
        let code = self.payload.last_chunk().unwrap();
        u32::from_be_bytes(*code).into()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Frames<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self { stream }
    }

    /// Sends the client's preface.
    pub(crate) async fn begin_as_caller(&mut self) -> io::Result<()> {
        self.stream.write_all(PREFACE).await?;
        self.send(SETTINGS, 0, 0, &[]).await
    }

    /// Sends the server's preface, and reads that of the proxy.
    pub(crate) async fn begin(&mut self) -> io::Result<()> {
        self.send(SETTINGS, 0, 0, &[]).await?;
        let mut preface = [0; PREFACE.len()];
        self.stream.read_exact(&mut preface).await?;
        assert_eq!(preface, PREFACE);
        Ok(())
    }

    /// The next frame. SETTINGS are acknowledged.
    pub(crate) async fn next(&mut self) -> io::Result<Frame> {
        // 24 bits of length and the type.
        let first = self.stream.read_u32().await?;
        let (length, kind) = (first >> 8, first.to_be_bytes()[3]);
        let flags = self.stream.read_u8().await?;
        let stream = self.stream.read_u32().await?;
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload).await?;
        if (kind, flags & ACK) == (SETTINGS, 0) {
            self.send(SETTINGS, ACK, 0, &[]).await?;
        }
        Ok(Frame {
            kind,
            flags,
            stream,
            payload,
        })
    }

    /// The stream of the next complete request.
    pub(crate) async fn request(&mut self) -> io::Result<u32> {
        loop {
            let frame = self.next().await?;
            if [HEADERS, DATA].contains(&frame.kind) && frame.flags & END_STREAM != 0 {
                return Ok(frame.stream);
            }
        }
    }

    pub(crate) async fn send(
        &mut self,
        kind: u8,
        flags: u8,
        stream: u32,
        payload: &[u8],
    ) -> io::Result<()> {
        self.stream
            .write_all(&frame(kind, flags, stream, payload))
            .await?;
        self.stream.flush().await
    }

    /// Sends GOAWAY with this last processed stream.
    pub(crate) async fn go_away(&mut self, last: u32, reason: Reason) -> io::Result<()> {
        let payload = [last.to_be_bytes(), u32::from(reason).to_be_bytes()].concat();
        self.send(GOAWAY, 0, 0, &payload).await
    }

    pub(crate) async fn reset(&mut self, stream: u32, reason: Reason) -> io::Result<()> {
        self.send(RST_STREAM, 0, stream, &u32::from(reason).to_be_bytes())
            .await
    }

    /// Reads until the proxy closes the connection.
    pub(crate) async fn drain(&mut self) -> io::Result<()> {
        loop {
            self.next().await?;
        }
    }
}
