//! Bodies that are larger than what is signed, and more of them than the memory holds.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use apig_proxy::emulator::Accounts;

use crate::gateway::{before_gateway, configure, region};
use crate::program::{BINARY, GET, KEY, Place, Running, assert_has, assert_status, exchange};

const MIB: usize = 1024 * 1024;

/// The memory that a process has had at most so far, in bytes.
fn peak(id: u32) -> usize {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let kib: usize = line.trim().trim_end_matches(" kB").parse().unwrap();
    kib * 1024
}

/// Sends a body of so many mebibytes, and returns the answer.
fn upload(address: SocketAddr, mebibytes: usize, is_chunked: bool) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let limit = Some(Duration::from_secs(60));
    stream.set_read_timeout(limit).unwrap();
    let framing = match is_chunked {
        true => "Transfer-Encoding: chunked".to_owned(),
        false => format!("Content-Length: {}", mebibytes * MIB),
    };
    let head =
        format!("POST /v1 HTTP/1.1\r\nHost: localhost\r\n{framing}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let piece = vec![b' '; MIB];
    for _ in 0..mebibytes {
        let pieces: &[&[u8]] = match is_chunked {
            true => &[b"100000\r\n", &piece, b"\r\n"],
            false => &[&piece],
        };
        // A request that is refused may be so before all of it was read.
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
    // Only a route can let bodies of unknown length go out with a token.
    let more = format!(
        "[credentials]\ntoken_file = \"token\"\n[limits]\nlarge_body = \"token\"\n\
         [[route]]\npath = \"/v1\"\nupstream = \"https://{gateway}\"\nlarge_body = \"token\""
    );
    configure(&place, gateway, &more);
    let mut running = Running::start(place.command(&[], &KEY));
    let address = running.address();
    let before = peak(running.id());
    let arrived = format!("\"body_bytes\":{}", 100 * MIB);
    for is_chunked in [false, true] {
        let answer = upload(address, 100, is_chunked);
        assert_has(&answer, &["HTTP/1.1 200 ", &arrived, "\"auth\":\"token\""]);
    }
    let grown = peak(running.id()) - before;
    assert!(grown < 20 * MIB, "it took {grown} bytes more");
    running.stops();
}

#[test]
fn fault_75_with_little_memory_load_is_shed_and_the_process_lives() {
    let place = Place::new();
    before_gateway(&place, "");
    // `prlimit` counts what is mapped. Without it, the allocator maps whole pages of its own, of up to 4 MiB.
    let variables = [("MIMALLOC_PAGE_COMMIT_ON_DEMAND", "1"), KEY[0], KEY[1]];
    let limit = format!("--data={}", 64 * MIB);
    let command = place.other_command(&["prlimit", &limit, BINARY], &variables);
    let mut running = Running::start(command);
    let address = running.address();
    let call = |_| thread::spawn(move || upload(address, 8, false));
    let callers: Vec<_> = (0..24).map(call).collect();
    let answers = callers.into_iter().map(|caller| caller.join().unwrap());
    let answers: Vec<String> = answers.collect();
    let count = |fragment: &str| {
        let found = answers.iter().filter(|answer| answer.contains(fragment));
        found.count()
    };
    let (served, shed) = (count("HTTP/1.1 200 "), count("HTTP/1.1 503 "));
    assert_eq!(served + shed, answers.len(), "{answers:?}");
    assert!(served > 0 && shed > 0, "{served} served, {shed} shed");
    assert_eq!(count("retry-after: 1\r\n"), shed);
    // It recovers.
    for answer in [upload(address, 8, false), exchange(address, GET)] {
        assert_status(&answer, 200);
    }
    let said = running.stops();
    assert_has(&said, &["limits.buffered"]);
}
