//! What is told to the supervisor that starts the program, and the sockets that it passes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::program::{BINARY, Place, Running, exchange, signal};

const KEY: [(&str, &str); 2] = [("HUAWEICLOUD_SDK_AK", "AK"), ("HUAWEICLOUD_SDK_SK", "SK")];

const UPSTREAM: [&str; 2] = ["--upstream", "https://127.0.0.1:1"];

/// What the proxy answers without asking anybody.
const PATCH: &str = "PATCH / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// The next message of a supervised program.
fn heard(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 1024];
    let length = socket.recv(&mut buffer).unwrap();
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

#[test]
fn a_supervisor_is_told_of_the_start_of_life_and_of_the_end() {
    let place = Place::new();
    let path = place.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let arguments = [&UPSTREAM[..], &["--listen", "127.0.0.1:0"]].concat();
    let variables = [
        ("NOTIFY_SOCKET", path.to_str().unwrap()),
        ("WATCHDOG_USEC", "200000"),
        KEY[0],
        KEY[1],
    ];
    let mut running = Running::start(place.command(&arguments, &variables));
    let mut before = Vec::new();
    let ready = loop {
        let message = heard(&socket);
        if message.starts_with("READY=1\n") {
            break message;
        }
        before.push(message);
    };
    assert!(
        ready.contains("\nSTATUS=") && before.is_empty(),
        "{before:?}"
    );
    // It is true: nobody has to wait any more.
    let address = running.address();
    assert!(exchange(address, PATCH).starts_with("HTTP/1.1 405 "));
    for _ in 0..5 {
        assert_eq!(heard(&socket), "WATCHDOG=1\n");
    }
    signal(running.id(), "TERM");
    while heard(&socket) == "WATCHDOG=1\n" {}
    let (code, said) = running.ended();
    assert_eq!(code, 0, "{said}");
}

#[test]
fn the_end_is_told_before_it_comes() {
    let place = Place::new();
    let path = place.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let arguments = [&UPSTREAM[..], &["--listen", "127.0.0.1:0"]].concat();
    let variables = [("NOTIFY_SOCKET", path.to_str().unwrap()), KEY[0], KEY[1]];
    let running = Running::start(place.command(&arguments, &variables));
    assert!(heard(&socket).starts_with("READY=1\n"));
    signal(running.id(), "TERM");
    assert!(heard(&socket).starts_with("STOPPING=1\nSTATUS=stopping"));
    assert_eq!(running.ended().0, 0);
}

#[test]
fn a_supervisor_that_cannot_be_told_is_named() {
    let place = Place::new();
    let variables = [("NOTIFY_SOCKET", "/nowhere/notify"), KEY[0], KEY[1]];
    let (code, _, said) = place.run(&UPSTREAM, &variables);
    assert_eq!((code, said.contains("NOTIFY_SOCKET")), (78, true), "{said}");
}

/// The program with sockets as systemd passes them: from descriptor 3 on, and for its own process.
fn with_sockets(
    place: &Place,
    sockets: Vec<OwnedFd>,
    names: Option<&str>,
    arguments: &[&str],
) -> Command {
    let count = sockets.len();
    let mut sockets = sockets.into_iter();
    let second = if count > 1 { "exec 4>&1" } else { ":" };
    // A shell keeps its process when it becomes another program.
    let script = format!(
        "exec 3<&0; {second}; exec </dev/null >/dev/null; export LISTEN_PID=$$ LISTEN_FDS={count}; exec \"$@\""
    );
    let mut command = Command::new("sh");
    command
        .args(["-c", &script, "sh", BINARY])
        .args(arguments)
        .current_dir(place.path())
        .env_clear()
        .env("APIG_PROXY_ADMIN", "off")
        .envs(KEY)
        .stdin(sockets.next().map_or_else(Stdio::null, Stdio::from))
        .stdout(sockets.next().map_or_else(Stdio::null, Stdio::from))
        .stderr(Stdio::piped());
    if let Some(names) = names {
        command.env("LISTEN_FDNAMES", names);
    }
    command
}

#[test]
fn sockets_that_are_passed_take_the_place_of_what_is_configured() {
    let place = Place::new();
    let callers = TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = TcpListener::bind("127.0.0.1:0").unwrap();
    let addresses = [callers.local_addr().unwrap(), admin.local_addr().unwrap()];
    let sockets = vec![admin.into(), callers.into()];
    // Not these two.
    let arguments = [&UPSTREAM[..], &["--listen", "127.0.0.1:1"]].concat();
    let command = with_sockets(&place, sockets, Some("admin:http"), &arguments);
    let mut running = Running::started(command);
    assert_eq!(running.admin_address(), addresses[1]);
    assert_eq!(running.address(), addresses[0]);
    assert!(exchange(addresses[0], PATCH).starts_with("HTTP/1.1 405 "));
    let ready = exchange(
        addresses[1],
        "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    );
    assert!(ready.starts_with("HTTP/1.1 200 "), "{ready}");
    let (code, said) = running.stop();
    assert_eq!(code, 0, "{said}");
}

#[test]
fn a_unix_socket_that_is_passed_stays_where_it_is() {
    let place = Place::new();
    let path = place.path().join("passed.sock");
    let socket = UnixListener::bind(&path).unwrap();
    for _ in 0..2 {
        let sockets = vec![socket.try_clone().unwrap().into()];
        let command = with_sockets(&place, sockets, None, &UPSTREAM);
        let mut running = Running::started(command);
        running.line_with("listening on unix:");
        let mut stream = UnixStream::connect(&path).unwrap();
        let request = PATCH.replacen("\r\n", "\r\nConnection: close\r\n", 1);
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("PROXY.method_not_allowed"), "{answer}");
        let (code, said) = running.stop();
        assert_eq!(code, 0, "{said}");
        assert!(path.exists());
    }
}

