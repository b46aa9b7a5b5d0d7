//! `wait` and `quit`.

use std::time::Duration;

use super::{in_flight, rest, slow, start};
use crate::program::{KEY, Place, Running, SERVE, assert_has, free_address, pause, signal};

#[test]
fn wait_ends_when_a_proxy_is_ready_and_fails_when_none_is_in_time() {
    let place = Place::new();
    let admin = free_address().to_string();
    let wait = ["wait", "--admin", &admin, "--timeout", "300ms"];
    let expected = [
        "not ready in time: no proxy answers",
        "\nhint: start the proxy",
    ];
    place.fails(&wait, &[], 1, &expected);
    let mut wait = place.command(&["wait", "--admin", &admin], &[]);
    let waiting = wait.spawn().unwrap();
    pause(Duration::from_millis(300));
    let arguments = [&SERVE[..], &["--admin", &admin]].concat();
    let running = Running::start(place.command(&arguments, &KEY));
    assert_eq!(waiting.wait_with_output().unwrap().status.code(), Some(0));
    drop(running);
    for timeout in ["soon", "-1s", ""] {
        place.fails(&["wait", "--timeout", timeout], &[], 64, &[]);
    }
}

#[test]
fn quit_stops_a_proxy_and_waits_for_its_end_if_it_is_told_to() {
    let (upstream, count) = slow(Duration::from_millis(700));
    let place = Place::new();
    let (running, address, admin) = start(&place, &upstream, &[]);
    let stream = in_flight(address, &count);
    let admin = admin.to_string();
    assert_eq!(
        place.run(&["quit", "--admin", &admin, "--timeout", "20s"], &[]),
        (0, String::new(), String::new())
    );
    assert!(rest(stream).ends_with("late"));
    let said = running.ends(0);
    assert!(said.contains("/quitquitquit"), "{said}");
    let quit = ["quit", "--admin", &admin];
    let expected = ["the proxy was not stopped: no proxy answers"];
    place.fails(&quit, &[], 1, &expected);

    let (upstream, count) = slow(Duration::from_secs(20));
    let (running, address, admin) = start(&place, &upstream, &[]);
    let _stream = in_flight(address, &count);
    let admin = admin.to_string();
    assert_eq!(place.run(&["quit", "--admin", &admin], &[]).0, 0);
    let quit = ["quit", "--admin", &admin, "--timeout", "200ms"];
    place.fails(&quit, &[], 1, &["timeouts.shutdown"]);
    // It goes on to finish: a signal after that is the first one.
    signal(running.id(), "TERM");
    pause(Duration::from_millis(100));
    assert_eq!(place.run(&["check", "live", "--admin", &admin], &[]).0, 0);
}

#[test]
fn a_proxy_whose_admin_listener_others_reach_is_asked_from_its_own_machine() {
    let place = Place::new();
    let text = "admin_quit = true\n[access]\nallow_remote = true\n";
    place.file("c.toml", text);
    let more = ["--config", "c.toml", "--admin", "0.0.0.0:0"];
    let arguments = [&SERVE[..], &more].concat();
    let mut running = Running::start(place.command(&arguments, &KEY));
    let address = running.admin_address();
    assert_has(&running.logged, &["whoever reaches it on the network"]);
    let port = address.port();
    place.file("asked.toml", &format!("admin = \"0.0.0.0:{port}\"\n{text}"));
    for question in [
        &["check", "ready"][..],
        &["wait"],
        &["quit", "--timeout", "10s"],
    ] {
        let arguments = [question, &["--config", "asked.toml"]].concat();
        let mut command = place.command(&arguments, &[]);
        let output = command.env_remove("APIG_PROXY_ADMIN").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{question:?} {output:?}");
    }
    running.ends(0);
}
