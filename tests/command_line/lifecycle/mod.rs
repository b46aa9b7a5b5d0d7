//! How the program ends, and begins again: signals, `wait` and `quit`.

mod asking;
mod faults;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::program::{GET, KEY, Place, Running, SERVE, pause, wait_until};

/// An upstream that answers after a while, and counts what came.
fn slow(after: Duration) -> (String, Arc<AtomicUsize>) {
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    thread::spawn(move || {
        for stream in socket.incoming() {
            let (mut stream, counted) = (stream.unwrap(), Arc::clone(&counted));
            thread::spawn(move || {
                let mut request = [0; 4096];
                while stream.read(&mut request).is_ok_and(|read| read > 0) {
                    counted.fetch_add(1, Ordering::SeqCst);
                    pause(after);
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate");
                }
            });
        }
    });
    (url, count)
}

/// Starts the program before an upstream.
fn start(place: &Place, upstream: &str, more: &[&str]) -> (Running, SocketAddr, SocketAddr) {
    let arguments = [
        &["--upstream", upstream, "--admin", "127.0.0.1:0"][..],
        &SERVE[2..],
        more,
    ];
    let mut command = place.command(&arguments.concat(), &KEY);
    command.env("APIG_PROXY_ADMIN_QUIT", "true");
    let mut running = Running::start(command);
    let admin = running.admin_address();
    let address = running.address();
    (running, address, admin)
}

/// Sends a request, and waits until the upstream has it.
fn in_flight(address: SocketAddr, count: &AtomicUsize) -> TcpStream {
    let before = count.load(Ordering::SeqCst);
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream.write_all(GET.as_bytes()).unwrap();
    wait_until("the request arrives", || {
        count.load(Ordering::SeqCst) > before
    });
    stream
}

fn rest(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset is no answer.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}
