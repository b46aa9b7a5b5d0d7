//! A caller's HTTP/2 connection as frames, for callers that violate the protocol.

use std::net::SocketAddr;

use h2::Reason;
use tokio::net::TcpStream;

use crate::support::frames::{END_HEADERS, END_STREAM, Frames, GOAWAY, RST_STREAM};

/// Flags of HEADERS without a body.
pub(super) const HEADERS_END: u8 = END_HEADERS | END_STREAM;

/// The fields of `GET /` for `localhost`, mostly as indices of the static table of HPACK.
pub(super) const GET: &[u8] = b"\x82\x86\x84\x01\x09localhost";

/// The fields of `POST /` for `localhost`.
pub(super) const POST: &[u8] = b"\x83\x86\x84\x01\x09localhost";

/// A header field in HPACK, as a literal (RFC 7541 §6.2.2).
pub(super) fn field(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| [u8::try_from(text.len()).unwrap()];
    let (names, values) = (length(name), length(value));
    [&[0], &names[..], name.as_bytes(), &values, value.as_bytes()].concat()
}

pub(super) async fn connect(address: SocketAddr) -> Frames<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut frames = Frames::new(stream);
    frames.begin_as_caller().await.unwrap();
    frames
}

/// Why a stream was reset; `None` if the connection ends first.
pub(super) async fn reset_of(frames: &mut Frames<TcpStream>, stream: u32) -> Option<Reason> {
    loop {
        let frame = frames
            .next()
            .await
            .ok()
            .filter(|frame| frame.kind != GOAWAY)?;
        if frame.kind == RST_STREAM && frame.stream == stream {
            return Some(frame.reason());
        }
    }
}

/// Reads until the answer on a stream has ended.
pub(super) async fn answer_of(frames: &mut Frames<TcpStream>, stream: u32) {
    loop {
        let frame = frames.next().await.unwrap();
        assert!(![RST_STREAM, GOAWAY].contains(&frame.kind), "{frame:?}");
        if frame.stream == stream && frame.flags & END_STREAM != 0 {
            return;
        }
    }
}
