//! The gateway's lock of a key that fails, which has to be kept away without slowing down a good one.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use apig_proxy::emulator::{Accounts, Clock, Emulator};

use crate::support::{Proxy, Scene, Upstream, answer, config, get, key, pause};

const GET: &str = "GET /next HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A gateway that locks keys, on threads of its own.
fn locking_gateway() -> (
    Upstream,
    std::net::SocketAddr,
    rustls::pki_types::CertificateDer<'static>,
    Arc<apig_proxy::emulator::Counts>,
) {
    let address = "127.0.0.1:0".parse().unwrap();
    let accounts = Accounts {
        keys: vec![key()],
        ..Accounts::default()
    };
    let emulator = Emulator::bind(address, accounts, Clock::machine()).unwrap();
    let (address, root, counts) = (emulator.address(), emulator.root(), emulator.counts());
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime
            .unwrap()
            .block_on(emulator.serve(std::future::pending()))
            .unwrap();
    });
    (Upstream::start(), address, root, counts)
}

#[test]
fn a_key_is_never_locked_by_a_thousand_requests_with_a_wrong_secret() {
    let (unused, address, root, counts) = locking_gateway();
    let mut config = config(&unused);
    config.routes[0].upstream.port = address.port();
    config.routes[0].upstream.authority = address.to_string().parse().unwrap();
    config.upstream_tls.extra_roots = vec![root];
    let mut wrong = key();
    wrong.secret_key = "not the one".into();
    let proxy = Proxy::start_with(&config, &wrong);
    let callers: Vec<_> = (0..20)
        .map(|_| {
            let mut client = proxy.client();
            thread::spawn(move || {
                let mut statuses = Vec::new();
                for _ in 0..50 {
                    let answer = client.send(GET).answer();
                    if answer.status == 503 {
                        assert_eq!(answer.code(), "key_locked");
                        let after: u64 = answer.header("retry-after").parse().unwrap();
                        assert!((1..=60).contains(&after), "{after}");
                    }
                    statuses.push(answer.status);
                }
                statuses
            })
        })
        .collect();
    let statuses: Vec<u16> = callers
        .into_iter()
        .flat_map(|caller| caller.join().unwrap())
        .collect();
    assert_eq!(statuses.len(), 1000);
    let reached = counts.requests.load(Ordering::Relaxed);
    assert_eq!(
        statuses.iter().filter(|status| **status == 401).count() as u64,
        reached
    );
    assert!((1..=3).contains(&reached), "{reached} reached the gateway");
    // Nobody else who uses the key has noticed.
    let proxy = Proxy::start_with(&config, &key());
    assert_eq!(proxy.exchange(GET).status, 200);
}

#[test]
fn a_key_that_is_good_is_not_held_back_by_slow_first_answers() {
    let scene = Scene::before(Upstream::scripted(|seen, out| {
        if seen.target() == "/slow" {
            pause(Duration::from_millis(4500));
        }
        out.write_all(answer("200 OK", "", "ok").as_bytes())
    }));
    let slow = get("/slow");
    let mut clients: Vec<_> = (0..3).map(|_| scene.client()).collect();
    for client in &mut clients {
        client.send(&slow);
    }
    pause(Duration::from_millis(200));
    // Three are under way, and nothing is known of the key: this one waits, but not for them.
    assert_eq!(scene.proxy.exchange(GET).status, 200);
    assert!(scene.upstream.requests().len() == 4);
    for client in &mut clients {
        assert_eq!(client.answer().status, 200);
    }
}
