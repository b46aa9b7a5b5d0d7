//! The program itself, as a process of its own whose log is read.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use secrecy::ExposeSecret;
use serde_json::Value;
use tempfile::TempDir;

use super::{Client, Upstream, key, root_pem, wait_until};

/// A running program. It is killed when dropped.
pub(crate) struct Program {
    child: Child,
    pub(crate) address: SocketAddr,
    lines: Arc<Mutex<Vec<String>>>,
    _folder: TempDir,
}

impl Program {
    /// Starts it before an upstream, with these tables of the configuration besides.
    pub(crate) fn before(upstream: &Upstream, more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), root_pem()).unwrap();
        let config = format!(
            "upstream = \"https://{}\"\nlisten = \"127.0.0.1:0\"\nadmin = \"off\"\n\
             [upstream_tls]\nca_file = \"ca.pem\"\n{more}\n\
             [[route]]\npath = \"/down\"\nupstream = \"https://127.0.0.1:1\"\n",
            upstream.address
        );
        std::fs::write(folder.path().join("apig-proxy.toml"), config).unwrap();
        let key = key();
        let secret = key.secret_key.expose_secret();
        let mut command = Command::new(env!("CARGO_BIN_EXE_apig-proxy"));
        command.current_dir(folder.path()).env_clear();
        command
            .env("HUAWEICLOUD_SDK_AK", &key.access_key)
            .env("HUAWEICLOUD_SDK_SK", secret);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = Arc::clone(&lines);
        thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        let mut program = Self {
            child,
            address: ([127, 0, 0, 1], 0).into(),
            lines,
            _folder: folder,
        };
        wait_until("it listens", || {
            let lines = program.lines.lock().unwrap();
            let listening = |line: &String| {
                let (_, rest) = line.split_once("listening on http://")?;
                rest.split([' ', '"']).next()?.parse().ok()
            };
            let address = lines.iter().find_map(listening);
            program.address = address.unwrap_or(program.address);
            address.is_some()
        });
        program
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// The most memory that it has had, in KiB.
    pub(crate) fn peak_memory(&self) -> usize {
        let status = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        line.unwrap().trim_end_matches("kB").trim().parse().unwrap()
    }

    /// The lines of records, once there are so many.
    pub(crate) fn records(&self, count: usize) -> Vec<String> {
        let mut found = Vec::new();
        wait_until("the records are there", || {
            let lines = self.lines.lock().unwrap();
            let is_record =
                |line: &&String| line.contains(" B ") || line.contains("\"message\":\"access\"");
            found = lines.iter().filter(is_record).cloned().collect();
            found.len() >= count
        });
        found
    }

    /// The only line of JSON that contains a text.
    pub(crate) fn line_with(&self, text: &str) -> Value {
        let lines = self.lines.lock().unwrap();
        let found = lines.iter().filter(|line| line.contains(text));
        let [line] = found.collect::<Vec<_>>()[..] else {
            panic!("{text} in {lines:#?}")
        };
        serde_json::from_str(line).expect(line)
    }

    /// The last of so many records.
    pub(crate) fn record(&self, count: usize) -> Value {
        let lines = self.records(count);
        assert_eq!(lines.len(), count, "{lines:#?}");
        serde_json::from_str(&lines[count - 1]).expect(&lines[count - 1])
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
