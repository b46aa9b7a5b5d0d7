//! Names that do not resolve and addresses that cannot be reached: numbers 34 to 38 and 78.

use std::net::{Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{
    Addresses, BlackHole, NAME, Proxy, Upstream, config, get, network, ok, pause, refusing,
    route_by_name, wait_until,
};

const POST: &str = "POST /p HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}";

/// A proxy whose upstream resolves to the current content of `addresses`.
fn proxy(upstream: &Upstream, addresses: &Arc<Mutex<Vec<SocketAddr>>>) -> Proxy {
    let mut config = config(upstream);
    config.routes = vec![route_by_name(upstream.address.port())];
    config.timeouts.connect = Duration::from_secs(3);
    config.pool.age = Duration::from_millis(400);
    let addresses = Arc::clone(addresses);
    let network = network(move |host| {
        assert_eq!(host, NAME);
        Addresses::Are(addresses.lock().unwrap().clone())
    });
    Proxy::start_in(network, &config)
}

#[test]
fn fault_34_a_gateway_that_refuses_connections_is_unreachable_after_all_addresses_were_tried() {
    let upstream = Upstream::start();
    let dead = vec![refusing(), "[::1]:1".parse().unwrap()];
    let addresses = Arc::new(Mutex::new(dead));
    let proxy = proxy(&upstream, &addresses);
    for request in [&*get("/next"), POST] {
        let answer = proxy.exchange(request);
        answer.assert_refused(502, "upstream_unreachable");
        answer.assert_hides("127.0.0.1");
    }
    assert_eq!(upstream.connections(), 0);
    addresses.lock().unwrap().push(upstream.address);
    proxy.passes(get("/next"));
    upstream.only_request().verified();
}

#[test]
fn fault_78_the_first_request_after_an_interruption_is_served() {
    let upstream = Upstream::handling(|link| {
        link.request()?;
        link.send(ok("ok"))
    });
    let addresses = Arc::new(Mutex::new(vec![upstream.address]));
    let proxy = proxy(&upstream, &addresses);
    let mut client = proxy.client();
    for round in 1..=3 {
        client.get("/next").assert_status(200);
        upstream.wait_for_end_of(round);
        let there = std::mem::replace(&mut *addresses.lock().unwrap(), vec![refusing()]);
        client
            .get("/next")
            .assert_refused(502, "upstream_unreachable");
        *addresses.lock().unwrap() = there;
    }
    client.get("/next").assert_status(200);
    assert_eq!(upstream.requests().len(), 4);
}

#[test]
fn fault_35_a_gateway_that_drops_packets_times_out() {
    let (upstream, hole) = (Upstream::start(), BlackHole::new());
    let addresses = Arc::new(Mutex::new(vec![hole.address]));
    let proxy = proxy(&upstream, &addresses);
    for request in [&*get("/next"), POST] {
        let answer = proxy.exchange(request);
        answer.assert_refused(504, "connect_timeout");
    }
    *addresses.lock().unwrap() = vec![upstream.address];
    proxy.passes(get("/next"));
    upstream.only_request().verified();
}

#[test]
fn fault_36_a_name_without_an_address_is_an_error_of_dns() {
    let upstream = Upstream::start();
    let mut config = config(&upstream);
    config.routes = vec![route_by_name(upstream.address.port())];
    let (asked, address) = (Arc::new(AtomicUsize::new(0)), upstream.address);
    let count = Arc::clone(&asked);
    let network = network(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        // The first lookup is at the start, where a failure is only a warning.
        0 | 1 => Addresses::Unknown,
        2 => Addresses::Are(Vec::new()),
        _ => Addresses::Are(vec![address]),
    });
    let proxy = Proxy::start_in(network, &config);
    wait_until("the name is looked up", || {
        asked.load(Ordering::SeqCst) == 1
    });
    for _ in 0..2 {
        let answer = proxy.get("/next");
        answer.assert_refused(502, "dns_error");
        answer.assert_hides(NAME);
    }
    proxy.passes(get("/next"));
    upstream.only_request().verified();
}

#[test]
fn fault_36_a_lookup_that_hangs_times_out_and_delays_nothing_else() {
    let upstream = Upstream::start();
    let mut config = config(&upstream);
    let mut hanging = route_by_name(upstream.address.port());
    hanging.prefix = "/hangs".to_owned();
    config.routes.insert(0, hanging);
    config.timeouts.connect = Duration::from_millis(700);
    let address = upstream.address;
    let network = network(move |host| match host {
        NAME => Addresses::Never,
        _ => Addresses::Are(vec![address]),
    });
    let proxy = Proxy::start_in(network, &config);
    let hangs = get("/hangs");
    let mut waiting: Vec<_> = (0..20).map(|_| proxy.client()).collect();
    for client in &mut waiting {
        client.send(&hangs);
    }
    for _ in 0..20 {
        proxy.passes(get("/next"));
    }
    for mut client in waiting {
        client.answer().assert_refused(502, "dns_error");
    }
    assert_eq!(upstream.requests().len(), 20);
}

#[test]
fn fault_37_new_connections_follow_a_changed_answer_and_old_ones_retire() {
    let (old, new) = (Upstream::start(), Upstream::start());
    let addresses = Arc::new(Mutex::new(vec![old.address]));
    let proxy = proxy(&old, &addresses);
    let mut client = proxy.client();
    client.get("/next").assert_status(200);
    *addresses.lock().unwrap() = vec![new.address];
    // The name is not looked up again before the connection is too old.
    client.get("/next").assert_status(200);
    pause(Duration::from_millis(500));
    client.get("/next").assert_status(200);
    let arrived = (old.requests().len(), new.requests().len());
    assert_eq!((arrived, old.connections()), ((2, 1), 1));
}

#[test]
fn fault_38_of_two_addresses_the_one_that_answers_is_taken_within_the_limit() {
    let (upstream, hole) = (Upstream::start(), BlackHole::new());
    let dead_first = [
        vec![hole.address, upstream.address],
        vec![refusing(), upstream.address],
        // The upstream does not listen on IPv6.
        vec![
            (Ipv6Addr::LOCALHOST, upstream.address.port()).into(),
            upstream.address,
        ],
    ];
    for (number, addresses) in dead_first.into_iter().enumerate() {
        let proxy = proxy(&upstream, &Arc::new(Mutex::new(addresses)));
        for request in [&*get("/next"), POST] {
            proxy.passes(request);
        }
        assert_eq!(upstream.requests().len(), 2 * (number + 1));
    }
}
