//! The program, with an environment of its own.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_apig-proxy");

/// Where no service is.
pub(crate) const NOBODY: &str = "http://127.0.0.1:1";

/// A folder in which the program runs, without variables but those of the test.
pub(crate) struct Place(TempDir);

impl Place {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Writes a file that only its owner can read.
    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        self.file_with_mode(name, content, 0o600)
    }

    pub(crate) fn file_with_mode(&self, name: &str, content: &str, mode: u32) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        path
    }

    pub(crate) fn command(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Command {
        let mut command = Command::new(BINARY);
        command
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            // Tests run side by side, and the usual port can be had once.
            .env("APIG_PROXY_ADMIN", "off")
            // Without a key the metadata service is asked, and tests ask nobody outside.
            .env("APIG_PROXY_CREDENTIALS__METADATA_ENDPOINT", NOBODY)
            .envs(environment.iter().copied());
        command.env("HOME", self.path()).stdin(Stdio::null());
        command
    }

    /// Runs the program to its end: exit code, standard output, standard error.
    pub(crate) fn run(
        &self,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> (i32, String, String) {
        let Output {
            status,
            stdout,
            stderr,
        } = self.command(arguments, environment).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }
}

/// The program while it runs. It is killed when dropped.
pub(crate) struct Running {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
    /// What was logged so far.
    pub(crate) logged: String,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        Self::started(command)
    }

    /// Starts a program whose standard error is piped; where its output goes is its own affair.
    pub(crate) fn started(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        Self {
            child,
            log,
            logged: String::new(),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Reads the log up to the line that says where the proxy listens.
    pub(crate) fn address(&mut self) -> SocketAddr {
        self.address_after("listening on http://")
    }

    /// Reads the log up to the line that says where health and metrics are served.
    pub(crate) fn admin_address(&mut self) -> SocketAddr {
        self.address_after("health and metrics on http://")
    }

    fn address_after(&mut self, what: &str) -> SocketAddr {
        let line = self.line_with(what);
        let (_, rest) = line.split_once(what).unwrap();
        // In JSON, a quote ends it.
        let address = rest.split([' ', '"', '\n']).next();
        address.unwrap().parse().unwrap()
    }

    /// Reads the log up to the next line with these words.
    pub(crate) fn line_with(&mut self, words: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(
                self.log.read_line(&mut line).unwrap() > 0,
                "it ended: {}",
                self.logged
            );
            self.logged.push_str(&line);
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Ends the program with SIGTERM: its exit code, and all that it logged and printed.
    pub(crate) fn stop(self) -> (i32, String) {
        signal(self.id(), "TERM");
        self.ended()
    }

    /// Waits for the end, which somebody else has asked for: the exit code, and all that was logged and
    /// printed.
    pub(crate) fn ended(mut self) -> (i32, String) {
        let mut said = std::mem::take(&mut self.logged);
        self.log.read_to_string(&mut said).unwrap();
        if let Some(mut printed) = self.child.stdout.take() {
            printed.read_to_string(&mut said).unwrap();
        }
        (self.child.wait().unwrap().code().unwrap(), said)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal.
pub(crate) fn signal(process: u32, name: &str) {
    let arguments = ["-s", name, &process.to_string()];
    let sent = Command::new("kill").args(arguments).status().unwrap();
    assert!(sent.success());
}

/// Sends one request and reads the answer to its end.
pub(crate) fn exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream
        .write_all(
            request
                .replacen("\r\n", "\r\nConnection: close\r\n", 1)
                .as_bytes(),
        )
        .unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Waits for another process, about which nothing else tells.
#[expect(clippy::disallowed_methods, reason = "no runtime is held up by it")]
pub(crate) fn pause(time: Duration) {
    std::thread::sleep(time);
}
