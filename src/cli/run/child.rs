//! The program that `run` starts: its signals, its end, and what else ends.
//!
//! The program stays in the process group and on the terminal of the proxy, so that the shell's job
//! control and full-screen programs work as without the proxy. What the terminal sends (Ctrl-C)
//! reaches both, so only signals from elsewhere are passed on.
//!
//! Children are waited for here and not by `tokio::process`: as the first process of a container,
//! the proxy also has to reap processes that it did not start.

use std::fs::{self, File};
use std::future::poll_fn;
use std::io;
use std::process::Command;
use std::task::Poll;
use std::time::Duration;

use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, getpgrp, getpid, kill_process, wait, waitid,
};
use rustix::termios::tcgetpgrp;
use tokio::signal::unix::{self, SignalKind, signal};
use tokio::time::{Instant, sleep};

/// How long the processes of a group may take to be continued one after the other.
const SETTLING_TIME: Duration = Duration::from_millis(20);

/// SIGTERM within this time is the same: `timeout` sends it to the process and to its group.
const ONE_REQUEST: Duration = Duration::from_millis(500);

const PASSED_ON: [Signal; 6] = [
    Signal::HUP,
    Signal::TERM,
    Signal::USR1,
    Signal::USR2,
    Signal::INT,
    Signal::QUIT,
];

/// Receives signals in place of their default effect.
pub(super) struct Signals {
    passed_on: Vec<(Signal, unix::Signal)>,
    /// SIGCHLD.
    child: unix::Signal,
}

impl Signals {
    /// Receives signals from now on. Those that were ignored at the start (`nohup`, jobs in the
    /// background) stay ignored, here and in the program.
    pub(super) fn new() -> io::Result<Self> {
        let ignored = ignored_signals();
        let mut passed_on = Vec::new();
        for sent in PASSED_ON {
            if ignored & (1 << (sent.as_raw() - 1)) == 0 {
                let kind = SignalKind::from_raw(sent.as_raw());
                passed_on.push((sent, signal(kind)?));
            }
        }
        let child = signal(SignalKind::child())?;
        Ok(Self { passed_on, child })
    }

    /// Waits for a signal that asks to end, while no program runs: the exit code that it means.
    pub(super) async fn stop(&mut self) -> u8 {
        loop {
            let sent = next(&mut self.passed_on).await;
            if ![Signal::USR1, Signal::USR2].contains(&sent) {
                return u8::try_from(128 + sent.as_raw()).unwrap_or(u8::MAX);
            }
        }
    }
}

async fn next(passed_on: &mut [(Signal, unix::Signal)]) -> Signal {
    poll_fn(|context| {
        for (sent, received) in &mut *passed_on {
            if received.poll_recv(context).is_ready() {
                return Poll::Ready(*sent);
            }
        }
        Poll::Pending
    })
    .await
}

/// A program that was started.
pub(super) struct Child(Pid);

impl Child {
    /// Starts a program.
    ///
    /// # Errors
    ///
    /// The exit code that shells use for it, and why it cannot be started.
    pub(super) fn start(mut command: Command) -> Result<Self, (u8, io::Error)> {
        match command.spawn() {
            Ok(child) => Ok(Self(Pid::from_child(&child))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err((127, error)),
            Err(error) => Err((126, error)),
        }
    }

    /// Waits for the end of the program, and passes signals on: its exit code.
    ///
    /// SIGTERM is passed on once, and the second one kills. SIGHUP never kills: on a terminal that
    /// is closed it comes from the shell and from the kernel.
    pub(super) async fn ended(&self, signals: &mut Signals) -> u8 {
        let mut terminated_at = None;
        loop {
            if let Some(code) = self.poll_ended() {
                return code;
            }
            self.stop_with_program().await;
            let sent = tokio::select! {
                _ = signals.child.recv() => continue,
                sent = next(&mut signals.passed_on) => sent,
            };
            // The terminal has sent it to the program too.
            if matches!(sent, Signal::INT | Signal::QUIT) && is_in_foreground() {
                continue;
            }
            let is_second = sent == Signal::TERM
                && terminated_at.get_or_insert_with(Instant::now).elapsed() > ONE_REQUEST;
            self.signal(if is_second { Signal::KILL } else { sent });
        }
    }

    /// Reaps what has ended: the exit code, if the program is among it.
    fn poll_ended(&self) -> Option<u8> {
        // An error says that there are no children.
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if pid == self.0 {
                let killed = status.terminating_signal().map(|signal| 128 + signal);
                let code = killed.or_else(|| status.exit_status()).unwrap_or(1);
                return Some(u8::try_from(code).unwrap_or(u8::MAX));
            }
        }
        None
    }

    /// Stops the proxy with a program that stopped itself for the terminal (Ctrl-Z in `less`), so
    /// that the shell gets the terminal back. Elsewhere no shell would continue the proxy.
    async fn stop_with_program(&self) {
        if !self.is_stopped() || !is_in_foreground() {
            return;
        }
        // The shell may be continuing both right now, one after the other.
        sleep(SETTLING_TIME).await;
        if self.is_stopped() {
            // It returns when the shell continues this process.
            let _ = kill_process(getpid(), Signal::STOP);
            self.signal(Signal::CONT);
        }
    }

    /// True if the program was stopped for the terminal; a debugger stops it with SIGSTOP.
    fn is_stopped(&self) -> bool {
        let by_terminal = [Signal::TSTP, Signal::TTIN, Signal::TTOU].map(Signal::as_raw);
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let status = waitid(WaitId::Pid(self.0), options).ok().flatten();
        let stopped_by = status.and_then(|status| status.stopping_signal());
        stopped_by.is_some_and(|signal| by_terminal.contains(&signal))
    }

    /// The program is not reaped yet, so that no other process can have its number.
    fn signal(&self, signal: Signal) {
        let _ = kill_process(self.0, signal);
    }
}

/// True if the terminal sends its signals to this process group, and so to the program too.
fn is_in_foreground() -> bool {
    let terminal = File::open("/dev/tty");
    terminal.is_ok_and(|terminal| tcgetpgrp(terminal).is_ok_and(|group| group == getpgrp()))
}

/// The signals that this process ignores, a bit for each; none where the system does not tell.
fn ignored_signals() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or_default()
}
