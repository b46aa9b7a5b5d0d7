//! File descriptors that run out, as under `ulimit -n 32`.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use crate::gateway::before_gateway;
use crate::load::send;
use crate::program::{BINARY, GET, KEY, Place, Running, assert_status, exchange, pause};

/// The time of the processor that a process has taken, in hundredths of a second.
fn processor_time(id: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    // The name of the program, in brackets, may have blanks.
    let (_, rest) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<&str> = rest.split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

fn connected(address: SocketAddr) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(address).unwrap();
    let limit = Some(Duration::from_secs(20));
    stream.set_read_timeout(limit).unwrap();
    BufReader::new(stream)
}

/// The program before a gateway, with as many descriptors as it needs to start, and few more.
fn started(place: &Place) -> Running {
    before_gateway(place, "");
    // Each worker takes three: 32 with two cores.
    let cores = thread::available_parallelism().unwrap().get();
    let limit = format!("--nofile={}", 26 + 3 * cores);
    Running::start(place.other_command(&["prlimit", &limit, BINARY], &KEY))
}

#[test]
fn fault_74_without_descriptors_the_proxy_waits_and_what_runs_goes_on() {
    let place = Place::new();
    let mut running = started(&place);
    let address = running.address();
    let connect = || connected(address);
    let mut uploading = connect();
    let head = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 10\r\n\r\n";
    let begun = format!("{head}12345");
    uploading.get_mut().write_all(begun.as_bytes()).unwrap();
    // It is on its way before descriptors run out.
    pause(Duration::from_secs(1));
    // Only now, so that it has a connection to the gateway of its own, which is kept.
    let mut kept = connect();
    assert_eq!(send(&mut kept, GET).unwrap().status, "HTTP/1.1 200 OK");

    let others: Vec<_> = (0..60).map(|_| connect()).collect();
    running.line_with("accepting connections failed");
    let before = processor_time(running.id());
    pause(Duration::from_secs(1));
    let taken = processor_time(running.id()) - before;
    assert!(taken < 30, "{taken} hundredths of a second of waiting");
    let uploaded = send(&mut uploading, "67890").unwrap();
    assert_eq!(uploaded.status, "HTTP/1.1 200 OK");
    assert_eq!(send(&mut kept, GET).unwrap().status, "HTTP/1.1 200 OK");

    drop(others);
    for _ in 0..10 {
        assert_status(&exchange(address, GET), 200);
    }
    let said = running.stops();
    let told = said.matches("accepting connections failed").count();
    assert!(told < 10, "ten times a second: {said}");
}
