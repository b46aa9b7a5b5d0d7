//! SIGHUP: what has changed takes effect, what is wrong does not, and nobody who calls notices.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::gateway::gateway;
use crate::load::{GET, call};
use crate::program::{Place, Running, exchange};

const SECRET: &str = "SKTEST0123456789012345678901234567890123";

/// A proxy before a gateway, with a configuration file that can be changed.
struct Scene {
    place: Place,
    gateway: SocketAddr,
    program: Running,
    address: SocketAddr,
}

impl Scene {
    fn start() -> Self {
        let place = Place::new();
        let gateway = gateway(&place, SECRET, None);
        credentials(&place, SECRET);
        configure(&place, gateway, "");
        let mut program = Running::start(place.command(&["--config", "c.toml"], &[]));
        let address = program.address();
        Self {
            place,
            gateway,
            program,
            address,
        }
    }

    /// Changes the configuration file, and has it read.
    fn reload(&mut self, more: &str) -> String {
        configure(&self.place, self.gateway, more);
        self.hang_up()
    }

    /// Sends SIGHUP, and reads the line that says what came of it.
    fn hang_up(&mut self) -> String {
        hang_up(&self.program);
        self.program.line_with("reloaded")
    }

    fn status(&self) -> String {
        exchange(self.address, GET)
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned()
    }
}

fn hang_up(program: &Running) {
    let id = program.id().to_string();
    let sent = Command::new("kill").args(["-HUP", &id]).status().unwrap();
    assert!(sent.success());
}

fn credentials(place: &Place, secret: &str) {
    let csv =
        format!("User Name,Access Key Id,Secret Access Key\nx,AKTEST0000000000TEST,{secret}\n");
    place.file("credentials.csv", &csv);
}

fn configure(place: &Place, gateway: SocketAddr, more: &str) {
    let text = format!(
        "listen = \"127.0.0.1:0\"\nupstream = \"https://{gateway}\"\n{more}\n[upstream_tls]\nca_file = \"ca.pem\"\n"
    );
    place.file("c.toml", &text);
}

#[test]
fn fault_68_what_has_changed_takes_effect_and_is_named() {
    let mut scene = Scene::start();
    assert_eq!(scene.status(), "HTTP/1.1 200 OK");
    assert!(scene.hang_up().contains("nothing has changed"));
    let line = scene.reload("methods = [\"POST\"]\n[limits]\nconnections = 77");
    assert!(
        line.contains("changed: limits.connections, methods"),
        "{line}"
    );
    assert_eq!(scene.status(), "HTTP/1.1 405 Method Not Allowed");
    let line = scene.reload("stage = \"TEST\"");
    assert!(
        line.contains("limits.connections, methods, stage"),
        "{line}"
    );
    assert_eq!(scene.status(), "HTTP/1.1 404 Not Found");
    // Back again; and a key that only a start can change.
    let line = scene.reload("[log]\nformat = \"json\"");
    assert!(line.contains("changed: stage"), "{line}");
    assert!(
        scene
            .program
            .logged
            .contains("log.format take effect at the next start only"),
        "{}",
        scene.program.logged
    );
    assert_eq!(scene.status(), "HTTP/1.1 200 OK");
    assert_eq!(scene.program.stop().0, 0);
}

#[test]
fn fault_68_what_is_wrong_leaves_the_proxy_as_it_is() {
    let mut scene = Scene::start();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = taken.local_addr().unwrap();
    for (more, expected) in [
        ("stagee = \"x\"".to_owned(), "did you mean stage"),
        (
            "[limits]\nbody = \"x\"\nheader = 1".to_owned(),
            "2 problems",
        ),
        (
            format!("[tls]\ncert_file = \"{SECRET}\"\nkey_file = \"x\""),
            "tls.cert_file",
        ),
    ] {
        let line = scene.reload(&more);
        assert!(
            line.contains("not reloaded, the proxy goes on as it is"),
            "{line}"
        );
        if !line.contains(expected) {
            scene.program.line_with(expected);
        }
        assert_eq!(scene.status(), "HTTP/1.1 200 OK");
    }
    let text = format!(
        "listen = [\"127.0.0.1:0\", \"{other}\"]\nupstream = \"https://{}\"\n[upstream_tls]\nca_file = \"ca.pem\"\n",
        scene.gateway
    );
    scene.place.file("c.toml", &text);
    let line = scene.hang_up();
    assert!(
        line.contains(&format!("cannot listen on {other}")),
        "{line}"
    );
    assert_eq!(scene.status(), "HTTP/1.1 200 OK");
    let (code, said) = scene.program.stop();
    assert!(code == 0 && !said.contains(SECRET), "{said}");
}

