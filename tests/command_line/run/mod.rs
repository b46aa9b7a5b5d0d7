//! `apig-proxy run`: a program with a proxy of its own.

mod ends;
mod environment;
mod notices;
mod requests;
mod signals;
mod terminal;

use std::process::{Command, Stdio};

use crate::gateway::before_gateway;
use crate::program::{KEY, Place, finish};

/// A folder with the configuration of a proxy before a gateway.
fn configured(more: &str) -> Place {
    let place = Place::new();
    before_gateway(&place, more);
    place
}

/// The command line that runs a shell script.
fn script<'s>(options: &[&'s str], script: &'s str) -> Vec<&'s str> {
    [&["run"], options, &["--", "sh", "-c", script]].concat()
}

/// `run` with a shell script, and pipes.
fn command(place: &Place, options: &[&str], text: &str) -> Command {
    let mut command = place.command(&script(options, text), &KEY);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs a command to its end: exit code, standard output and standard error.
fn outcome(mut command: Command) -> (i32, String, String) {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    finish(command)
}

/// Runs a shell script to its end, which is a success: what it printed.
#[track_caller]
fn printed(place: &Place, options: &[&str], text: &str) -> String {
    let (code, out, err) = place.run(&script(options, text), &KEY);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    out
}

/// Skips a test that this machine cannot run.
#[track_caller]
#[expect(clippy::disallowed_methods, reason = "it is about the machine")]
fn skip(why: &str) {
    assert!(std::env::var_os("REQUIRE_ALL_TESTS").is_none(), "{why}");
}
