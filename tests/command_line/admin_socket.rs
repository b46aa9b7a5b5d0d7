//! The admin listener: on a unix socket, and as what stops the proxy only if that is wanted.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::program::{Place, Running, signal};

const KEY: [(&str, &str); 2] = [("HUAWEICLOUD_SDK_AK", "AK"), ("HUAWEICLOUD_SDK_SK", "SK")];

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

/// What is answered over the socket; nothing to a user who is turned away.
fn exchange(path: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    let limit = Some(Duration::from_secs(20));
    stream.set_read_timeout(limit).unwrap();
    let mut answer = String::new();
    let sent = stream.write_all(request.as_bytes());
    let _ = sent.and_then(|()| stream.read_to_string(&mut answer));
    answer
}

#[test]
fn fault_96_quit_says_what_to_set_where_a_request_does_not_stop_the_proxy() {
    let place = Place::new();
    let (_, admin) = socket(&place);
    let mut running = start(&place, &admin, "");
    for arguments in [&["quit"][..], &["quit", "--timeout", "5s"]] {
        let (code, said) = ask(&place, arguments, &admin);
        assert_eq!(code, 1, "{said}");
        assert!(
            said.contains("was not stopped") && said.contains("\nhint: set admin_quit = true"),
            "{said}"
        );
    }
    assert_eq!(ask(&place, &["check", "ready"], &admin).0, 0);
    // It needs no restart.
    let text = fs::read_to_string(place.path().join("c.toml")).unwrap();
    place.file("c.toml", &format!("admin_quit = true\n{text}"));
    signal(running.id(), "HUP");
    let line = running.line_with("reloaded");
    assert!(line.contains("changed: admin_quit"), "{line}");
    let stopped = ask(&place, &["quit", "--timeout", "10s"], &admin);
    assert_eq!(stopped, (0, String::new()));
    assert_eq!(running.ended().0, 0);
}

#[test]
fn fault_96_the_admin_listener_may_be_a_unix_socket_that_only_its_owner_can_open() {
    let place = Place::new();
    let (path, admin) = socket(&place);
    // Left behind by a process that was killed.
    drop(UnixListener::bind(&path).unwrap());
    let running = start(&place, &admin, "admin_quit = true");
    assert!(
        running
            .logged
            .contains("admin.sock for users that can open it (mode 0600)"),
        "{}",
        running.logged
    );
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
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
        let answer = exchange(
            &path,
            &format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n"),
        );
        let expected = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&expected), "{host:?}: {answer}");
    }
    let stopped = ask(&place, &["quit", "--timeout", "10s"], &admin);
    assert_eq!(stopped, (0, String::new()));
    assert_eq!(running.ended().0, 0);
    assert!(!path.exists());
    let (code, said) = ask(&place, &["check", "live"], &admin);
    assert!(
        code == 1 && said.contains("nobody answers at unix:"),
        "{said}"
    );
}

#[test]
fn fault_96_the_admin_socket_obeys_the_rules_of_unix_sockets() {
    let place = Place::new();
    let (path, admin) = socket(&place);
    let keys = "[unix_socket]\nmode = \"0666\"\nallowed_uids = [\"4294967294\"]";
    let mut running = start(&place, &admin, keys);
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o666);
    let answer = exchange(&path, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(answer, "");
    running.line_with("was refused");
    // It is in use.
    let arguments = [
        "--listen",
        "127.0.0.1:0",
        "--upstream",
        "https://127.0.0.1:1",
        "--admin",
        &admin,
    ];
    let (code, _, said) = place.run(&arguments, &KEY);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("listens there") && said.contains("with --admin"),
        "{said}"
    );
    assert_eq!(running.stop().0, 0);
    // What is there is somebody's file.
    fs::write(&path, "kept").unwrap();
    let (code, _, said) = place.run(&arguments, &KEY);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains("not a socket") && said.contains("with --admin"),
        "{said}"
    );
    assert_eq!(fs::read_to_string(&path).unwrap(), "kept");
    for (admin, expected) in [
        ("unix:relative", "an absolute path"),
        (&*admin, "callers use this address"),
    ] {
        let listen = ["--listen", &*format!("unix:{}", path.display())];
        let arguments = [&listen[..], &arguments[2..4], &["--admin", admin]].concat();
        let (code, _, said) = place.run(&arguments, &KEY);
        assert!(code == 78 && said.contains(expected), "{said}");
    }
}

#[test]
fn an_admin_socket_whose_folder_is_missing_is_named_with_what_to_do() {
    let place = Place::new();
    let arguments = [
        "--listen",
        "127.0.0.1:0",
        "--upstream",
        "https://127.0.0.1:1",
        "--admin",
        "unix:/nonexistent/admin.sock",
    ];
    let (code, _, said) = place.run(&arguments, &KEY);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("make its folder"), "{said}");
}
