//! A limit of memory, as a container has it: load is shed before the kernel would end the process.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::gateway::gateway;
use crate::program::{BINARY, Place, Running, exchange};

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
    let gateway = gateway(&place, "secret", None);
    place.file(
        "apig-proxy.toml",
        &format!(
            "upstream = \"https://{gateway}\"\nlisten = \"127.0.0.1:0\"\nadmin = \"off\"\n\
             [upstream_tls]\nca_file = \"ca.pem\"\n"
        ),
    );
    let mut command = Command::new("prlimit");
    command.args([&format!("--data={}", 64 * MIB), BINARY]);
    command.current_dir(place.path()).env_clear().envs([
        // `prlimit` counts what is mapped. Without it, the allocator maps whole pages of its own, of up to 4 MiB.
        ("MIMALLOC_PAGE_COMMIT_ON_DEMAND", "1"),
        ("HUAWEICLOUD_SDK_AK", "AKTEST0000000000TEST"),
        ("HUAWEICLOUD_SDK_SK", "secret"),
    ]);
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
    let answer = exchange(address, "GET /v1 HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let (code, said) = running.stop();
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("limits.buffered"), "{said}");
}
