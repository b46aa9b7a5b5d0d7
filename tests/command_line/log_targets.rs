//! Where the log goes may be full, closed, or read by nobody. That costs lines of the log, no requests.

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, PipeReader, PipeWriter, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::gateway::{config, gateway};
use crate::program::{
    BINARY, GET, KEY, Place, SECRET, exchange, exit_code, free_address, kill_after, signal,
    wait_until,
};

/// The program while it runs, with its log where the test has put it.
struct Running {
    child: Child,
    address: SocketAddr,
}

impl Running {
    /// Starts the program, which logs everything, before a gateway.
    fn start(place: &Place, mut command: Command, log: impl Into<Stdio>) -> Self {
        let address = free_address();
        let gateway = gateway(place, SECRET, None);
        let listen = format!("listen = \"{address}\"");
        let text = config(
            &listen,
            gateway,
            "[log]\nlevel = \"trace\"\nformat = \"json\"",
        );
        place.file("apig-proxy.toml", &text);
        let child = command.stderr(log).stdout(Stdio::null()).spawn().unwrap();
        let running = Self { child, address };
        wait_until("it listens", || TcpStream::connect(address).is_ok());
        running
    }

    fn requests(&self, count: usize) {
        for number in 0..count {
            let answer = exchange(self.address, GET);
            assert!(answer.starts_with("HTTP/1.1 200 "), "{number}: {answer}");
        }
    }

    /// Ends the program with SIGTERM: its exit code.
    fn stop(mut self) -> i32 {
        signal(self.child.id(), "TERM");
        ended(&mut self.child)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The exit code of a program, which ends by itself.
fn ended(child: &mut Child) -> i32 {
    let _limit = kill_after(Duration::from_secs(20), child.id());
    exit_code(child.wait().unwrap())
}

fn closed_pipe() -> PipeWriter {
    io::pipe().unwrap().1
}

/// A pipe that takes nothing more.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = io::pipe().unwrap();
    writer.write_all(&[b'\n'; 65536]).unwrap();
    (reader, writer)
}

#[test]
fn fault_76_a_log_that_is_full_closed_missing_or_not_read_holds_up_neither_requests_nor_the_end() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (_reader, writer) = io::pipe().unwrap();
    let alone = [BINARY].as_slice();
    let without_log = ["sh", "-c", "exec \"$0\" 2>&-", BINARY];
    for (words, log, requests) in [
        (alone, Stdio::from(full), 50),
        (alone, closed_pipe().into(), 50),
        (&without_log, Stdio::null(), 50),
        (alone, writer.into(), 2000),
    ] {
        let place = Place::new();
        let running = Running::start(&place, place.other_command(words, &KEY), log);
        running.requests(requests);
        assert_eq!(running.stop(), 0);
    }
}

#[test]
fn fault_76_lines_that_were_dropped_are_counted_when_the_log_is_read_again() {
    let (reader, writer) = full_pipe();
    let place = Place::new();
    let running = Running::start(&place, place.command(&[], &KEY), writer);
    // More than the queue holds, which is 1 MiB.
    running.requests(2000);
    let mut lines = BufReader::new(reader).lines().map(Result::unwrap);
    let told = lines.find(|line| line.contains("log lines were dropped"));
    let told = told.unwrap();
    let (before, _) = told.split_once(" log lines").unwrap();
    let count: u64 = before.rsplit([' ', '"']).next().unwrap().parse().unwrap();
    assert!(count > 0 && told.contains("WARN"), "{told}");
    running.requests(1);
    assert_eq!(running.stop(), 0);
    assert!(lines.any(|line| line.contains("stopping")));
}
