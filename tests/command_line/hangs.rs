//! What hangs holds up neither requests nor the end: a service that never
//! answers, a proxy that does not go on.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use crate::gateway::before_gateway;
use crate::program::{KEY, Place, Running, assert_has, pause, signal};

#[test]
fn a_service_that_never_answers_does_not_keep_a_start_from_being_stopped() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = Place::new();
    for name in ["user", "password", "domain"] {
        place.file(name, "x");
    }
    let config = format!(
        "listen = \"127.0.0.1:0\"\nupstream = \"https://127.0.0.1:1\"\n[auth]\nmode = \"token\"\n[credentials]\n\
         iam_endpoint = \"http://{}\"\niam_user_file = \"user\"\niam_password_file = \"password\"\niam_domain_file = \"domain\"\n",
        silent.local_addr().unwrap()
    );
    place.file("c.toml", &config);
    let program = Running::start(place.command(&["--config", "c.toml"], &[]));
    // It has asked, and so it takes signals.
    let (_asked, _) = silent.accept().unwrap();
    signal(program.id(), "HUP");
    let said = program.stops();
    assert_has(&said, &["stopped before the start was complete"]);
    assert!(!said.contains("listening on"), "{said}");
}

#[test]
fn a_proxy_that_does_not_go_on_is_not_taken_for_ended() {
    let place = Place::new();
    before_gateway(&place, "");
    let mut command = place.command(&["--admin", "127.0.0.1:0"], &KEY);
    command.env("APIG_PROXY_ADMIN_QUIT", "true");
    let mut program = Running::start(command);
    let admin = program.admin_address().to_string();
    let address = program.address();
    // A request that does not end, so that the proxy does not either.
    let mut stream = TcpStream::connect(address).unwrap();
    let head = b"POST /v1/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n1";
    stream.write_all(head).unwrap();
    let arguments = ["quit", "--admin", &admin, "--timeout", "5s"];
    let mut quit = place.command(&arguments, &[]).spawn().unwrap();
    // It was asked, and agreed.
    program.line_with("stopping");
    pause(Duration::from_millis(300));
    signal(program.id(), "STOP");
    let code = quit.wait().unwrap().code();
    signal(program.id(), "CONT");
    assert_eq!(code, Some(1));
}
