//! SIGHUP: what has changed takes effect, what is wrong does not, and nobody who calls notices.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use crate::gateway::{Scene, config, gateway, hang_up, status};
use crate::load::{Load, call};
use crate::program::{
    GET, Place, Running, SECRET, assert_has, assert_status, exchange_unix, key_file,
};

const WRONG: &str = "SKWRONG123456789012345678901234567890123";

/// Changes the addresses in the configuration file, and has it read.
fn listen(scene: &mut Scene, addresses: &str) -> String {
    let text = config(&format!("listen = [{addresses}]"), scene.gateway, "");
    scene.place.file("apig-proxy.toml", &text);
    hang_up(&mut scene.program)
}

/// Starts the program with `apig-proxy.toml`.
fn start(place: &Place) -> Running {
    Running::start(place.command(&[], &[]))
}

#[test]
fn fault_68_what_has_changed_takes_effect_and_is_named() {
    let mut scene = Scene::start();
    assert_eq!(scene.status(), "200");
    assert!(hang_up(&mut scene.program).contains("no key has changed"));
    let line = scene.reload("methods = [\"POST\"]\n[limits]\nconnections = 77");
    assert_has(&line, &["changed: limits.connections, methods"]);
    assert_eq!(scene.status(), "405");
    let line = scene.reload("stage = \"TEST\"");
    assert_has(&line, &["limits.connections, methods, stage"]);
    assert_eq!(scene.status(), "404");
    // Back again; and a key that only a start can change.
    let line = scene.reload("[log]\nformat = \"json\"");
    assert!(line.contains("changed: stage"), "{line}");
    let waiting = "changes that need a restart: log.format";
    assert_has(&scene.program.logged, &[waiting]);
    assert_eq!(scene.status(), "200");
    // Back to what runs, nothing waits.
    let line = scene.reload("");
    assert!(line.contains("no key has changed"), "{line}");
    assert_eq!(scene.program.logged.matches(waiting).count(), 1);
    scene.program.stops();
}

#[test]
fn fault_68_what_is_wrong_leaves_the_proxy_as_it_is() {
    let mut scene = Scene::start();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = taken.local_addr().unwrap();
    let tls = format!("[tls]\ncert_file = \"{SECRET}\"\nkey_file = \"x\"");
    for (more, expected) in [
        ("stagee = \"x\"", "did you mean `stage`"),
        ("[limits]\nbody = \"x\"\nheader = 1", "2 problems"),
        (&tls, "tls.cert_file"),
    ] {
        let line = scene.reload(more);
        assert_has(&line, &["not reloaded, the proxy goes on as it is"]);
        if !line.contains(expected) {
            scene.program.line_with(expected);
        }
        assert_eq!(scene.status(), "200");
    }
    let line = listen(&mut scene, &format!("\"127.0.0.1:0\", \"{other}\""));
    assert_has(&line, &[&format!("cannot listen on {other}")]);
    assert_eq!(scene.status(), "200");
    let said = scene.program.stops();
    assert!(!said.contains(SECRET), "{said}");
}

#[test]
fn a_new_key_takes_effect_and_frees_from_the_lock_of_the_old_one() {
    let mut scene = Scene::start();
    key_file(&scene.place, "credentials.csv", WRONG);
    hang_up(&mut scene.program);
    let statuses: Vec<String> = (0..4).map(|_| scene.status()).collect();
    assert_eq!(statuses[2], "401");
    assert_eq!(statuses[3], "503");
    // The same key again is still known to be wrong.
    assert!(hang_up(&mut scene.program).contains("no key has changed"));
    assert_eq!(scene.status(), "503");
    key_file(&scene.place, "credentials.csv", SECRET);
    hang_up(&mut scene.program);
    assert_eq!(scene.status(), "200");
}

#[test]
fn fault_99_the_breaker_of_an_access_key_survives_a_reload_that_renames_its_credentials() {
    let place = Place::new();
    let gateway = gateway(&place, SECRET, None);
    key_file(&place, "credentials.csv", WRONG);
    let configure = |name: &str| {
        let text = format!(
            "listen = \"127.0.0.1:0\"\n[credentials.{name}]\nfile = \"credentials.csv\"\n[[route]]\npath = \"/\"\n\
             upstream = \"https://{gateway}\"\ncredentials = \"{name}\"\n[upstream_tls]\nca_file = \"ca.pem\"\n"
        );
        place.file("apig-proxy.toml", &text);
    };
    configure("first");
    let mut program = start(&place);
    let address = program.address();
    let status = || status(address);
    let statuses = [(); 4].map(|()| status());
    assert_eq!(statuses, ["401", "401", "401", "503"]);
    for name in ["second", "first", "third"] {
        configure(name);
        let line = hang_up(&mut program);
        assert!(line.contains("changed: "), "{line}");
        assert_eq!([status(), status()], ["503", "503"], "{name}");
    }
    // The right secret is tried at once.
    key_file(&place, "credentials.csv", SECRET);
    hang_up(&mut program);
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
        place.file("apig-proxy.toml", &text);
    };
    configured("user");
    let mut program = start(&place);
    let address = program.address();
    // The gateway does not know the token, but it was sent.
    assert_eq!(status(address), "401");
    // The same identity keeps what it has.
    hang_up(&mut program);
    assert_eq!(status(address), "401");
    configured("other");
    assert_has(&hang_up(&mut program), &["credentials.iam_user_file"]);
    assert_eq!(status(address), "503");
}

#[test]
fn with_one_connection_every_address_is_served() {
    let place = Place::new();
    let gateway = gateway(&place, SECRET, None);
    key_file(&place, "credentials.csv", SECRET);
    let listen = "listen = [\"127.0.0.1:0\", \"[::1]:0\"]";
    let text = config(listen, gateway, "[limits]\nconnections = 1");
    place.file("apig-proxy.toml", &text);
    let mut program = start(&place);
    let addresses = [program.address(), program.address()];
    for address in [addresses, addresses].concat() {
        assert_eq!(status(address), "200", "{address}");
    }
}

#[test]
fn addresses_come_and_go_while_others_stay() {
    let mut scene = Scene::start();
    let socket = scene.place.path().join("proxy.sock");
    let with = format!("\"127.0.0.1:0\", \"unix:{}\"", socket.display());
    let mut open = TcpStream::connect(scene.address).unwrap();
    assert_has(&listen(&mut scene, &with), &["changed: listen"]);
    let answer = exchange_unix(&socket, GET).unwrap();
    assert_status(&answer, 200);
    assert_has(&listen(&mut scene, "\"127.0.0.1:0\""), &["changed: listen"]);
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
    let address = scene.address;
    let load = Load::start(move |state| call(address, state));
    load.wait_for(100);
    for number in 0..100 {
        // Each time something else, so that settings, connections and the pool are all made anew now and then.
        let line = scene.reload(&format!(
            "[pool]\nidle = \"{}s\"\n[limits]\nconnections = {}",
            40 + number / 10,
            1000 + number
        ));
        assert!(line.contains("reloaded, changed: "), "{line}");
    }
    load.wait_for(100);
    load.end();
    scene.program.stops();
}
