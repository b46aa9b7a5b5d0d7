//! A body that is far larger than what is signed, on its way through the program.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use apig_proxy::emulator::Accounts;

use crate::gateway::region;
use crate::program::{Place, Running};

const MIB: usize = 1024 * 1024;
const BODY: usize = 100 * MIB;

/// The memory that a process has had at most so far, in bytes.
fn peak(id: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: usize = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kib * 1024
}

/// Sends a body of zeros, and returns the answer.
fn upload(address: SocketAddr, framing: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let patience = Some(Duration::from_secs(60));
    stream.set_read_timeout(patience).unwrap();
    let head =
        format!("POST /v1 HTTP/1.1\r\nHost: localhost\r\n{framing}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let piece = vec![0; MIB];
    let is_chunked = framing.starts_with("Transfer-Encoding");
    for _ in 0..BODY / MIB {
        let mut pieces = vec![&piece[..]];
        if is_chunked {
            pieces = vec![b"100000\r\n", &piece, b"\r\n"];
        }
        // One that is refused is so before all of it was taken.
        if pieces.iter().any(|piece| stream.write_all(piece).is_err()) {
            break;
        }
    }
    if is_chunked {
        let _ = stream.write_all(b"0\r\n\r\n");
    }
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn a_hundred_mebibytes_go_out_with_a_token_and_take_no_memory() {
    let place = Place::new();
    place.file("token", "MIITOKENtoken0123456789");
    let accounts = Accounts {
        tokens: vec!["MIITOKENtoken0123456789".into()],
        ..Accounts::throw_away()
    };
    let gateway = region(&place, accounts).address;
    let configuration = |large_body: &str| {
        format!(
            "upstream = \"https://{gateway}\"\nlisten = \"127.0.0.1:0\"\n\
             [credentials]\ntoken_file = \"token\"\n[upstream_tls]\nca_file = \"ca.pem\"\n\
             [limits]\nlarge_body = \"{large_body}\"\n\
             [[route]]\npath = \"/v1\"\nupstream = \"https://{gateway}\"\nlarge_body = \"{large_body}\"\n"
        )
    };
    let key = [("HUAWEICLOUD_SDK_AK", "AK"), ("HUAWEICLOUD_SDK_SK", "SK")];
    let length = format!("Content-Length: {BODY}");

    place.file("apig-proxy.toml", &configuration("token"));
    let mut running = Running::start(place.command(&[], &key));
    let address = running.address();
    let before = peak(running.id());
    for framing in [length.as_str(), "Transfer-Encoding: chunked"] {
        let answer = upload(address, framing);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{framing}: {answer}");
        let arrived = format!("\"body_bytes\":{BODY}");
        assert!(answer.contains(&arrived), "{framing}: {answer}");
        assert!(answer.contains("\"auth\":\"token\""), "{answer}");
    }
    let grown = peak(running.id()) - before;
    assert!(grown < 20 * MIB, "it took {grown} bytes more");
    assert_eq!(running.stop().0, 0);

    place.file("apig-proxy.toml", &configuration("reject"));
    let mut running = Running::start(place.command(&[], &key));
    let answer = upload(running.address(), &length);
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(
        answer.contains("limits.large_body = \\\"token\\\""),
        "{answer}"
    );
}
