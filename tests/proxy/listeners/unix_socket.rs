//! Callers over a unix socket.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use apig_proxy::config::{Config, Listen};
use tempfile::TempDir;

use crate::support::{Client, Scene, Upstream, get};

/// A unix socket of the proxy, in a folder of its own.
struct UnixScene {
    path: PathBuf,
    scene: Scene,
    _folder: TempDir,
}

impl UnixScene {
    fn new(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("proxy.sock");
        let scene = Scene::with(Upstream::start(), |config| {
            config.listen.push(Listen::Unix(path.clone()));
            change(config);
        });
        Self {
            path,
            scene,
            _folder: folder,
        }
    }

    fn client(&self) -> Client<UnixStream> {
        Client::over(UnixStream::connect(&self.path).unwrap())
    }
}

#[test]
fn a_unix_socket_has_mode_0600_and_is_removed_at_shutdown() {
    let unix = UnixScene::new(|_| {});
    let mode = unix.path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    for _ in 0..2 {
        unix.client().get("/").assert_status(200);
    }
    assert_eq!(unix.scene.upstream.requests().len(), 2);
    unix.scene.serves();
    drop(unix.scene);
    assert!(!unix.path.exists());
}

#[test]
fn fault_02_over_a_unix_socket_any_host_is_allowed_but_no_web_page() {
    let unix = UnixScene::new(|_| {});
    let ask = |fields: &str| {
        let request = format!("GET / HTTP/1.1\r\n{fields}\r\n\r\n");
        unix.client().send(request).answer()
    };
    let hosts = ["localhost", "evil.example", "", "%2Frun%2Fproxy.sock"];
    for host in hosts {
        let answer = ask(&format!("Host: {host}"));
        answer.about(host).assert_status(200);
    }
    for (fields, status, code) in [
        ("Accept: */*", 400, "bad_host"),
        ("Host: a\r\nHost: a", 400, "bad_host"),
        ("Host: a\r\nOrigin: http://evil", 403, "origin_not_allowed"),
        ("Host: a\r\nSec-Fetch-Site: none", 403, "origin_not_allowed"),
    ] {
        ask(fields).about(fields).assert_refused(status, code);
    }
    assert_eq!(unix.scene.upstream.requests().len(), hosts.len());
    unix.scene.serves();
}

#[test]
fn a_unix_socket_can_be_limited_to_some_users() {
    let own = fs::metadata("/proc/self").unwrap().uid();
    for (allowed, is_served) in [(own, true), (own + 1, false)] {
        let unix = UnixScene::new(|config| {
            config.unix_socket.allowed_uids = vec![allowed];
            config.unix_socket.mode = 0o666;
        });
        let mut client = unix.client();
        // The proxy may have closed the connection already.
        let _ = client.try_send(get("/"));
        let answer = client.try_answer(false);
        assert_eq!(answer.is_ok_and(|answer| answer.status == 200), is_served);
        let arrived = unix.scene.upstream.requests().len();
        assert_eq!(arrived, usize::from(is_served));
        unix.scene.serves();
    }
}
