//! Callers that call without a pause, and what came of it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::program::GET;

/// An answer that was read to its end.
pub(crate) struct Answered {
    pub(crate) status: String,
    /// Whether the connection ends with it.
    pub(crate) closes: bool,
}

/// Sends a request, or the rest of one, and reads the answer to its end.
pub(crate) fn send(stream: &mut BufReader<TcpStream>, request: &str) -> std::io::Result<Answered> {
    let patience = Some(Duration::from_secs(20));
    stream.get_ref().set_read_timeout(patience)?;
    stream.get_mut().write_all(request.as_bytes())?;
    let (mut status, mut length, mut closes) = (String::new(), 0, false);
    if stream.read_line(&mut status)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let line = line.trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        closes |= line == "connection: close";
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(Answered {
        status: status.trim().to_owned(),
        closes,
    })
}

/// Calls over one connection that is kept open, and over new ones in between, until told to end: what was not
/// answered with 200.
pub(crate) fn call(address: SocketAddr, is_over: &AtomicBool, made: &AtomicUsize) -> Vec<String> {
    let mut failures = Vec::new();
    let mut stream = BufReader::new(TcpStream::connect(address).unwrap());
    let mut number = 0;
    while !is_over.load(Ordering::Relaxed) && failures.len() < 3 {
        number += 1;
        if number % 10 == 0 {
            stream = BufReader::new(TcpStream::connect(address).unwrap());
        }
        match send(&mut stream, GET) {
            Ok(answered) if answered.status == "HTTP/1.1 200 OK" => {}
            Ok(answered) => failures.push(answered.status),
            Err(error) => failures.push(error.to_string()),
        }
        made.fetch_add(1, Ordering::Relaxed);
    }
    failures
}

/// Calls over one connection until it is told that the connection ends: what was not answered with 200.
pub(crate) fn call_until_told(address: SocketAddr, made: &AtomicUsize) -> Vec<String> {
    let mut stream = BufReader::new(TcpStream::connect(address).unwrap());
    loop {
        match send(&mut stream, GET) {
            Ok(answered) if answered.status != "HTTP/1.1 200 OK" => return vec![answered.status],
            Ok(answered) if answered.closes => return Vec::new(),
            Ok(_) => {}
            Err(error) => return vec![error.to_string()],
        }
        made.fetch_add(1, Ordering::Relaxed);
    }
}
