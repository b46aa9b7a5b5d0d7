//! Signals that are sent to the proxy of a run.

use std::time::Duration;

use super::configured;
use crate::program::{BINARY, KEY, Running, pause, signal};

/// Undoes what `nohup` and jobs in the background do to whoever they start: signals that are ignored
/// stay ignored.
const NOT_IGNORED: [&str; 2] = ["env", "--default-signal=HUP,INT,QUIT"];

/// A program that ends with a code of its own at each of these signals.
const TRAPS: &str = "trap 'exit 11' HUP; trap 'exit 12' INT; trap 'exit 13' QUIT; trap 'exit 15' TERM; \
    trap 'exit 16' USR1; trap 'exit 17' USR2; echo ready >&2; while :; do sleep 0.01; done";

#[test]
fn signals_from_elsewhere_than_the_terminal_are_passed_on() {
    let place = configured("");
    for (name, expected) in [
        ("HUP", 11),
        ("INT", 12),
        ("QUIT", 13),
        ("TERM", 15),
        ("USR1", 16),
        ("USR2", 17),
    ] {
        // Without a terminal, so that none comes from there.
        let words = [&["setsid", "-w"], &NOT_IGNORED[..], &[BINARY]].concat();
        let mut setsid = place.other_command(&words, &KEY);
        setsid.args(super::script(&[], TRAPS));
        let mut running = Running::start(setsid);
        running.line_with("ready");
        signal(proxy_of(&running), name);
        running.ends(expected);
    }
}

/// The process of the proxy: `setsid` becomes it, or starts it if it has to.
fn proxy_of(running: &Running) -> u32 {
    let children = format!("/proc/{0}/task/{0}/children", running.id());
    let is_setsid = std::fs::read_to_string(format!("/proc/{}/comm", running.id())).unwrap();
    match is_setsid.trim() {
        "setsid" => std::fs::read_to_string(children)
            .unwrap()
            .trim()
            .parse()
            .unwrap(),
        _ => running.id(),
    }
}

#[test]
fn a_second_sigterm_kills_a_program_that_ignores_the_first() {
    let place = configured("");
    let text = "trap 'echo heard >&2' TERM; trap 'echo hung up >&2' HUP; echo ready >&2; while :; do sleep 0.01; done";
    let mut run = place.other_command(&[&NOT_IGNORED[..], &[BINARY]].concat(), &KEY);
    run.args(super::script(&[], text));
    let mut running = Running::start(run);
    running.line_with("ready");
    for _ in 0..3 {
        signal(running.id(), "HUP");
        running.line_with("hung up");
    }
    // `timeout` sends one to the process and one to its group, which is one request to end.
    signal(running.id(), "TERM");
    signal(running.id(), "TERM");
    running.line_with("heard");
    pause(Duration::from_millis(600));
    signal(running.id(), "HUP");
    running.line_with("hung up");
    signal(running.id(), "TERM");
    running.ends(137);
}

#[test]
fn signals_that_were_ignored_at_the_start_stay_ignored() {
    let place = configured("");
    let text = "grep SigIgn /proc/self/status >&2; exec sleep 600";
    let run = super::script(&[], text);
    let shell = "trap '' HUP; exec \"$@\"";
    let mut nohup = place.other_command(&["sh", "-c", shell, "sh", BINARY], &KEY);
    nohup.args(run);
    let mut running = Running::start(nohup);
    let line = running.line_with("SigIgn");
    let ignored = u64::from_str_radix(line.split_whitespace().last().unwrap(), 16).unwrap();
    assert_eq!(ignored & 1, 1, "{line}");
    signal(running.id(), "HUP");
    signal(running.id(), "TERM");
    running.ends(143);
}
