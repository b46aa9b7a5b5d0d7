//! The gateway's lock of a key that fails, which has to be kept away without slowing down a good one.

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use apig_proxy::emulator::Accounts;

use crate::credentials::Region;
use crate::support::{Proxy, Scene, Upstream, get, key, ok, pause};

#[test]
fn a_key_is_never_locked_by_a_thousand_requests_with_a_wrong_secret() {
    let region = Region::new(Accounts {
        keys: vec![key()],
        ..Accounts::default()
    });
    let config = region.config("upstream = \"UPSTREAM\"\n");
    let mut wrong = key();
    wrong.secret_key = "not the one".into();
    let proxy = Proxy::start_with(&config, &wrong);
    let callers: Vec<_> = (0..20)
        .map(|_| {
            let mut client = proxy.client();
            thread::spawn(move || {
                let mut statuses = Vec::new();
                for _ in 0..50 {
                    let answer = client.get("/next");
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
    let reached = region.counts.requests.load(Ordering::Relaxed);
    assert_eq!(
        statuses.iter().filter(|status| **status == 401).count() as u64,
        reached
    );
    assert!((1..=3).contains(&reached), "{reached} reached the gateway");
    // Nobody else who uses the key has noticed.
    let proxy = Proxy::start_with(&config, &key());
    proxy.passes(get("/next"));
}

#[test]
fn a_key_that_is_good_is_not_held_back_by_slow_first_answers() {
    let scene = Scene::before(Upstream::replying(|seen| {
        if seen.target() == "/slow" {
            pause(Duration::from_millis(4500));
        }
        ok("ok")
    }));
    let slow = get("/slow");
    let mut clients: Vec<_> = (0..3).map(|_| scene.client()).collect();
    for client in &mut clients {
        client.send(&slow);
    }
    pause(Duration::from_millis(200));
    // Three are under way, and nothing is known of the key: this one waits, but not for them.
    scene.passes(get("/next"));
    assert!(scene.upstream.requests().len() == 4);
    for client in &mut clients {
        client.answer().assert_status(200);
    }
}