#[test]
fn a_new_key_takes_effect_and_frees_from_the_lock_of_the_old_one() {
    let mut scene = Scene::start();
    credentials(&scene.place, "SKWRONG123456789012345678901234567890123");
    assert!(
        scene
            .hang_up()
            .contains("changed: the key of credentials default")
    );
    let statuses: Vec<String> = (0..4).map(|_| scene.status()).collect();
    assert_eq!(statuses[2], "HTTP/1.1 401 Unauthorized");
    assert_eq!(statuses[3], "HTTP/1.1 503 Service Unavailable");
    // The same key again is still known to be wrong.
    assert!(scene.hang_up().contains("nothing has changed"));
    assert_eq!(scene.status(), "HTTP/1.1 503 Service Unavailable");
    credentials(&scene.place, SECRET);
    scene.hang_up();
    assert_eq!(scene.status(), "HTTP/1.1 200 OK");
}

#[test]
fn fault_99_the_breaker_of_an_access_key_survives_a_reload_that_renames_its_credentials() {
    let place = Place::new();
    let gateway = gateway(&place, SECRET, None);
    credentials(&place, "SKWRONG123456789012345678901234567890123");
    let configure = |name: &str| {
        let text = format!(
            "listen = \"127.0.0.1:0\"\n[credentials.{name}]\nfile = \"credentials.csv\"\n[[route]]\npath = \"/\"\n\
             upstream = \"https://{gateway}\"\ncredentials = \"{name}\"\n[upstream_tls]\nca_file = \"ca.pem\"\n"
        );
        place.file("c.toml", &text);
    };
    configure("first");
    let mut program = Running::start(place.command(&["--config", "c.toml"], &[]));
    let address = program.address();
    let status = || exchange(address, GET)[9..12].to_owned();
    assert_eq!(
        [status(), status(), status(), status()],
        ["401", "401", "401", "503"]
    );
    for name in ["second", "first", "third"] {
        configure(name);
        hang_up(&program);
        let line = program.line_with("reloaded");
        assert!(line.contains("changed: "), "{line}");
        assert_eq!([status(), status()], ["503", "503"], "{name}");
    }
    // The right secret is tried at once.
    credentials(&place, SECRET);
    hang_up(&program);
    program.line_with("reloaded");
    assert_eq!(status(), "200");
}

#[test]
fn what_another_identity_was_given_is_not_used_when_its_own_service_fails() {
    let place = Place::new();
    let gateway = gateway(&place, SECRET, None);
    for name in ["user", "other", "password", "domain"] {
        place.file(name, name);
    }
    let iam = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = iam.local_addr().unwrap();
    thread::spawn(move || {
        // One token for the first who asks, and nothing for anybody else.
        let (mut stream, _) = iam.accept().unwrap();
        let mut request = [0; 4096];
        let _ = stream.read(&mut request).unwrap();
        let _ = stream.write_all(
            b"HTTP/1.1 201 Created\r\nX-Subject-Token: MARKERtoken\r\nContent-Length: 2\r\n\r\n{}",
        );
    });
    let configured = |user: &str| {
        let text = format!(
            "listen = \"127.0.0.1:0\"\nupstream = \"https://{gateway}\"\n[auth]\nmode = \"token\"\n[credentials]\n\
             iam_endpoint = \"http://{endpoint}\"\niam_user_file = \"{user}\"\niam_password_file = \"password\"\n\
             iam_domain_file = \"domain\"\n[upstream_tls]\nca_file = \"ca.pem\"\n"
        );
        place.file("c.toml", &text);
    };
    configured("user");
    let mut program = Running::start(place.command(&["--config", "c.toml"], &[]));
    let address = program.address();
    // The gateway does not know the token, but it was sent.
    assert!(exchange(address, GET).starts_with("HTTP/1.1 401"));
    // The same identity keeps what it has.
    hang_up(&program);
    program.line_with("reloaded");
    assert!(exchange(address, GET).starts_with("HTTP/1.1 401"));
    configured("other");
    hang_up(&program);
    let line = program.line_with("reloaded");
    assert!(line.contains("credentials.iam_user_file"), "{line}");
    assert!(exchange(address, GET).starts_with("HTTP/1.1 503"));
}

