//! Signals, the time that is given, and the start after a kill: numbers 71 to 73.

use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{in_flight, rest, slow, start};
use crate::gateway::before_gateway;
use crate::load::{Load, call_until_told};
use crate::program::{
    BINARY, KEY, PATCH, Place, Running, SERVE, assert_has, assert_status, exchange, exchange_unix,
    free_address, signal, wait_until,
};

#[test]
fn fault_71_a_signal_lets_running_requests_finish_and_takes_no_new_ones() {
    let (upstream, count) = slow(Duration::from_millis(700));
    for name in ["TERM", "INT"] {
        let place = Place::new();
        let (running, address, admin) = start(&place, &upstream, &[]);
        let stream = in_flight(address, &count);
        signal(running.id(), name);
        wait_until("it is not ready", || {
            exchange(admin, "GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                .starts_with("HTTP/1.1 503 ")
        });
        wait_until("nothing more is accepted", || {
            TcpStream::connect(address).is_err()
        });
        let answer = rest(stream);
        assert_status(&answer, 200);
        assert_has(&answer, &["connection: close", "late"]);
        assert_has(&running.ends(0), &["stopping", " 200 "]);
    }
}

#[test]
fn fault_71_a_signal_under_load_from_64_connections_cuts_no_request() {
    let place = Place::new();
    let more = "[timeouts]\ndrain_delay = \"3s\"\n[log]\naccess = false";
    before_gateway(&place, more);
    let mut running = Running::start(place.command(&[], &KEY));
    let address = running.address();
    let load = Load::start(move |state| call_until_told(address, state));
    load.wait_for_each();
    signal(running.id(), "TERM");
    load.end();
    running.ends(0);
}

#[test]
fn fault_71_a_second_signal_ends_at_once() {
    let (upstream, count) = slow(Duration::from_secs(20));
    let place = Place::new();
    let (mut running, address, _) = start(&place, &upstream, &[]);
    let stream = in_flight(address, &count);
    signal(running.id(), "TERM");
    running.line_with("stopping");
    signal(running.id(), "INT");
    let said = running.ends(1);
    assert!(said.contains("second signal"), "{said}");
    assert_eq!(rest(stream), "");
}

/// The process that the first one has forked.
fn child_of(process: u32) -> u32 {
    let path = format!("/proc/{process}/task/{process}/children");
    let children = std::fs::read_to_string(path).unwrap();
    children.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
#[expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "who runs the test should know"
)]
fn fault_71_the_first_process_of_a_container_ends_in_the_same_way() {
    // It has no handlers of the system's own: a signal that it does not handle is lost.
    let may = Command::new("unshare")
        .args(["--pid", "--fork", "true"])
        .stderr(Stdio::null())
        .status();
    if !may.is_ok_and(|status| status.success()) {
        println!("unshare --pid is not permitted here, so there is no first process");
        assert!(std::env::var_os("REQUIRE_ALL_TESTS").is_none());
        return;
    }
    let (upstream, count) = slow(Duration::from_millis(500));
    for name in ["TERM", "INT"] {
        let place = Place::new();
        let unshare = ["unshare", "--pid", "--fork", "--kill-child", BINARY];
        let arguments = ["--upstream", &upstream, SERVE[2], SERVE[3]];
        let command = place.other_command(&[&unshare[..], &arguments].concat(), &KEY);
        let mut running = Running::start(command);
        let address = running.address();
        let child = child_of(running.id());
        let status = std::fs::read_to_string(format!("/proc/{child}/status")).unwrap();
        let number = status
            .lines()
            .find(|line| line.starts_with("NSpid:"))
            .unwrap();
        assert!(number.ends_with("\t1"), "{number}");
        let stream = in_flight(address, &count);
        signal(child, name);
        assert!(rest(stream).ends_with("late"));
        running.ends(0);
    }
}

#[test]
fn fault_72_what_is_left_when_the_time_is_over_is_reset_and_logged_and_the_end_is_a_failure() {
    let (upstream, count) = slow(Duration::from_secs(20));
    let place = Place::new();
    place.file("c.toml", "[timeouts]\nshutdown = \"300ms\"\n");
    let (running, address, _) = start(&place, &upstream, &["--config", "c.toml"]);
    let streams = [in_flight(address, &count), in_flight(address, &count)];
    signal(running.id(), "TERM");
    let said = running.ends(1);
    assert!(said.contains("timeouts.shutdown"), "{said}");
    assert_eq!(said.matches(" outcome=cut_off ").count(), 2, "{said}");
    // What has become of them at the gateway, each with the id of its request.
    let unknown = said.lines().filter(|line| {
        line.contains("the proxy stopped before the gateway responded")
            && line.contains(" request_id=")
    });
    assert_eq!(unknown.count(), 2, "{said}");
    streams
        .into_iter()
        .for_each(|stream| assert_eq!(rest(stream), ""));
}

#[test]
fn fault_73_after_a_kill_the_same_addresses_are_had_at_once() {
    let (upstream, count) = slow(Duration::from_secs(20));
    let place = Place::new();
    let (address, admin) = (free_address(), free_address());
    let path = place.path().join("proxy.sock");
    let config = format!(
        "upstream = \"{upstream}\"\nlisten = [\"{address}\", \"unix:{}\"]\nadmin = \"{admin}\"\n",
        path.display()
    );
    place.file("apig-proxy.toml", &config);
    let begin = || {
        let mut command = place.command(&[], &KEY);
        command.env_remove("APIG_PROXY_ADMIN");
        let mut running = Running::start(command);
        running.line_with("listening on unix:");
        running
    };
    for _ in 0..3 {
        let running = begin();
        let stream = in_flight(address, &count);
        signal(running.id(), "KILL");
        drop(running);
        assert_eq!(rest(stream), "");
        assert!(path.exists());
    }
    let running = begin();
    let answer = exchange_unix(&path, PATCH).unwrap();
    assert_has(&answer, &["PROXY.method_not_allowed"]);
    let _said = running.stops();
    assert!(!path.exists());
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
    let said = program.stops();
    assert_has(&said, &["stopped before the start was complete"]);
    assert!(!said.contains("listening on"), "{said}");
}
