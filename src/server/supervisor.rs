//! Notifications for the program that supervises this one, by the protocol of systemd's `sd_notify`: ready,
//! reloading, stopping, and the watchdog's pings.
//!
//! The words are those of the crate `sd-notify`; the socket is our own. The crate reads the environment
//! anew for each message, which only [`crate::config`] does here, and opens a socket for each: when no
//! descriptors are left, the watchdog would fire at a proxy that goes on well with what it has.
//!
//! # What can go wrong
//!
//! The supervisor may take nothing, or be gone. Nothing here waits for it, and nothing fails with it.

use std::ffi::OsStr;
use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;

use super::watchdog::Heartbeats;
use crate::config::Environment;

/// Who supervises this process, if anybody does. Clones speak to the same one.
#[derive(Clone, Debug, Default)]
pub struct Supervisor(Option<Arc<Told>>);

#[derive(Debug)]
struct Told {
    socket: UnixDatagram,
    /// How long the supervisor waits for a sign of life.
    patience: Option<Duration>,
}

/// Why the supervisor cannot be told anything.
#[derive(Debug, thiserror::Error)]
#[error(
    "the socket of NOTIFY_SOCKET cannot be used: {0}; unset it, or start the program by what listens there"
)]
pub struct SupervisorError(#[from] io::Error);

impl Supervisor {
    /// The one that the environment names: `NOTIFY_SOCKET`, and `WATCHDOG_USEC` unless `WATCHDOG_PID` is
    /// another process.
    ///
    /// # Errors
    ///
    /// A [`SupervisorError`] if there is one, but it cannot be told anything.
    pub fn of(environment: &Environment) -> Result<Self, SupervisorError> {
        let Some(path) = environment.get("NOTIFY_SOCKET") else {
            return Ok(Self::default());
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address(path)?)?;
        socket.set_nonblocking(true)?;
        Ok(Self(Some(Arc::new(Told {
            socket,
            patience: patience(environment),
        }))))
    }

    /// Says that requests are served: after the start, and after a reload.
    pub fn ready(&self, status: &str) {
        self.tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// Says that the configuration is read again; [`Self::ready`] ends that, also when it has failed.
    pub fn reloading(&self) {
        // Without the time, the supervisor could take an older message for the answer to its signal.
        if let Ok(now) = NotifyState::monotonic_usec_now() {
            self.tell(&[NotifyState::Reloading, now]);
        }
    }

    /// Says that the process ends once running requests are finished.
    pub fn stopping(&self) {
        let status = "stopping: running requests are finished";
        self.tell(&[NotifyState::Stopping, NotifyState::Status(status)]);
    }

    /// Pings the watchdog twice as often as required, as long as all workers answer; for ever.
    pub(super) async fn watch(self, heartbeats: Heartbeats) {
        let patience = self.0.as_ref().and_then(|told| told.patience);
        let Some(patience) = patience else {
            return std::future::pending().await;
        };
        let mut is_well = true;
        loop {
            let was_well = std::mem::replace(&mut is_well, heartbeats.all_answered());
            if is_well {
                self.tell(&[NotifyState::Watchdog]);
            } else if was_well {
                tracing::error!(
                    "a worker does not answer; the supervisor is given no sign of life, so that it restarts the proxy"
                );
            }
            tokio::time::sleep(patience / 2).await;
        }
    }

    fn tell(&self, states: &[NotifyState<'_>]) {
        let Some(told) = &self.0 else { return };
        let lines: String = states.iter().map(|state| format!("{state}\n")).collect();
        if let Err(error) = told.socket.send(lines.as_bytes()) {
            tracing::debug!(%error, "the supervisor could not be told");
        }
    }
}

/// The address of a socket; a leading `@` stands for one without a file.
fn address(path: &OsStr) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = path.as_encoded_bytes().strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt;
        return SocketAddr::from_abstract_name(name);
    }
    SocketAddr::from_pathname(path)
}

/// How long the supervisor waits for a sign of life of this process.
fn patience(environment: &Environment) -> Option<Duration> {
    let number = |name| environment.text(name)?.parse::<u64>().ok();
    let is_meant = match environment.get("WATCHDOG_PID") {
        Some(_) => number("WATCHDOG_PID") == Some(u64::from(std::process::id())),
        None => true,
    };
    let patience = number("WATCHDOG_USEC").filter(|micros| *micros > 0 && is_meant);
    patience.map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    /// A supervisor of the test's own, and the one that is told.
    fn supervised(more: &[(&str, &str)]) -> (TempDir, UnixDatagram, Supervisor) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_nonblocking(true).unwrap();
        let pairs = [("NOTIFY_SOCKET", path.to_str().unwrap())];
        let pairs = pairs.into_iter().chain(more.iter().copied());
        let told = Supervisor::of(&Environment::from_pairs(pairs)).unwrap();
        (folder, socket, told)
    }

    fn heard(socket: &UnixDatagram) -> Vec<String> {
        let mut buffer = [0; 1024];
        let next = || {
            let length = socket.recv(&mut buffer).ok()?;
            Some(String::from_utf8(buffer[..length].to_vec()).unwrap())
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn a_supervisor_is_told_in_the_words_of_systemd_and_nobody_else_anything() {
        let (_folder, socket, supervisor) = supervised(&[]);
        supervisor.ready("serving");
        supervisor.stopping();
        supervisor.reloading();
        let heard = heard(&socket);
        assert_eq!(heard[0], "READY=1\nSTATUS=serving\n");
        assert!(heard[1].starts_with("STOPPING=1\nSTATUS=stopping"));
        let time = heard[2].strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
        assert!(time.unwrap().trim().parse::<u64>().unwrap() > 0);
        let nobody = Supervisor::of(&Environment::default()).unwrap();
        nobody.ready("serving");
        drop(socket);
        supervisor.ready("to nobody");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_socket_without_a_file_can_be_told_too() {
        use std::os::linux::net::SocketAddrExt;
        let name = format!("apig-proxy-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        socket.set_nonblocking(true).unwrap();
        let path = format!("@{name}");
        let environment = Environment::from_pairs([("NOTIFY_SOCKET", path.as_str())]);
        Supervisor::of(&environment).unwrap().ready("serving");
        assert_eq!(heard(&socket), ["READY=1\nSTATUS=serving\n"]);
    }

    #[test]
    fn the_watchdog_of_another_process_is_none_of_ours() {
        let own = std::process::id().to_string();
        for (pid, usec, expected) in [
            (own.as_str(), "2000000", Some(Duration::from_secs(2))),
            ("", "2000000", Some(Duration::from_secs(2))),
            ("1", "2000000", None),
            ("x", "2000000", None),
            (own.as_str(), "0", None),
            (own.as_str(), "soon", None),
            (own.as_str(), "", None),
        ] {
            let pairs = [("WATCHDOG_PID", pid), ("WATCHDOG_USEC", usec)];
            assert_eq!(
                patience(&Environment::from_pairs(pairs)),
                expected,
                "{pid} {usec}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_worker_that_hangs_lets_the_watchdog_fire() {
        let (_folder, socket, supervisor) = supervised(&[("WATCHDOG_USEC", "2000000")]);
        let mut heartbeats = Heartbeats::new();
        let (first, second) = (heartbeats.add_worker(), heartbeats.add_worker());
        let (first, second) = (tokio::spawn(first.answer()), tokio::spawn(second.answer()));
        let watching = tokio::spawn(supervisor.watch(heartbeats.clone()));
        tokio::time::sleep(Duration::from_millis(10_500)).await;
        let signs = heard(&socket);
        assert!(
            signs.len() == 11 && signs.iter().all(|sign| sign == "WATCHDOG=1\n"),
            "{signs:?}"
        );
        // One more worker, which never answers.
        watching.abort();
        let _hangs = heartbeats.add_worker();
        let (_folder, socket, supervisor) = supervised(&[("WATCHDOG_USEC", "2000000")]);
        let watching = tokio::spawn(supervisor.watch(heartbeats));
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(heard(&socket), [""; 0]);
        for task in [first, second, watching] {
            task.abort();
        }
    }
}
