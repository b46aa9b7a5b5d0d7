//! A run on a terminal: full-screen programs, Ctrl-C and Ctrl-Z, and what the run itself prints there.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::{configured, script};
use crate::program::{BINARY, KEY, Place, exit_code, kill_after};

/// Programs on a terminal of their own.
struct Terminal {
    controller: File,
    child: Child,
    seen: String,
}

impl Terminal {
    /// Starts programs as a shell does: in a session with this terminal.
    fn start(place: &Place, words: &[&str]) -> Self {
        let controller =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        let (ws_row, ws_col) = (33, 77);
        tcsetwinsize(
            &controller,
            Winsize {
                ws_row,
                ws_col,
                ws_xpixel: 0,
                ws_ypixel: 0,
            },
        )
        .unwrap();
        let name = ptsname(&controller, Vec::new()).unwrap();
        let terminal = File::options()
            .read(true)
            .write(true)
            .open(name.to_str().unwrap())
            .unwrap();
        let stream = || Stdio::from(terminal.try_clone().unwrap());
        let mut command =
            place.other_command(&[&["setsid", "--wait", "--ctty"], words].concat(), &KEY);
        let command = command
            .env("TERM", "dumb")
            .stdin(stream())
            .stdout(stream())
            .stderr(stream());
        Self {
            controller: File::from(controller),
            child: command.spawn().unwrap(),
            seen: String::new(),
        }
    }

    /// Reads more of what is printed; false after the last program has closed the terminal.
    fn read(&mut self) -> bool {
        let _limit = kill_after(Duration::from_secs(30), self.child.id());
        let mut buffer = [0; 4096];
        let length = self.controller.read(&mut buffer).unwrap_or(0);
        let read = String::from_utf8_lossy(&buffer[..length]);
        self.seen.push_str(&read);
        length > 0
    }

    /// Waits until this text has been printed.
    fn wait_for(&mut self, text: &str) {
        while !self.seen.contains(text) {
            assert!(self.read(), "{text:?} was not printed: {}", self.seen);
        }
    }

    fn press(&mut self, keys: &str) {
        self.controller.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for the end: the exit code, and all that was printed.
    fn ended(mut self) -> (i32, String) {
        while self.read() {}
        (exit_code(self.child.wait().unwrap()), self.seen)
    }
}

fn run<'s>(options: &[&'s str], text: &'s str) -> Vec<&'s str> {
    [&[BINARY][..], &script(options, text)].concat()
}

#[test]
fn a_full_screen_program_has_the_terminal_to_itself() {
    let place = configured("");
    let text = "old=$(stty -g); stty raw -echo; printf '\\033[?1049hREADY'; \
        key=$(dd bs=1 count=1 2>/dev/null | od -An -tx1); printf '\\033[?1049l'; stty \"$old\"; stty size; echo key $key";
    // Nothing may be printed into its screen, warnings neither.
    let options = ["--upstream", "https://127.0.0.1:1"];
    let call = "curl -s -o /dev/null $APIG_PROXY_URL/x; ";
    let text = format!("{call}{text}");
    let mut terminal = Terminal::start(&place, &run(&options, &text));
    terminal.wait_for("READY");
    // In raw mode it is a byte, and no signal.
    terminal.press("\u{3}");
    let (code, seen) = terminal.ended();
    let (_, screen) = seen.split_once("\u{1b}[?1049h").unwrap();
    let (screen, after) = screen.split_once("\u{1b}[?1049l").unwrap();
    assert_eq!((code, screen), (0, "READY"), "{seen}");
    let (own, warnings) = after.split_once("key 03\r\n").unwrap();
    assert_eq!(own, "33 77\r\n");
    assert!(
        warnings.contains("WARN") && warnings.contains("unreachable"),
        "{seen}"
    );
}

#[test]
fn ctrl_c_reaches_the_program_once_and_the_proxy_waits_for_it() {
    let place = configured("");
    let text = "trap 'echo interrupted; curl -sS --fail -o /dev/null $APIG_PROXY_URL/x && exit 7' INT; \
        echo ready; while :; do sleep 0.01; done";
    let mut terminal = Terminal::start(&place, &run(&[], text));
    terminal.wait_for("ready");
    terminal.press("\u{3}");
    let (code, seen) = terminal.ended();
    assert_eq!(code, 7, "{seen}");
    assert_eq!(seen.matches("interrupted").count(), 1, "{seen}");
    // One that does not handle it ends by it.
    let mut terminal = Terminal::start(&place, &run(&[], "echo ready; exec sleep 600"));
    terminal.wait_for("ready");
    terminal.press("\u{3}");
    assert_eq!(terminal.ended().0, 130);
}

#[test]
fn a_program_that_stops_gives_the_terminal_back_to_the_shell_and_can_be_continued() {
    let place = configured("");
    // By Ctrl-Z, which the terminal sends to both, and by itself, of which the proxy has to learn.
    for (waits, keys, status) in [
        ("read line", "\u{1a}", "stopped 148"),
        ("kill -TSTP $$", "", "stopped 147"),
    ] {
        let text = format!("echo ready; {waits}; echo continued; exit 6");
        let shell = "set -m; \"$@\"; echo stopped $?; fg >/dev/null; echo ended $?";
        let words = [&["bash", "-c", shell, "bash"][..], &run(&[], &text)].concat();
        let mut terminal = Terminal::start(&place, &words);
        terminal.wait_for("ready");
        terminal.press(keys);
        terminal.wait_for(status);
        terminal.press("\n");
        let (_, seen) = terminal.ended();
        assert!(
            seen.contains("continued") && seen.contains("ended 6"),
            "{seen}"
        );
    }
}

#[test]
fn the_address_of_the_inspector_is_shown_to_a_person_and_not_logged() {
    let place = configured("");
    let options = ["--inspect", "--admin", "127.0.0.1:0", "--log-file", "log"];
    let words = run(
        &options,
        "curl -sS --fail -o /dev/null $APIG_PROXY_URL/x; echo started",
    );
    let (code, seen) = Terminal::start(&place, &words).ended();
    let (before, _) = seen.split_once("started").unwrap();
    let (_, token) = before.split_once("/inspect/#t=").unwrap();
    let token = token.lines().next().unwrap();
    let log = std::fs::read_to_string(place.path().join("log")).unwrap();
    assert_eq!((code, seen.matches("/inspect/").count()), (0, 1), "{seen}");
    assert!(
        token.len() == 64 && !log.contains(token) && log.contains("inspector"),
        "{log}"
    );
}

#[test]
fn a_run_says_on_a_terminal_what_it_does_not_prevent() {
    let place = configured("");
    place.file("credentials.csv", "x");
    let words = run(&["--keep", "HUAWEICLOUD_SDK_SK"], "echo started");
    let (code, seen) = Terminal::start(&place, &words).ended();
    let (before, _) = seen.split_once("started").unwrap();
    assert_eq!(code, 0, "{seen}");
    assert_eq!(before.matches("apig-proxy: ").count(), 2, "{seen}");
    assert!(
        before.contains("not a sandbox") && before.contains("credentials.csv"),
        "{seen}"
    );
    assert!(before.contains("`HUAWEICLOUD_SDK_SK` is kept"), "{seen}");
}