#[test]
fn a_unix_socket_that_is_passed_may_be_that_of_the_admin_listener() {
    let place = Place::new();
    let path = place.path().join("admin.sock");
    let socket = UnixListener::bind(&path).unwrap();
    let callers = TcpListener::bind("127.0.0.1:0").unwrap();
    let sockets = vec![callers.into(), socket.try_clone().unwrap().into()];
    let command = with_sockets(&place, sockets, Some("http:admin"), &UPSTREAM);
    let mut running = Running::started(command);
    running.line_with("health and metrics on unix:");
    running.line_with("listening on");
    let admin = format!("unix:{}", path.display());
    let (code, _, said) = place.run(&["check", "ready", "--admin", &admin], &[]);
    assert_eq!((code, said.as_str()), (0, ""));
    assert_eq!(running.stop().0, 0);
    assert!(path.exists());
}

#[test]
fn what_is_passed_has_to_be_what_could_be_configured() {
    let place = Place::new();
    let run = |socket: OwnedFd, names: Option<&str>, arguments: &[&str]| {
        let mut command = with_sockets(&place, vec![socket], names, arguments);
        let output = command.output().unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    // Others reach it, and nobody has said that they may, nor who they are.
    let remote = || OwnedFd::from(TcpListener::bind("0.0.0.0:0").unwrap());
    let (code, said) = run(remote(), None, &UPSTREAM);
    assert_eq!(
        (code, said.contains("access.allow_remote")),
        (78, true),
        "{said}"
    );
    place.file("c.toml", "[access]\nallow_remote = true\n");
    let allowed = [&UPSTREAM[..], &["--config", "c.toml"]].concat();
    let (code, said) = run(remote(), None, &allowed);
    assert_eq!(
        (code, said.contains("access.token_file")),
        (78, true),
        "{said}"
    );
    let (code, said) = run(remote(), Some("admin"), &UPSTREAM);
    assert_eq!((code, said.contains("admin: ")), (78, true), "{said}");
    // A connection is no listener, and neither is a file.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connection = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let file = std::fs::File::open("/dev/null").unwrap();
    for other in [
        connection.into(),
        file.into(),
        UnixDatagram::unbound().unwrap().into(),
    ] {
        let (code, said) = run(other, None, &UPSTREAM);
        assert_eq!(
            (code, said.contains("socket 0 of LISTEN_FDS")),
            (78, true),
            "{said}"
        );
    }
    let (code, said) = run(listener.into(), Some("a:b"), &UPSTREAM);
    assert_eq!(
        (code, said.contains("LISTEN_FDNAMES")),
        (78, true),
        "{said}"
    );
    let unix = |name: &str| UnixListener::bind(place.path().join(name)).unwrap().into();
    let sockets = vec![unix("admin.sock"), unix("other.sock")];
    let mut command = with_sockets(&place, sockets, Some("admin:admin"), &UPSTREAM);
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        (output.status.code(), said.contains("FileDescriptorName=")),
        (Some(78), true),
        "{said}"
    );
}

/// Calls again and again until it is told to stop: how often it was answered, and what went wrong.
fn load(address: SocketAddr, stop: &AtomicBool, answered: &AtomicUsize) -> Vec<String> {
    let mut wrong = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let request = PATCH.replacen("\r\n", "\r\nConnection: close\r\n", 1);
        let call = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(address)?;
            stream.set_read_timeout(Some(Duration::from_secs(20)))?;
            stream.write_all(request.as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        match call() {
            Ok(answer) if answer.starts_with("HTTP/1.1 405 ") => {
                answered.fetch_add(1, Ordering::Relaxed);
            }
            other => wrong.push(format!("{other:?}")),
        }
    }
    wrong
}

#[test]
fn a_restart_with_a_socket_that_the_launcher_holds_refuses_nobody_under_load() {
    let place = Place::new();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let start = || {
        let passed = vec![socket.try_clone().unwrap().into()];
        let mut running = Running::started(with_sockets(&place, passed, None, &UPSTREAM));
        running.address();
        running
    };
    let mut running = start();
    let (stop, answered) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let callers: Vec<_> = (0..64)
        .map(|_| {
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            thread::spawn(move || load(address, &stop, &answered))
        })
        .collect();
    for _ in 0..5 {
        let before = answered.load(Ordering::Relaxed);
        while answered.load(Ordering::Relaxed) < before + 100 {
            thread::yield_now();
        }
        let (code, said) = running.stop();
        assert_eq!(code, 0, "{said}");
        running = start();
    }
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        assert_eq!(caller.join().unwrap(), [""; 0]);
    }
}
