//! What hangs holds up neither requests nor the end: a pipe in the place of a file, a service that never
//! answers, a proxy that does not go on.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use crate::gateway::{configure, gateway};
use crate::program::{GET, Place, Running, SECRET, exchange, key_file, pause, signal};

#[test]
fn a_pipe_in_the_place_of_a_key_leaves_the_old_key_in_use() {
    let place = Place::new();
    let gateway = gateway(&place, SECRET, None);
    key_file(&place, "key.csv", SECRET);
    configure(&place, gateway, "[credentials]\nfile = \"key.csv\"");
    let mut program = Running::start(place.command(&[], &[]));
    let address = program.address();
    let pipe = place.path().join("pipe");
    let made = Command::new("mkfifo")
        .args(["-m", "600"])
        .arg(&pipe)
        .status();
    assert!(made.unwrap().success());
    std::fs::rename(&pipe, place.path().join("key.csv")).unwrap();
    let line = program.line_with("the old one stays");
    assert!(line.contains("is a pipe"), "{line}");
    assert!(exchange(address, GET).starts_with("HTTP/1.1 200 OK"));
    assert_eq!(program.stop().0, 0);
}

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
    let (code, said) = program.stop();
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("stopped before the start was complete"),
        "{said}"
    );
    assert!(!said.contains("listening on"), "{said}");
}

#[test]
fn a_proxy_that_does_not_go_on_is_not_taken_for_ended() {
    let place = Place::new();
    let gateway = gateway(&place, SECRET, None);
    key_file(&place, "credentials.csv", SECRET);
    let upstream = format!("https://{gateway}");
    let listen = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    let arguments = [&["--upstream", &upstream][..], &listen].concat();
    let environment = [
        ("APIG_PROXY_UPSTREAM_TLS__CA_FILE", "ca.pem"),
        ("APIG_PROXY_ADMIN_QUIT", "true"),
    ];
    let mut program = Running::start(place.command(&arguments, &environment));
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
