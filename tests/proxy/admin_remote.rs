//! Who may stop the proxy at its admin listener, and who may look where others reach it.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::Mutex;
use std::sync::mpsc;

use apig_proxy::server::DrainOutcome;

use crate::support::{Answer, Client, Scene, Upstream, answer, wait_until};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn asked(scene: &Scene, request: &str) -> Answer {
    scene.proxy.admin().send(request).answer()
}

#[test]
fn fault_96_by_default_no_request_stops_the_proxy() {
    let scene = Scene::with(Upstream::start(), |config| {
        config.admin = Some("127.0.0.1:0".parse().unwrap());
    });
    for method in ["POST", "GET", "PUT", "OPTIONS"] {
        let request = format!("{method} /quitquitquit HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let answer = asked(&scene, &request);
        assert_eq!(answer.status, 404, "{method}");
        assert!(answer.text().contains("set admin_quit = true"), "{method}");
    }
    // Pages of other origins are not told even that.
    let foreign =
        "POST /quitquitquit HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\r\n";
    assert_eq!(asked(&scene, foreign).status, 403);
    assert_eq!(scene.proxy.asked("/readyz").status, 200);
    scene.serves();
}

#[test]
fn asking_for_the_end_begins_it_and_lets_running_requests_finish() {
    let (go_on, told) = mpsc::channel::<()>();
    let told = Mutex::new(told);
    let upstream = Upstream::scripted(move |_, out| {
        let _ = told.lock().unwrap().recv();
        out.write_all(answer("200 OK", "", "late").as_bytes())
    });
    let scene = Scene::with(upstream, |config| {
        config.admin = Some("127.0.0.1:0".parse().unwrap());
        config.admin_quit = true;
    });
    let mut client = scene.client();
    client.send(GET);
    wait_until("the request arrives", || {
        !scene.upstream.requests().is_empty()
    });
    for method in ["GET", "HEAD", "PUT", "OPTIONS"] {
        let request = format!("{method} /quitquitquit HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let mut admin = scene.proxy.admin();
        let refused = admin.send(&request).try_answer(method == "HEAD");
        let refused = refused.unwrap();
        assert_eq!(
            (refused.status, refused.header("allow").as_str()),
            (405, "POST")
        );
    }
    for fields in [
        "Host: evil.example\r\n",
        "Host: localhost\r\nOrigin: http://evil.example\r\n",
        "Host: localhost\r\nSec-Fetch-Site: cross-site\r\n",
        "Host: 10.0.0.7\r\n",
    ] {
        let refused = asked(
            &scene,
            &format!("POST /quitquitquit HTTP/1.1\r\n{fields}\r\n"),
        );
        assert_eq!(refused.status, 403, "{fields}");
        assert!(refused.all("access-control-allow-origin").is_empty());
    }
    assert_eq!(scene.proxy.asked("/readyz").status, 200);
    for _ in 0..2 {
        let quits = asked(
            &scene,
            "POST /quitquitquit HTTP/1.1\r\nHost: localhost\r\n\r\n",
        );
        quits.assert_text(200, "ok\n");
    }
    wait_until("it is not ready", || {
        scene.proxy.asked("/readyz").status == 503
    });
    go_on.send(()).unwrap();
    assert_eq!(client.answer().text(), "late");
    // By itself: nobody else has told it to.
    assert_eq!(scene.proxy.ended_by_itself(), DrainOutcome::Drained);
}

#[test]
#[expect(clippy::print_stdout, reason = "who runs the test should know")]
fn where_others_reach_it_they_may_look_by_any_address_but_only_this_machine_may_stop_it() {
    let scene = Scene::with(Upstream::start(), |config| {
        config.admin = Some("0.0.0.0:0".parse().unwrap());
        config.admin_quit = true;
    });
    let port = scene.proxy.admin_port();
    let Some(own) = own_address() else {
        println!("this machine has no address but loopback, so nobody else can be played");
        return;
    };
    for peer in [Ipv4Addr::LOCALHOST, own] {
        let ask = |request: String| {
            let mut client = Client::connect((peer, port).into());
            client.send(&request).answer()
        };
        for path in ["/livez", "/readyz", "/startupz", "/metrics"] {
            for host in [
                format!("{own}:{port}"),
                "10.0.0.7".to_owned(),
                "localhost".to_owned(),
            ] {
                let page = ask(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
                assert_eq!(page.status, 200, "{path} of {host}");
            }
            for host in ["evil.example", "0.0.0.0", "[::]"] {
                let refused = ask(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
                assert_eq!(refused.code(), "host_not_allowed", "{path} of {host}");
            }
        }
        // By an address, a page of that address could be meant.
        let refused = ask(format!(
            "POST /quitquitquit HTTP/1.1\r\nHost: {own}\r\n\r\n"
        ));
        assert_eq!(refused.status, 403);
        if peer == own {
            let quits = "POST /quitquitquit HTTP/1.1\r\nHost: localhost\r\n\r\n";
            let refused = ask(quits.to_owned());
            assert_eq!(refused.status, 403);
            refused.assert_says("SIGTERM");
        }
    }
    assert_eq!(scene.proxy.asked("/readyz").status, 200);
}

/// An address of this machine that is not loopback. Nothing is sent to find it.
fn own_address() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(ip) if !ip.is_loopback() && !ip.is_unspecified() => Some(ip),
        _ => None,
    }
}
