//! Ways that come to an end: number 78, pools, and proxies of the network.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use apig_proxy::config::EgressProxy;
use http::HeaderValue;

use crate::support::{
    Addresses, Cable, NAME, Proxy, Scene, Upstream, config, get, network, ok, pause, refusing,
    route_by_name,
};

const GET: &str = "GET /next HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[test]
fn fault_78_the_first_request_after_an_interruption_is_served() {
    let upstream = Upstream::start();
    let cable = Cable::to(upstream.address);
    let mut config = config(&upstream);
    config.routes[0].upstream.port = cable.address.port();
    let proxy = Proxy::start(&config);
    let mut client = proxy.client();
    for _ in 0..3 {
        client.send(GET).answer().assert_status(200);
        cable.cut();
        let answer = client.send(GET).answer();
        assert_eq!(answer.code(), "upstream_unreachable");
        cable.mend();
        client.send(GET).answer().assert_status(200);
        // Without a request in between, the connections are dead and nobody has noticed yet.
        cable.cut();
        cable.mend();
        client.send(GET).answer().assert_status(200);
    }
    assert_eq!(upstream.requests().len(), 9);
}

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
    // From now on the proxy closes it earlier: at three quarters of the time, and within a second of it.
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
    let mut clients: Vec<_> = (0..8 * workers).map(|_| scene.client()).collect();
    for client in &mut clients {
        client.send(GET);
    }
    for client in &mut clients {
        client.answer().assert_status(200);
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
    let slow = get("/slow");
    let mut clients: Vec<_> = (0..2 * workers).map(|_| scene.client()).collect();
    for client in &mut clients {
        client.send(&slow);
    }
    let answers: Vec<_> = clients.iter_mut().map(|client| client.answer()).collect();
    let shed: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 503)
        .collect();
    assert_eq!(shed.len(), workers);
    for answer in shed {
        assert_eq!(
            (
                answer.code().as_str(),
                answer.header("retry-after").as_str()
            ),
            ("overloaded", "1")
        );
    }
    scene.serves();
}

/// A proxy of the network: it takes `CONNECT`, and passes on to `to` if its answer is a success.
fn network_proxy(reply: &'static str, to: SocketAddr) -> (SocketAddr, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (told, tell) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut near = stream.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && near.read_exact(&mut byte).is_ok() {
                head.push(byte[0]);
            }
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

fn through(
    reply: &'static str,
    authorization: Option<&'static str>,
    says: &str,
) -> (Upstream, u16, Vec<String>) {
    let upstream = Upstream::start();
    let (address, heads) = network_proxy(reply, upstream.address);
    let mut config = config(&upstream);
    let mut route = route_by_name(443);
    route.upstream.egress = Some(EgressProxy {
        host: "proxy.test".to_owned(),
        port: address.port(),
        authorization: authorization.map(HeaderValue::from_static),
    });
    config.routes = vec![route];
    // The name of the gateway itself is for the proxy of the network to look up.
    let network = network(move |host| {
        assert_eq!(host, "proxy.test");
        Addresses::Are(vec![address])
    });
    let proxy = Proxy::start_in(network, &config);
    let answer = proxy.exchange(GET);
    if answer.status != 200 {
        assert_eq!(answer.code(), "upstream_unreachable");
        assert!(!answer.text().contains("TUFSS0VS"), "{}", answer.text());
        answer.assert_says("`HTTPS_PROXY`");
        answer.assert_says(says);
    }
    (upstream, answer.status, heads.try_iter().collect())
}

#[test]
fn a_proxy_of_the_network_is_asked_for_the_gateway_and_sees_nothing_of_the_request() {
    for reply in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.0 200 Connection established\r\nproxy-agent: x\r\n\r\n",
    ] {
        let (upstream, status, heads) = through(reply, Some("Basic TUFSS0VS"), "");
        assert_eq!(status, 200);
        upstream.only_request().verified();
        let expected = "CONNECT gateway.test:443 HTTP/1.1\r\nhost: gateway.test:443\r\n\
                        proxy-authorization: Basic TUFSS0VS\r\n\r\n";
        assert_eq!(heads.last().unwrap(), expected);
    }
    let (_, status, heads) = through("HTTP/1.1 200 OK\r\n\r\n", None, "");
    assert_eq!(status, 200);
    assert!(!heads[0].contains("authorization"));
}

#[test]
fn a_proxy_of_the_network_that_does_not_let_through_is_said_to_do_so() {
    for (reply, says) in [
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\n\r\n",
            "user and a password (407)",
        ),
        (
            "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno",
            "does not let connections",
        ),
        ("garbage\r\n\r\n", "cannot be used"),
        (
            "HTTP/1.1 200 OK\r\n\r\nsomething that nobody asked for",
            "cannot be used",
        ),
    ] {
        let (upstream, status, _) = through(reply, None, says);
        assert_eq!(status, 502, "{reply}");
        assert!(upstream.requests().is_empty());
    }
}

#[test]
fn an_egress_proxy_that_cannot_be_reached_is_named() {
    let upstream = Upstream::start();
    let refused = refusing();
    for host in ["unknown.test", "refuses.test"] {
        let mut config = config(&upstream);
        config.routes[0].upstream.egress = Some(EgressProxy {
            host: host.to_owned(),
            port: refused.port(),
            authorization: None,
        });
        let network = network(move |host| match host {
            "unknown.test" => Addresses::Unknown,
            _ => Addresses::Are(vec![refused]),
        });
        let failed = Proxy::start_in(network, &config).exchange(GET);
        failed
            .about(host)
            .assert_refused(502, "upstream_unreachable");
        failed.assert_says("the egress proxy of `HTTPS_PROXY` cannot be used");
    }
}

#[test]
fn connections_go_to_the_configured_address_and_requests_are_signed_for_the_host() {
    let upstream = Upstream::start();
    let mut config = config(&upstream);
    let mut route = route_by_name(443);
    let address = upstream.address;
    route.upstream.connect_to = Some((address.ip().to_string(), address.port()));
    config.routes = vec![route];
    let network = network(move |host| {
        assert_eq!(host, address.ip().to_string());
        Addresses::Are(vec![address])
    });
    let answer = Proxy::start_in(network, &config).exchange(GET);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let request = upstream.only_request();
    request.verified();
    assert_eq!(request.header("host"), NAME);
}
