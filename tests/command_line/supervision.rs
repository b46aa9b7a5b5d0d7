//! What is told to the supervisor that starts the program, and the sockets that it passes.

use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::load::Load;
use crate::program::{
    BINARY, GET, KEY, PATCH, Place, Running, SERVE, assert_has, assert_status, exchange,
    exchange_unix, finish, signal, try_exchange,
};

const UPSTREAM: [&str; 2] = ["--upstream", "https://127.0.0.1:1"];

/// The next message of a supervised program.
fn heard(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 1024];
    let length = socket.recv(&mut buffer).unwrap();
    String::from_utf8(buffer[..length].to_vec()).unwrap()
}

/// Starts the program with a supervisor, which is told what happens to it.
fn supervised(place: &Place, more: &[(&str, &str)]) -> (Running, UnixDatagram) {
    let path = place.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let limit = Some(Duration::from_secs(20));
    socket.set_read_timeout(limit).unwrap();
    let notify = [("NOTIFY_SOCKET", path.to_str().unwrap())];
    let variables = [&notify, &KEY[..], more].concat();
    let running = Running::start(place.command(&SERVE, &variables));
    (running, socket)
}

#[test]
fn a_supervisor_is_told_of_the_start_of_life_and_of_the_end() {
    let place = Place::new();
    let (mut running, socket) = supervised(&place, &[("WATCHDOG_USEC", "200000")]);
    assert_has(&heard(&socket), &["READY=1\n", "\nSTATUS="]);
    // It is true: nobody has to wait any more.
    let address = running.address();
    assert_status(&exchange(address, PATCH), 405);
    for _ in 0..5 {
        assert_eq!(heard(&socket), "WATCHDOG=1\n");
    }
    signal(running.id(), "TERM");
    let mut messages = std::iter::repeat_with(|| heard(&socket));
    let end = messages.find(|message| message != "WATCHDOG=1\n").unwrap();
    assert!(end.starts_with("STOPPING=1\nSTATUS=stopping"), "{end}");
    let _said = running.ends(0);
}

#[test]
fn a_supervisor_that_cannot_be_told_is_named() {
    let place = Place::new();
    let variables = [("NOTIFY_SOCKET", "/nowhere/notify"), KEY[0], KEY[1]];
    place.fails(&SERVE, &variables, 78, &["NOTIFY_SOCKET"]);
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
    let mut command = place.other_command(&["sh", "-c", &script, "sh", BINARY], &KEY);
    command
        .args(arguments)
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
    assert_status(&exchange(addresses[0], PATCH), 405);
    assert_status(
        &exchange(addresses[1], &GET.replace("/v1/x", "/readyz")),
        200,
    );
    let _said = running.stops();
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
        let answer = exchange_unix(&path, PATCH).unwrap();
        assert_has(&answer, &["PROXY.method_not_allowed"]);
        let _said = running.stops();
        assert!(path.exists());
    }
}

#[test]
fn what_is_passed_has_to_be_what_could_be_configured() {
    let place = Place::new();
    let refused = |sockets: Vec<OwnedFd>, names, arguments: &[&str], expected: &str| {
        let (code, _, said) = finish(with_sockets(&place, sockets, names, arguments));
        assert_eq!((code, said.contains(expected)), (78, true), "{said}");
    };
    let remote = || vec![TcpListener::bind("0.0.0.0:0").unwrap().into()];
    // Others reach it, and nobody has said that they may, nor who they are.
    refused(remote(), None, &UPSTREAM, "access.allow_remote");
    place.file("c.toml", "[access]\nallow_remote = true\n");
    let allowed = [&UPSTREAM[..], &["--config", "c.toml"]].concat();
    refused(remote(), None, &allowed, "access.token_file");
    refused(remote(), Some("admin"), &UPSTREAM, "admin: ");
    // A connection is no listener, and neither is a file.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connection = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let file = std::fs::File::open("/dev/null").unwrap();
    for other in [connection.into(), file.into()] {
        refused(vec![other], None, &UPSTREAM, "socket 0 of LISTEN_FDS");
    }
    let unix = |name: &str| UnixListener::bind(place.path().join(name)).unwrap().into();
    let two = |number| {
        vec![
            unix(&format!("a{number}.sock")),
            unix(&format!("b{number}.sock")),
        ]
    };
    refused(two(1), Some("a"), &UPSTREAM, "LISTEN_FDNAMES");
    refused(
        two(2),
        Some("admin:admin"),
        &UPSTREAM,
        "FileDescriptorName=",
    );
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
    let load = Load::start(move |state| {
        state.repeat(|_| match try_exchange(address, PATCH) {
            Ok(answer) if answer.starts_with("HTTP/1.1 405 ") => Ok(()),
            other => Err(format!("{other:?}")),
        })
    });
    for _ in 0..5 {
        load.wait_for(100);
        let _said = running.stops();
        running = start();
    }
    load.end();
}