/// Lets the program open so many descriptors more than it has.
fn let_open(program: &Running, more: usize) {
    let id = program.id().to_string();
    let open = std::fs::read_dir(format!("/proc/{id}/fd")).unwrap();
    // Those that are open may have higher numbers than the limit; new ones may not.
    let limit = format!("--nofile={}:4096", open.count() + more);
    let set = Command::new("prlimit")
        .args(["--pid", &id, &limit])
        .status();
    assert!(set.unwrap().success());
}

#[test]
fn without_descriptors_for_new_addresses_the_old_ones_are_still_served() {
    let mut scene = Scene::start();
    let text = format!(
        "listen = [\"127.0.0.1:0\", \"[::1]:0\", \"127.0.0.2:0\", \"127.0.0.3:0\"]\nupstream = \"https://{}\"\n\
         [upstream_tls]\nca_file = \"ca.pem\"\n",
        scene.gateway
    );
    assert_eq!(scene.status(), "HTTP/1.1 200 OK");
    scene.place.file("c.toml", &text);
    // One more each time, so that it fails at every step that needs one.
    let mut failed = 0;
    for more in 0..40 {
        let_open(&scene.program, more);
        let line = scene.hang_up();
        let_open(&scene.program, 1000);
        assert_eq!(scene.status(), "HTTP/1.1 200 OK", "{more}: {line}");
        if line.contains("changed: listen") {
            break;
        }
        assert!(
            line.contains("not reloaded, the proxy goes on as it is"),
            "{line}"
        );
        failed += 1;
    }
    assert!((3..40).contains(&failed), "{failed}");
}

#[test]
fn with_one_connection_every_address_is_served() {
    let place = Place::new();
    let gateway = gateway(&place, SECRET, None);
    credentials(&place, SECRET);
    let text = format!(
        "listen = [\"127.0.0.1:0\", \"[::1]:0\"]\nupstream = \"https://{gateway}\"\n[limits]\nconnections = 1\n\
         [upstream_tls]\nca_file = \"ca.pem\"\n"
    );
    place.file("c.toml", &text);
    let mut program = Running::start(place.command(&["--config", "c.toml"], &[]));
    let addresses = [program.address(), program.address()];
    for address in [addresses, addresses].concat() {
        assert!(
            exchange(address, GET).starts_with("HTTP/1.1 200 OK"),
            "{address}"
        );
    }
}

#[test]
fn addresses_come_and_go_while_others_stay() {
    let mut scene = Scene::start();
    let socket = scene.place.path().join("proxy.sock");
    let listen = |entries: &str| {
        format!(
            "listen = [{entries}]\nupstream = \"https://{}\"\n[upstream_tls]\nca_file = \"ca.pem\"\n",
            scene.gateway
        )
    };
    let with = listen(&format!("\"127.0.0.1:0\", \"unix:{}\"", socket.display()));
    let without = listen("\"127.0.0.1:0\"");
    let mut open = TcpStream::connect(scene.address).unwrap();
    scene.place.file("c.toml", &with);
    assert!(scene.hang_up().contains("changed: listen"));
    let mut stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    stream
        .write_all(
            GET.replacen("\r\n", "\r\nConnection: close\r\n", 1)
                .as_bytes(),
        )
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    scene.place.file("c.toml", &without);
    assert!(scene.hang_up().contains("changed: listen"));
    assert!(!socket.exists());
    // The connection of before is served by the address that has stayed.
    open.write_all(GET.as_bytes()).unwrap();
    let mut line = String::new();
    BufReader::new(open).read_line(&mut line).unwrap();
    assert_eq!(line, "HTTP/1.1 200 OK\r\n");
}

#[test]
fn fault_68_a_hundred_reloads_under_load_fail_no_request() {
    let mut scene = Scene::start();
    let (is_over, made) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let callers: Vec<_> = (0..64)
        .map(|_| {
            let (address, is_over, made) = (scene.address, Arc::clone(&is_over), Arc::clone(&made));
            thread::spawn(move || call(address, &is_over, &made))
        })
        .collect();
    for number in 0..100 {
        // Each time something else, so that settings, connections and the pool are all made anew now and then.
        let line = scene.reload(&format!(
            "[pool]\nidle = \"{}s\"\n[limits]\nconnections = {}",
            40 + number / 10,
            1000 + number
        ));
        assert!(line.contains("reloaded, changed: "), "{line}");
    }
    is_over.store(true, Ordering::Relaxed);
    let failures: Vec<String> = callers
        .into_iter()
        .flat_map(|caller| caller.join().unwrap())
        .collect();
    assert_eq!(failures, Vec::<String>::new());
    assert!(made.load(Ordering::Relaxed) > 100, "there was no load");
    assert_eq!(scene.program.stop().0, 0);
}
