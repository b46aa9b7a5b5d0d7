//! How a run ends: exit codes, and the death of either side.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::time::Duration;

use super::{command, configured, outcome, script};
use crate::program::{
    BINARY, GET, KEY, Place, Running, assert_has, exchange, exit_code, kill_after, pause, signal,
    try_exchange, wait_until,
};

#[test]
fn the_exit_code_is_that_of_the_program_or_says_why_there_was_none() {
    let place = configured("");
    place.file("not-executable", "");
    place.file_with_mode("no-program", "\u{7f}", 0o755);
    for (arguments, expected) in [
        (&["--", "true"][..], 0),
        (&["--", "sh", "-c", "exit 3"], 3),
        (&["--", "sh", "-c", "exit 78"], 78),
        (&["--", "sh", "-c", "kill -TERM $$"], 143),
        (&["--", "sh", "-c", "kill -KILL $$"], 137),
        (&["--", "./none"], 127),
        (&["--", "no-such-program"], 127),
        (&["--", "./not-executable"], 126),
        (&["--", "./no-program"], 126),
        (&["--", "/"], 126),
        (&["true"], 64),
        (&[], 64),
        (&["--listen", "127.0.0.1:0", "--", "true"], 64),
        (&["--print-env", "--", "true"], 64),
        (&["--stage", "a b", "--", "true"], 78),
        (&["--service", "VPC", "--", "true"], 78),
        (&["--log-file", "no/folder", "--", "true"], 78),
    ] {
        let (code, out, err) = place.run(&[&["run"], arguments].concat(), &KEY);
        assert_eq!((code, out.as_str()), (expected, ""), "{arguments:?}: {err}");
    }
    let one_word = ["run", "--", "echo hi"];
    place.fails(
        &one_word,
        &KEY,
        127,
        &["\nhint: give its arguments as words"],
    );
    let without_key = Place::new();
    let arguments = script(&["--upstream", "https://a.example"], "echo started");
    without_key.fails(&arguments, &[], 78, &["HUAWEICLOUD_SDK_AK"]);
}

/// Starts a program that says where it and its proxy are.
fn started(place: &Place) -> (Running, u32, SocketAddr) {
    let text = "echo $$ $APIG_PROXY_URL >&2; exec sleep 600";
    let mut run = command(place, &[], text);
    run.process_group(0);
    let mut running = Running::start(run);
    let line = running.line_with("http://");
    let (id, url) = line.trim().split_once(' ').unwrap();
    (running, id.parse().unwrap(), address_in(url))
}

fn address_in(url: &str) -> SocketAddr {
    let mut parts = url.split('/');
    parts.nth(2).unwrap().parse().unwrap()
}

fn is_alive(process: u32) -> bool {
    state_of(process).is_some_and(|state| state != 'Z')
}

fn state_of(process: u32) -> Option<char> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    status.split_once("State:\t")?.1.chars().next()
}

#[test]
fn a_program_that_is_paused_without_a_terminal_does_not_stop_its_proxy() {
    let place = configured("");
    let (running, program, address) = started(&place);
    signal(program, "TSTP");
    wait_until("the program is stopped", || state_of(program) == Some('T'));
    pause(Duration::from_millis(200));
    assert_ne!(state_of(running.id()), Some('T'));
    assert_has(&exchange(address, GET), &["PROXY.caller_required"]);
    signal(program, "KILL");
    running.ends(137);
}

#[test]
fn a_program_whose_proxy_was_killed_is_refused_and_goes_on() {
    let place = configured("");
    let (running, program, address) = started(&place);
    assert_has(&exchange(address, GET), &["PROXY.caller_required"]);
    signal(running.id(), "KILL");
    wait_until("the port is closed", || {
        let refused = try_exchange(address, GET);
        refused.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    });
    assert!(is_alive(program));
    signal(program, "KILL");
    wait_until("the program ends", || !is_alive(program));
}

#[test]
fn a_program_that_was_killed_ends_its_proxy() {
    let place = configured("");
    let (running, program, address) = started(&place);
    signal(program, "KILL");
    running.ends(137);
    assert!(try_exchange(address, GET).is_err());
}

#[test]
fn what_the_program_leaves_behind_is_not_waited_for_and_refused() {
    let place = configured("");
    let text = "sleep 600 >/dev/null 2>&1 & echo $! $APIG_PROXY_URL";
    let (code, out, _) = place.run(&script(&[], text), &KEY);
    let (left, url) = out.trim().split_once(' ').unwrap();
    assert!(code == 0 && is_alive(left.parse().unwrap()), "{out}");
    assert!(try_exchange(address_in(url), GET).is_err());
    signal(left.parse().unwrap(), "KILL");
}

#[test]
fn fifty_runs_side_by_side_have_ports_and_credentials_of_their_own() {
    let place = configured("");
    let text =
        "curl -sS --fail -o /dev/null $APIG_PROXY_URL/x || exit 9; echo $APIG_PROXY_URL; exit 5";
    let start = |_| command(&place, &[], text).spawn().unwrap();
    let runs: Vec<_> = (0..50).map(start).collect();
    let mut urls: Vec<String> = Vec::new();
    for run in runs {
        let _limit = kill_after(Duration::from_secs(120), run.id());
        let output = run.wait_with_output().unwrap();
        let [out, err] =
            [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        assert_eq!((exit_code(output.status), err.as_str()), (5, ""));
        urls.push(out);
    }
    urls.sort_unstable();
    urls.dedup();
    assert_eq!(urls.len(), 50);
}

#[test]
fn the_first_process_of_a_container_reaps_what_others_leave() {
    let place = configured("");
    // The shell in the middle ends before its child, whose new parent is the proxy.
    let text = "sh -c 'sleep 0.01 & echo $!' > left; i=0; \
        while [ -e /proc/$(cat left) ] && [ $i -lt 1000 ]; do sleep 0.01; i=$((i+1)); done; \
        [ ! -e /proc/$(cat left) ] && echo $PPID && exit 4";
    let run = [&[BINARY][..], &script(&[], text)].concat();
    let inside = [&["unshare", "--pid", "--fork", "--mount-proc"], &run[..]].concat();
    let command = place.other_command(&inside, &KEY);
    let (code, out, err) = outcome(command);
    if err.contains("unshare failed") {
        return super::skip(&err);
    }
    assert_eq!((code, out.as_str()), (4, "1\n"), "{err}");
}
