//! Loops, and chains of proxies: numbers 62 and 98.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{Client, Proxy, Received, Scene, Upstream, request};

const GET: &str = "GET /next HTTP/1.1\r\nHost: localhost\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}";
const HANDSHAKE: &str = "GET /chat HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

const OTHER: &str = "0123456789abcdef";

/// Where a server forwards requests to. Proxies that lead to each other cannot both be started with
/// the address of the other one.
type Destination = Arc<Mutex<Option<SocketAddr>>>;

/// A server that forwards requests and relays the answers.
fn passing_on(to: &Destination) -> Upstream {
    let to = Arc::clone(to);
    Upstream::scripted(move |seen, out| {
        let mut head = format!("{}\r\n", seen.line).into_bytes();
        for (name, value) in &seen.headers {
            head.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
        }
        if seen.all("upgrade").is_empty() {
            head.extend(b"connection: close\r\n");
        }
        head.extend(b"\r\n");
        let mut client = Client::connect(to.lock().unwrap().unwrap());
        let answer = client.send(head).send(&seen.body).try_answer(false)?;
        write!(out, "HTTP/1.1 {} X\r\n", answer.status)?;
        for (name, value) in &answer.headers {
            out.write_all(&[name.as_bytes(), b": ", value, b"\r\n"].concat())?;
        }
        out.write_all(&[b"\r\n", &answer.body[..]].concat())
    })
}

/// A scene with few connections to the upstream, so that a loop ends in any case.
fn before(upstream: Upstream) -> Scene {
    Scene::with(upstream, |config| {
        config.pool.connections = 8;
        config.pool.http2 = false;
        config.timeouts.connect = Duration::from_millis(500);
    })
}

/// The count and the ids that a request carries.
fn hops(seen: &Received) -> (u32, Vec<String>) {
    let (count, ids) = seen.header("apig-proxy-hop").split_once(';').unwrap();
    let ids: Vec<String> = ids.split(',').map(str::to_owned).collect();
    let is_hex = |id: &String| id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(ids.iter().all(is_hex), "{ids:?}");
    (count.parse().unwrap(), ids)
}

fn with_hops(fields: &str) -> Vec<u8> {
    request("GET /hops", &fields.replace("OTHER", OTHER), "")
}

#[test]
fn fault_62_a_request_that_comes_back_is_a_loop_at_the_first_hop() {
    let back = Destination::default();
    let scene = before(passing_on(&back));
    *back.lock().unwrap() = Some(scene.proxy.address);
    for request in [GET, POST, HANDSHAKE] {
        let before = scene.upstream.requests().len();
        scene.exchange(request).assert_refused(502, "loop");
        assert_eq!(scene.upstream.requests().len(), before + 1, "{request}");
    }
}

#[test]
fn fault_98_a_loop_of_two_proxies_ends_after_two_requests() {
    let (to_first, to_second) = (Destination::default(), Destination::default());
    let first = before(passing_on(&to_second));
    let second = before(passing_on(&to_first));
    *to_first.lock().unwrap() = Some(first.proxy.address);
    *to_second.lock().unwrap() = Some(second.proxy.address);
    for request in [GET, POST, HANDSHAKE] {
        let sent = first.upstream.requests().len();
        first.proxy.exchange(request).assert_refused(502, "loop");
        let (there, back) = (first.upstream.requests(), second.upstream.requests());
        assert_eq!((there.len(), back.len()), (sent + 1, sent + 1), "{request}");
        let ((one, ids), (two, both)) = (hops(&there[sent]), hops(&back[sent]));
        assert_eq!((one, two), (1, 2));
        assert_eq!((ids.len(), both.len()), (1, 2));
        assert_eq!(both[0], ids[0]);
    }
}

#[test]
fn fault_98_a_request_passes_three_proxies_and_not_a_fourth() {
    let gateway = Upstream::start();
    let mut proxies = vec![Proxy::before(&gateway)];
    let mut servers = Vec::new();
    for _ in 0..3 {
        let to = Destination::default();
        *to.lock().unwrap() = Some(proxies[proxies.len() - 1].address);
        let server = passing_on(&to);
        proxies.push(Proxy::before(&server));
        servers.push(server);
    }
    proxies[2].passes(GET);
    let seen = gateway.only_request();
    let (count, ids) = hops(&seen);
    assert_eq!((count, ids.len()), (3, 3));
    seen.verified();
    proxies[3].exchange(GET).assert_refused(502, "loop");
    assert_eq!(gateway.requests().len(), 1);
}

#[test]
fn fault_98_the_hops_of_a_request_are_counted_and_not_signed() {
    let scene = Scene::plain();
    let mut own = None;
    for (lines, count, others) in [
        ("", 1, 0),
        ("apig-proxy-hop: 1;OTHER", 2, 1),
        ("APIG-Proxy-Hop:  2;OTHER ", 3, 1),
        ("apig-proxy-hop: 2;0123456789ABCDEF,OTHER", 3, 2),
        ("connection: apig-proxy-hop|apig-proxy-hop: 1;OTHER", 2, 1),
        // Another header, which a server in between might read as ours.
        ("apig_proxy_hop: 7;fedcba9876543210", 1, 0),
    ] {
        scene.passes(with_hops(lines));
        let seen = scene.upstream.requests().pop().unwrap();
        let (counted, ids) = hops(&seen);
        assert_eq!((counted, ids.len()), (count, others + 1), "{lines}");
        assert!(
            ids[..others]
                .iter()
                .all(|id| id.eq_ignore_ascii_case(OTHER))
        );
        assert_eq!(own.get_or_insert_with(|| ids[others].clone()), &ids[others]);
        seen.assert_without(&["apig_proxy_hop"]);
        let signed = seen.verified().signed_headers;
        assert_eq!(signed, ["host", "x-sdk-date", "x-stage"]);
    }
    // A request with the own id has come back.
    let lines = format!("apig-proxy-hop: 1;{}", own.unwrap());
    scene.refuses(with_hops(&lines), 502, "loop");
}
