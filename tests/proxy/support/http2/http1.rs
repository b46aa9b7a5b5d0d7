//! The HTTP/1.1 side of the gateway: it answers everything with 200, and accepts WebSockets.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::Shared;
use crate::support::wire::read_chunks;
use crate::support::{ANSWERED, Received, answer};

const SWITCHED: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";

pub(super) async fn serve(
    mut stream: TlsStream<TcpStream>,
    connection: usize,
    shared: &Shared,
) -> io::Result<()> {
    loop {
        let head = until(&mut stream, b"\r\n\r\n").await?;
        let mut seen = Received::parse(&head)?;
        seen.connection = connection;
        let is_chunked = !seen.all("transfer-encoding").is_empty();
        if is_chunked {
            let chunks = until(&mut stream, b"0\r\n\r\n").await?;
            (seen.body, _) = read_chunks(&mut &chunks[..])?;
        } else if !seen.all("content-length").is_empty() {
            seen.body = vec![0; seen.header("content-length").parse().unwrap()];
            stream.read_exact(&mut seen.body).await?;
        }
        let is_websocket = !seen.all("upgrade").is_empty();
        shared.keep(seen).await;
        if is_websocket {
            return stream.write_all(SWITCHED.as_bytes()).await;
        }
        let json = "content-type: application/json\r\n";
        let answer = answer("200 OK", json, ANSWERED);
        stream.write_all(answer.as_bytes()).await?;
        stream.flush().await?;
    }
}

async fn until(stream: &mut TlsStream<TcpStream>, end: &[u8]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end) {
        bytes.push(stream.read_u8().await?);
    }
    Ok(bytes)
}
