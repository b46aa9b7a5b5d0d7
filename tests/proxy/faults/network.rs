//! Connection pools, and egress proxies.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use apig_proxy::config::EgressProxy;
use http::HeaderValue;

use crate::support::{
    Addresses, Answer, NAME, Proxy, Scene, Upstream, config, get, network, ok, pause, read_until,
    refusing, route_by_name,
};

#[test]
fn an_idle_connection_that_the_gateway_closes_is_noticed_and_its_limit_learned() {
    let upstream = Upstream::handling(|link| {
        link.stream
            .sock
            .set_read_timeout(Some(Duration::from_millis(1500)))?;
        while link.request()?.is_some() {
            link.send(ok("ok"))?;
        }
        Ok(())
    });
    let scene = Scene::before(upstream);
    scene.serves();
    scene.upstream.wait_for_end_of(1);
    pause(Duration::from_millis(100));
    scene.serves();
    // The proxy now closes idle connections itself: at three quarters of that limit, at most a second before it.
    scene.upstream.wait_for_end_of(2);
    scene.serves();
    assert_eq!(scene.upstream.requests().len(), 3);
}

#[test]
fn there_are_never_more_connections_than_configured_and_requests_wait_for_one() {
    let workers = thread::available_parallelism().unwrap().get();
    let upstream = Upstream::replying(|_| {
        pause(Duration::from_millis(50));
        ok("ok")
    });
    let scene = Scene::with(upstream, |config| config.pool.connections = workers);
    for answer in scene.at_once(8 * workers, get("/next")) {
        answer.assert_status(200);
    }
    assert!(scene.upstream.connections() <= workers);
    assert_eq!(scene.upstream.requests().len(), 8 * workers);
}

#[test]
fn a_request_that_waits_too_long_for_a_connection_is_refused() {
    let workers = thread::available_parallelism().unwrap().get();
    let upstream = Upstream::replying(|seen| {
        if seen.target() != "/next" {
            pause(Duration::from_millis(1500));
        }
        ok("ok")
    });
    let scene = Scene::with(upstream, |config| {
        config.pool.connections = workers;
        config.timeouts.connect = Duration::from_millis(300);
    });
    let mut shed = scene.at_once(2 * workers, get("/slow"));
    shed.retain(|answer| answer.status != 200);
    assert_eq!(shed.len(), workers);
    for answer in shed {
        answer.assert_refused(503, "overloaded");
        answer.assert_header(503, "retry-after", "1");
    }
    scene.serves();
}

/// An egress proxy that answers `CONNECT` like this, and tunnels to `to` if that is a success.
fn egress_proxy(reply: &'static str, to: SocketAddr) -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (told, tell) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut near = stream.unwrap();
            let head = read_until(&mut near, b"\r\n\r\n").unwrap();
            told.send(String::from_utf8(head).unwrap()).unwrap();
            near.write_all(reply.as_bytes()).unwrap();
            if !reply.contains(" 200 ") {
                continue;
            }
            let mut far = TcpStream::connect(to).unwrap();
            let (mut from, mut back) = (near.try_clone().unwrap(), far.try_clone().unwrap());
            thread::spawn(move || io::copy(&mut from, &mut back));
            thread::spawn(move || io::copy(&mut far, &mut near));
        }
    });
    (address, tell)
}

/// The upstream, the answer to a request through an egress proxy with this name, and the heads that the egress proxy
/// got.
fn through(name: &str, reply: &'static str) -> (Upstream, Answer, Vec<String>) {
    let upstream = Upstream::start();
    let (address, heads) = egress_proxy(reply, upstream.address);
    let mut config = config(&upstream);
    let mut route = route_by_name(443);
    route.upstream.egress = Some(EgressProxy {
        host: name.to_owned(),
        port: address.port(),
        authorization: Some(HeaderValue::from_static("Basic TUFSS0VS")),
    });
    config.routes = vec![route];
    // The egress proxy resolves the name of the gateway.
    let network = network(move |host| match host {
        "proxy.test" => Addresses::Are(vec![address]),
        "refuses.test" => Addresses::Are(vec![refusing()]),
        "unknown.test" => Addresses::Unknown,
        other => panic!("{other} was looked up"),
    });
    let answer = Proxy::start_in(network, &config).get("/next");
    (upstream, answer, heads.try_iter().collect())
}

#[test]
fn an_egress_proxy_gets_connect_for_the_gateway_and_nothing_of_the_request() {
    for reply in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.0 200 Connection established\r\nproxy-agent: x\r\n\r\n",
    ] {
        let (upstream, answer, heads) = through("proxy.test", reply);
        answer.assert_status(200);
        upstream.only_request().verified();
        let expected = "CONNECT gateway.test:443 HTTP/1.1\r\nhost: gateway.test:443\r\n\
                        proxy-authorization: Basic TUFSS0VS\r\n\r\n";
        assert_eq!(heads.last().unwrap(), expected);
    }
}

#[test]
fn an_egress_proxy_that_refuses_or_fails_is_named_in_the_error() {
    let asked = "HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\n\r\n";
    let forbidden = "HTTP/1.1 403 No\r\n\r\n";
    let too_much = "HTTP/1.1 200 OK\r\n\r\nsomething that nobody asked for";
    for (name, reply, says) in [
        ("proxy.test", asked, "user and a password (407)"),
        ("proxy.test", forbidden, "does not let connections"),
        ("proxy.test", "garbage\r\n\r\n", "cannot be used"),
        ("proxy.test", too_much, "cannot be used"),
        ("unknown.test", "", "the egress proxy"),
        ("refuses.test", "", "the egress proxy"),
    ] {
        let (upstream, answer, _) = through(name, reply);
        answer
            .about(says)
            .assert_refused(502, "upstream_unreachable");
        answer.assert_says("`HTTPS_PROXY`");
        answer.assert_says(says);
        answer.assert_hides("TUFSS0VS");
        assert!(upstream.requests().is_empty());
    }
}

#[test]
fn connections_go_to_the_configured_address_and_requests_are_signed_for_the_host() {
    let upstream = Upstream::start();
    let (mut config, address) = (config(&upstream), upstream.address);
    let mut route = route_by_name(443);
    route.upstream.connect_to = Some((address.ip().to_string(), address.port()));
    config.routes = vec![route];
    let network = network(move |host| {
        assert_eq!(host, address.ip().to_string());
        Addresses::Are(vec![address])
    });
    Proxy::start_in(network, &config).passes(get("/next"));
    let request = upstream.only_request();
    request.verified();
    assert_eq!(request.header("host"), NAME);
}
