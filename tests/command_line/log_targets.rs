//! Where the log goes may be full, closed, or read by nobody. That costs lines of the log, no requests.

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, PipeReader, PipeWriter, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use crate::gateway::gateway;
use crate::program::{BINARY, Place, exchange, pause};

const KEY: [(&str, &str); 2] = [
    ("HUAWEICLOUD_SDK_AK", "AKTEST0000000000TEST"),
    ("HUAWEICLOUD_SDK_SK", "secret"),
];

const GET: &str = "GET /v1 HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// The program while it runs, with its log where the test has put it.
struct Running {
    child: Child,
    address: SocketAddr,
}

impl Running {
    /// Starts the program, which logs everything, before a gateway.
    fn start(place: &Place, command: Command, log: impl Into<Stdio>) -> Self {
        let gateway = gateway(place, "secret", None);
        let address = free_address();
        place.file(
            "apig-proxy.toml",
            &format!(
                "upstream = \"https://{gateway}\"\nlisten = \"{address}\"\nadmin = \"off\"\n\
                 [upstream_tls]\nca_file = \"ca.pem\"\n[log]\nlevel = \"trace\"\n"
            ),
        );
        let mut command = command;
        let child = command.stderr(log).stdout(Stdio::null()).spawn().unwrap();
        let running = Self { child, address };
        for _ in 0..1000 {
            if TcpStream::connect(address).is_ok() {
                return running;
            }
            pause(Duration::from_millis(10));
        }
        panic!("it does not listen");
    }

    fn requests(&self, count: usize) {
        for number in 0..count {
            let answer = exchange(self.address, GET);
            assert!(answer.starts_with("HTTP/1.1 200 "), "{number}: {answer}");
        }
    }

    /// Ends the program with SIGTERM: its exit code.
    fn stop(mut self) -> i32 {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").arg(id).status().unwrap().success());
        ended(&mut self.child)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address that nobody else takes, for a program that cannot say which one it has got.
fn free_address() -> SocketAddr {
    static PORT: AtomicU16 = AtomicU16::new(20_000);
    let [.., high, low] = std::process::id().to_be_bytes();
    let port = PORT.fetch_add(1, Ordering::Relaxed);
    SocketAddr::from(([127, 76, high, low], port))
}

/// The exit code of a program, which ends by itself.
fn ended(child: &mut Child) -> i32 {
    for _ in 0..1000 {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().unwrap();
        }
        pause(Duration::from_millis(10));
    }
    child.kill().unwrap();
    panic!("it does not end");
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
fn fault_76_a_log_that_is_full_or_closed_costs_no_request() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    for log in [Stdio::from(full), closed_pipe().into()] {
        let place = Place::new();
        let running = Running::start(&place, place.command(&[], &KEY), log);
        running.requests(50);
        assert_eq!(running.stop(), 0);
    }
}

#[test]
fn fault_76_without_a_standard_error_requests_are_served() {
    let place = Place::new();
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" 2>&-", BINARY]);
    command.current_dir(place.path()).env_clear().envs(KEY);
    let running = Running::start(&place, command, Stdio::null());
    running.requests(50);
    assert_eq!(running.stop(), 0);
}

#[test]
fn fault_76_a_log_that_nobody_reads_holds_up_neither_requests_nor_the_end() {
    let (_reader, writer) = io::pipe().unwrap();
    let place = Place::new();
    let running = Running::start(&place, place.command(&[], &KEY), writer);
    running.requests(2000);
    assert_eq!(running.stop(), 0);
}

#[test]
fn fault_76_lines_that_were_dropped_are_counted_when_the_log_is_read_again() {
    let (reader, writer) = full_pipe();
    let place = Place::new();
    let running = Running::start(&place, place.command(&[], &KEY), writer);
    // Refusals are the quickest way to a full log: each is a line of some 4 KiB.
    let method = "M".repeat(8000);
    let refused = format!("{method} / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    for _ in 0..500 {
        assert!(exchange(running.address, &refused).starts_with("HTTP/1.1 405 "));
    }
    let mut lines = BufReader::new(reader).lines().map(Result::unwrap);
    let told = lines.find(|line| line.contains("log lines were dropped"));
    let told = told.unwrap();
    let (before, _) = told.split_once(" log lines").unwrap();
    let count: u64 = before.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(count > 0 && told.contains(" WARN "), "{told}");
    running.requests(1);
    assert_eq!(running.stop(), 0);
    assert!(lines.any(|line| line.contains("stopping")));
}

#[test]
fn a_start_that_fails_ends_with_its_code_wherever_messages_go() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let port_in_use = ["--upstream", "https://127.0.0.1:1", "--listen", &address];
    let place = Place::new();
    for (arguments, code) in [
        (&port_in_use[..], 1),
        (&["--log-level", "loud"], 78),
        (&["sreve"], 64),
    ] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (_reader, nobody_reads) = full_pipe();
        let mut logs = vec![Stdio::from(full), closed_pipe().into()];
        if code == 1 {
            // Only the log is a queue; what is said before it starts goes out directly.
            logs.push(nobody_reads.into());
        }
        for log in logs {
            let mut child = place.command(arguments, &KEY).stderr(log).spawn().unwrap();
            assert_eq!(ended(&mut child), code, "{arguments:?}");
        }
    }
}
