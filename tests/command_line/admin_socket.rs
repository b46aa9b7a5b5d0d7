//! The admin listener: on a unix socket, and as what stops the proxy only if that is wanted.

use std::fs;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use crate::program::{KEY, Place, Running, SERVE, assert_has, exchange_unix, mode, signal};

fn socket(place: &Place) -> (PathBuf, String) {
    let path = place.path().join("admin.sock");
    let admin = format!("unix:{}", path.display());
    (path, admin)
}

/// Starts the program with these keys.
fn start(place: &Place, admin: &str, keys: &str) -> Running {
    let text = format!(
        "listen = \"127.0.0.1:0\"\nadmin = \"{admin}\"\nupstream = \"https://127.0.0.1:1\"\n{keys}\n"
    );
    place.file("c.toml", &text);
    let mut command = place.command(&["--config", "c.toml"], &KEY);
    command.env_remove("APIG_PROXY_ADMIN");
    let mut running = Running::start(command);
    running.line_with("listening on");
    running
}

/// Runs a command that asks the proxy with this admin address.
fn ask(place: &Place, command: &[&str], admin: &str) -> (i32, String) {
    let (code, _, said) = place.run(&[command, &["--admin", admin]].concat(), &[]);
    (code, said)
}

#[test]
fn fault_96_quit_says_what_to_set_where_a_request_does_not_stop_the_proxy() {
    let place = Place::new();
    let (_, admin) = socket(&place);
    let mut running = start(&place, &admin, "");
    for more in [&[][..], &["--timeout", "5s"]] {
        let arguments = [&["quit", "--admin", &admin], more].concat();
        let hint = "\nhint: set `admin_quit = true`";
        place.fails(&arguments, &[], 1, &["was not stopped", hint]);
    }
    assert_eq!(ask(&place, &["check", "ready"], &admin).0, 0);
    // It needs no restart.
    let text = fs::read_to_string(place.path().join("c.toml")).unwrap();
    place.file("c.toml", &format!("admin_quit = true\n{text}"));
    signal(running.id(), "HUP");
    assert_has(&running.line_with("reloaded"), &["changed: admin_quit"]);
    let stopped = ask(&place, &["quit", "--timeout", "10s"], &admin);
    assert_eq!(stopped, (0, String::new()));
    running.ends(0);
}

#[test]
fn fault_96_the_admin_listener_may_be_a_unix_socket_that_only_its_owner_can_open() {
    let place = Place::new();
    let (path, admin) = socket(&place);
    // Left behind by a process that was killed.
    drop(UnixListener::bind(&path).unwrap());
    let running = start(&place, &admin, "admin_quit = true");
    let listening = "admin.sock for users that can open it (mode 0600)";
    assert_has(&running.logged, &[listening]);
    assert_eq!(mode(&path), 0o600);
    for command in [&["check", "live"][..], &["check", "ready"], &["wait"]] {
        assert_eq!(ask(&place, command, &admin), (0, String::new()));
    }
    for (host, fields, status) in [
        ("localhost", "", "200"),
        ("apig-proxy", "", "200"),
        ("", "", "200"),
        ("a b", "", "400"),
        ("localhost", "Origin: https://evil.example\r\n", "403"),
    ] {
        let request = format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n");
        let answer = exchange_unix(&path, &request).unwrap();
        let expected = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&expected), "{host:?}: {answer}");
    }
    let stopped = ask(&place, &["quit", "--timeout", "10s"], &admin);
    assert_eq!(stopped, (0, String::new()));
    running.ends(0);
    assert!(!path.exists());
    let check = ["check", "live", "--admin", &admin];
    place.fails(&check, &[], 1, &["no proxy answers at unix:"]);
}

#[test]
fn fault_96_the_admin_socket_obeys_the_rules_of_unix_sockets() {
    let place = Place::new();
    let (path, admin) = socket(&place);
    let keys = "[unix_socket]\nmode = \"0666\"\nallowed_uids = [\"4294967294\"]";
    let mut running = start(&place, &admin, keys);
    assert_eq!(mode(&path), 0o666);
    // The connection of a user who is turned away may be closed before the request is written.
    let request = "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert_eq!(exchange_unix(&path, request).unwrap_or_default(), "");
    running.line_with("was refused");
    let arguments = [&SERVE[..], &["--admin", &admin]].concat();
    place.fails(&arguments, &KEY, 1, &["listens there", "with `--admin`"]);
    running.stops();
    fs::write(&path, "kept").unwrap();
    place.fails(&arguments, &KEY, 1, &["not a socket", "with `--admin`"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), "kept");
    let listen = format!("unix:{}", path.display());
    for (admin, exit_code, expected) in [
        ("unix:relative", 78, "an absolute path"),
        (&*admin, 78, "this address and one of `listen` cannot be"),
        ("unix:/nonexistent/admin.sock", 1, "make its folder"),
    ] {
        let listen = ["--listen", if exit_code == 1 { SERVE[3] } else { &listen }];
        let arguments = [&SERVE[..2], &listen, &["--admin", admin]].concat();
        place.fails(&arguments, &KEY, exit_code, &[expected]);
    }
}
