//! `check live` and `check ready`, and the admin listener that they ask.

use std::net::TcpListener;

use crate::program::{Place, Running};

const KEY: [(&str, &str); 2] = [("HUAWEICLOUD_SDK_AK", "AK"), ("HUAWEICLOUD_SDK_SK", "SK")];

const SERVE: [&str; 6] = [
    "--upstream",
    "https://127.0.0.1:1",
    "--listen",
    "127.0.0.1:0",
    "--admin",
    "127.0.0.1:0",
];

#[test]
fn a_running_proxy_is_alive_and_ready_and_one_that_has_ended_is_not() {
    let place = Place::new();
    let mut running = Running::start(place.command(&SERVE, &KEY));
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
    assert_eq!(
        (output.status.code(), output.stdout),
        (Some(0), b"ready\n".to_vec())
    );
    let (code, said) = running.stop();
    assert_eq!(code, 0, "{said}");
    for question in ["live", "ready"] {
        let (code, out, said) = place.run(&["check", question, "--admin", &address], &[]);
        assert_eq!((code, out.as_str(), said.lines().count()), (1, "", 1));
        assert!(
            said.starts_with(&format!(
                "apig-proxy: not {question}: nobody answers at {address}"
            )),
            "{said}"
        );
    }
}

#[test]
fn another_program_s_answer_is_not_taken_for_the_proxy_s() {
    let place = Place::new();
    let mut running = Running::start(place.command(&SERVE, &KEY));
    running.admin_address();
    // The proxy itself refuses the path, or forwards it, and is no admin listener.
    let address = running.address().to_string();
    let (code, _, said) = place.run(&["check", "ready", "--admin", &address], &[]);
    assert_eq!(code, 1);
    assert!(said.contains("not the admin listener"), "{said}");
}

#[test]
fn without_an_address_there_is_nobody_to_ask() {
    let place = Place::new();
    let (code, _, said) = place.run(&["check", "live", "--admin", "off"], &[]);
    assert_eq!((code, said.contains("admin is off")), (78, true), "{said}");
    let (code, _, said) = place.run(&["check", "live", "--admin", "8081"], &[]);
    assert_eq!(
        (code, said.contains("--admin: admin: ")),
        (78, true),
        "{said}"
    );
    place.file("broken.toml", "admin =\n");
    let (code, _, said) = place.run(&["check", "live", "--config", "broken.toml"], &[]);
    assert_eq!((code, said.contains("broken.toml:1")), (78, true), "{said}");
}

#[test]
fn a_port_of_the_admin_listener_that_is_in_use_is_a_failure_while_running() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let arguments = [&SERVE[..5], &[&address]].concat();
    let (code, _, said) = Place::new().run(&arguments, &KEY);
    assert_eq!(code, 1, "{said}");
    assert!(
        said.contains(&format!("cannot listen on {address}")) && said.contains("with --admin"),
        "{said}"
    );
}

#[test]
fn the_admin_listener_is_for_this_machine_only_and_can_be_switched_off() {
    let place = Place::new();
    let arguments = [&SERVE[..5], &["0.0.0.0:8081"]].concat();
    let (code, _, said) = place.run(&arguments, &KEY);
    assert_eq!(
        (code, said.contains("--admin: admin: ")),
        (78, true),
        "{said}"
    );
    let arguments = [&SERVE[..5], &["off"]].concat();
    let mut running = Running::start(place.command(&arguments, &KEY));
    running.address();
    assert!(!running.logged.contains("health"), "{}", running.logged);
}
