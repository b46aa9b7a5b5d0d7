//! A caller's HTTP/2 connection as frames, for callers that keep to no rule.

use std::io;
use std::net::SocketAddr;

use h2::Reason;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::support::frames::{
    ACK, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, PREFACE, RST_STREAM, SETTINGS, frame,
    read,
};

/// Flags of a head that is a whole request.
pub(super) const HEADERS_END: u8 = END_HEADERS | END_STREAM;

pub(super) struct Frames(pub(super) TcpStream);

/// A header field in HPACK, as a literal (RFC 7541 §6.2.2).
pub(super) fn field(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).unwrap();
    let mut bytes = vec![0, length(name)];
    bytes.extend(name.bytes());
    bytes.push(length(value));
    bytes.extend(value.bytes());
    bytes
}

impl Frames {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let preface = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
        stream.write_all(&preface).await.unwrap();
        Self(stream)
    }

    /// The fields of `GET /` for `localhost`, by their places in the static table.
    pub(super) fn get(&self) -> Vec<u8> {
        [&[0x82, 0x86, 0x84, 0x01, 9][..], b"localhost"].concat()
    }

    /// The fields of `POST /` for `localhost`.
    pub(super) fn post(&self) -> Vec<u8> {
        [&[0x83, 0x86, 0x84, 0x01, 9][..], b"localhost"].concat()
    }

    pub(super) async fn headers(&mut self, stream: u32, flags: u8, block: &[u8]) -> io::Result<()> {
        self.0
            .write_all(&frame(HEADERS, flags, stream, block))
            .await
    }

    /// The next frame. Settings are agreed to.
    pub(super) async fn next(&mut self) -> io::Result<Frame> {
        let frame = read(&mut self.0).await?;
        if frame.kind == SETTINGS && frame.flags & ACK == 0 {
            let agreed = crate::support::frames::frame(SETTINGS, ACK, 0, &[]);
            self.0.write_all(&agreed).await?;
        }
        Ok(frame)
    }

    /// Why a stream was reset; `None` if the connection ends first.
    pub(super) async fn reset_of(&mut self, stream: u32) -> Option<Reason> {
        loop {
            let frame = self.next().await.ok()?;
            if frame.kind == GOAWAY {
                return None;
            }
            if frame.kind == RST_STREAM && frame.stream == stream {
                let code = frame.payload.try_into().unwrap();
                return Some(u32::from_be_bytes(code).into());
            }
        }
    }

    /// Reads until the answer on a stream has ended.
    pub(super) async fn answer_of(&mut self, stream: u32) {
        loop {
            let frame = self.next().await.unwrap();
            assert!(![RST_STREAM, GOAWAY].contains(&frame.kind), "{frame:?}");
            if frame.stream == stream && frame.flags & END_STREAM != 0 {
                return;
            }
        }
    }

    /// Reads until the connection ends, and tells what GOAWAY has said.
    pub(super) async fn ending(&mut self) -> Option<Reason> {
        let mut said = None;
        while let Ok(frame) = self.next().await {
            if frame.kind == GOAWAY {
                let code = frame.payload[4..8].try_into().unwrap();
                said = Some(u32::from_be_bytes(code).into());
            }
        }
        said
    }
}
