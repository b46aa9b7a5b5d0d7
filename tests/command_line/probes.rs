//! `check live` and `check ready`, and the admin listener that they ask.

use std::net::TcpListener;

use crate::program::{KEY, Place, Running, SERVE, assert_has};

const ADMIN: [&str; 2] = ["--admin", "127.0.0.1:0"];

#[test]
fn a_running_proxy_is_alive_and_ready_and_one_that_has_ended_is_not() {
    let place = Place::new();
    let mut running = Running::start(place.command(&[&SERVE[..], &ADMIN].concat(), &KEY));
    let address = running.admin_address().to_string();
    // Neither upstream nor key is needed to ask.
    for question in ["live", "ready"] {
        let said = place.run(&["check", question, "--admin", &address], &[]);
        assert_eq!(said, (0, format!("{question}\n"), String::new()));
    }
    // The address may come from the configuration.
    place.file("c.toml", &format!("admin = \"{address}\"\n"));
    let mut check = place.command(&["check", "ready", "--config", "c.toml"], &[]);
    let output = check.env_remove("APIG_PROXY_ADMIN").output().unwrap();
    let expected = (Some(0), b"ready\n".to_vec());
    assert_eq!((output.status.code(), output.stdout), expected);
    // The listener of callers is not taken for it.
    let callers = running.address().to_string();
    let check = ["check", "ready", "--admin", &callers];
    place.fails(&check, &[], 1, &["not the admin listener"]);
    let _said = running.stops();
    for question in ["live", "ready"] {
        let expected = format!("apig-proxy: not {question}: no proxy answers at {address}");
        let check = ["check", question, "--admin", &address];
        let said = place.fails(&check, &[], 1, &[&expected]);
        assert_has(&said, &["\nhint: start the proxy"]);
    }
}

#[test]
fn an_admin_address_that_cannot_be_used_is_named() {
    let place = Place::new();
    place.file("broken.toml", "admin =\n");
    let live = ["check", "live"];
    for (more, expected) in [
        (["--admin", "off"], "`admin` is off"),
        (["--admin", "no address"], "--admin: expected an address"),
        (["--config", "broken.toml"], "broken.toml:1"),
    ] {
        place.fails(&[&live[..], &more].concat(), &[], 78, &[expected]);
    }
    // It is for this machine only.
    let arguments = [&SERVE[..], &["--admin", "0.0.0.0:0"]].concat();
    place.fails(
        &arguments,
        &KEY,
        78,
        &["--admin: an address that is not loopback"],
    );
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let arguments = [&SERVE[..], &["--admin", &address]].concat();
    let expected = format!("cannot listen on {address}");
    place.fails(&arguments, &KEY, 1, &[&expected, "with `--admin`"]);
}
