//! The program, with an environment of its own.

use std::fs::{self, Permissions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_apig-proxy");

/// Where no service is.
pub(crate) const NOBODY: &str = "http://127.0.0.1:1";

pub(crate) const AK: &str = "AKTEST0000000000TEST";
pub(crate) const SECRET: &str = "SKTEST0123456789012345678901234567890123";

/// A key in the environment, which the gateways of the tests accept.
pub(crate) const KEY: [(&str, &str); 2] =
    [("HUAWEICLOUD_SDK_AK", AK), ("HUAWEICLOUD_SDK_SK", SECRET)];

/// The same key as a file.
pub(crate) fn key_file(place: &Place, name: &str, secret: &str) {
    let csv = format!("User Name,Access Key Id,Secret Access Key\nx,{AK},{secret}\n");
    place.file(name, &csv);
}

/// Arguments for a free port, and an upstream that cannot be reached.
pub(crate) const SERVE: [&str; 4] = [
    "--upstream",
    "https://127.0.0.1:1",
    "--listen",
    "127.0.0.1:0",
];

pub(crate) const GET: &str = "GET /v1/x HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A request that the proxy refuses without asking anybody.
pub(crate) const PATCH: &str = "PATCH / HTTP/1.1\r\nHost: localhost\r\n\r\n";

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
        let mut command = self.other_command(&[BINARY], environment);
        command.args(arguments);
        command
    }

    /// Another program, which may start this one.
    pub(crate) fn other_command(&self, words: &[&str], environment: &[(&str, &str)]) -> Command {
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .current_dir(self.path())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.path())
            // Tests run side by side, and the usual port can be had once.
            .env("APIG_PROXY_ADMIN", "off")
            // Without a key the metadata service is asked, and tests ask nobody outside.
            .env("APIG_PROXY_CREDENTIALS__METADATA_ENDPOINT", NOBODY)
            .envs(environment.iter().copied())
            .stdin(Stdio::null());
        command
    }

    /// Runs the program to its end: exit code, standard output, standard error.
    pub(crate) fn run(
        &self,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> (i32, String, String) {
        let mut command = self.command(arguments, environment);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        finish(command)
    }

    /// Runs the program, which ends with this exit code and a message with each of the fragments: standard error.
    #[track_caller]
    pub(crate) fn fails(
        &self,
        arguments: &[&str],
        environment: &[(&str, &str)],
        exit_code: i32,
        fragments: &[&str],
    ) -> String {
        let (code, out, said) = self.run(arguments, environment);
        assert_eq!((code, &*out), (exit_code, ""), "{arguments:?}: {said}");
        assert_has(&said, fragments);
        said
    }
}

#[track_caller]
pub(crate) fn assert_has(text: &str, fragments: &[&str]) {
    for fragment in fragments {
        assert!(text.contains(fragment), "{fragment:?} is not in: {text}");
    }
}

/// Who may do what with a file.
pub(crate) fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// Checks the status of an answer.
#[track_caller]
pub(crate) fn assert_status(answer: &str, status: u16) {
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status} ")),
        "{answer}"
    );
}

/// Runs a command to its end, which must come: exit code, and standard output and error where those are piped.
pub(crate) fn finish(mut command: Command) -> (i32, String, String) {
    let child = command.spawn().unwrap();
    let _limit = kill_after(Duration::from_secs(60), child.id());
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (exit_code(status), text(stdout), text(stderr))
}

pub(crate) fn exit_code(status: ExitStatus) -> i32 {
    status.code().expect("it did not end by itself")
}

/// Kills a process that still runs after a while, so that one that hangs fails the test. Dropping what is
/// returned calls it off.
pub(crate) fn kill_after(limit: Duration, process: u32) -> mpsc::Sender<()> {
    let (ended, told) = mpsc::channel::<()>();
    thread::spawn(move || {
        if told.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
            signal(process, "KILL");
        }
    });
    ended
}

/// Waits for what another process does, about which nothing else tells.
#[track_caller]
pub(crate) fn wait_until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..2000 {
        if holds() {
            return;
        }
        pause(Duration::from_millis(10));
    }
    panic!("it did not come about: {what}");
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

    /// What it prints, from now on.
    pub(crate) fn output(&mut self) -> BufReader<std::process::ChildStdout> {
        BufReader::new(self.child.stdout.take().unwrap())
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

    /// Ends the program with SIGTERM, in good order: all that it logged and printed.
    #[track_caller]
    pub(crate) fn stops(self) -> String {
        signal(self.id(), "TERM");
        self.ends(0)
    }

    /// Waits for the end with this exit code, which somebody else has asked for: all that was logged and printed.
    #[track_caller]
    pub(crate) fn ends(mut self, expected: i32) -> String {
        let mut said = std::mem::take(&mut self.logged);
        self.log.read_to_string(&mut said).unwrap();
        if let Some(mut printed) = self.child.stdout.take() {
            printed.read_to_string(&mut said).unwrap();
        }
        assert_eq!(exit_code(self.child.wait().unwrap()), expected, "{said}");
        said
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
    try_exchange(address, request).unwrap()
}

pub(crate) fn try_exchange(address: SocketAddr, request: &str) -> io::Result<String> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    exchange_over(stream, request)
}

/// Sends one request over a unix socket, and reads the answer to its end.
pub(crate) fn exchange_unix(path: &Path, request: &str) -> io::Result<String> {
    let stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    exchange_over(stream, request)
}

fn exchange_over(mut stream: impl Read + Write, request: &str) -> io::Result<String> {
    let request = request.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Waits for another process, about which nothing else tells.
#[expect(clippy::disallowed_methods, reason = "no runtime is held up by it")]
pub(crate) fn pause(time: Duration) {
    thread::sleep(time);
}

/// An address of its own that nobody has, for a program that cannot say which one it has got.
pub(crate) fn free_address() -> SocketAddr {
    static CALLS: AtomicU8 = AtomicU8::new(77);
    let [.., high, low] = std::process::id().to_be_bytes();
    let ip = Ipv4Addr::new(127, CALLS.fetch_add(1, Ordering::Relaxed), high, low);
    TcpListener::bind((ip, 0)).unwrap().local_addr().unwrap()
}
