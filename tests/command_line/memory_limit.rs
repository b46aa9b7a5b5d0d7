//! A limit of memory, as a container has it: load is shed before the kernel would end the process.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use crate::gateway::before_gateway;
use crate::program::{BINARY, GET, KEY, Place, Running, exchange};

const MIB: usize = 1024 * 1024;

/// Sends a body, and returns the answer.
fn upload(address: SocketAddr, length: usize) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    let patience = Some(Duration::from_secs(60));
    stream.set_read_timeout(patience).unwrap();
    let head = format!(
        "POST /v1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let piece = vec![b' '; MIB];
    for _ in 0..length / MIB {
        // One that is refused may be so before all of it was taken.
        if stream.write_all(&piece).is_err() {
            break;
        }
    }
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
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
    let callers: Vec<_> = (0..24)
        .map(|_| thread::spawn(move || upload(address, 8 * MIB)))
        .collect();
    let answers: Vec<String> = callers
        .into_iter()
        .map(|caller| caller.join().unwrap())
        .collect();
    let count = |status: &str| {
        let start = format!("HTTP/1.1 {status} ");
        answers
            .iter()
            .filter(|answer| answer.starts_with(&start))
            .count()
    };
    let (served, shed) = (count("200"), count("503"));
    assert_eq!(served + shed, answers.len(), "{answers:?}");
    assert!(served > 0 && shed > 0, "{served} served, {shed} shed");
    let told = answers
        .iter()
        .filter(|answer| answer.contains("retry-after: 1\r\n"));
    assert_eq!(told.count(), shed);
    // It recovers.
    assert!(upload(address, 8 * MIB).starts_with("HTTP/1.1 200 "));
    let answer = exchange(address, GET);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let (code, said) = running.stop();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("limits.buffered"), "{said}");
}
