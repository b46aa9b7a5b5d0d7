//! WebSockets: the handshake is signed, then bytes are tunnelled both ways.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::Role;
use tungstenite::{Message, WebSocket};

use crate::support::{self, ANSWERED, Link, Scene, Upstream, answer, ok, pause, wait_until};

pub(crate) const HANDSHAKE: &str = "GET /chat?room=1 HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: chat\r\n\r\n";

/// Accepts a handshake.
pub(crate) fn switch(link: &mut Link) -> std::io::Result<()> {
    let seen = link.request()?.expect("a request");
    let accept = derive_accept_key(seen.header("sec-websocket-key").as_bytes());
    link.send(format!(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nUpgrade: websocket\r\n\
         Content-Length: 3\r\nAlt-Svc: h3=\":443\"\r\nSec-WebSocket-Accept: {accept}\r\nX-Own: 1\r\n\r\n"
    ))
}

/// A gateway that echoes messages until the close handshake.
fn echoing() -> Upstream {
    Upstream::handling(|link| {
        switch(link)?;
        let mut socket = WebSocket::from_raw_socket(&mut link.stream, Role::Server, None);
        while let Ok(message) = socket.read() {
            if message.is_text() || message.is_binary() {
                socket.send(message).map_err(std::io::Error::other)?;
            }
        }
        let _ = socket.flush();
        Ok(())
    })
}

fn connect(scene: &Scene) -> WebSocket<TcpStream> {
    let stream = support::connect(scene.proxy.address);
    let url = format!("ws://localhost:{}/chat?room=1", scene.proxy.address.port());
    let (socket, answer) = tungstenite::client(url, stream).unwrap();
    assert_eq!(answer.status(), 101);
    assert_eq!(answer.headers()["x-own"], "1");
    socket
}

#[test]
fn ten_thousand_messages_are_echoed_and_the_close_arrives_both_ways() {
    let scene = Scene::before(echoing());
    let mut socket = connect(&scene);
    for number in 0..10_000_u32 {
        let message = if number % 100 == 0 {
            Message::binary(vec![7; 70_000])
        } else {
            Message::text(format!("message {number}"))
        };
        socket.send(message.clone()).unwrap();
        assert_eq!(socket.read().unwrap(), message);
    }
    socket.close(None).unwrap();
    while socket.read().is_ok() {}
    scene.upstream.wait_for_end_of(1);
    let mut rest = Vec::new();
    socket.get_mut().read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
}

#[test]
fn the_handshake_is_signed_like_a_get_and_arrives_as_it_was_sent() {
    let scene = Scene::before(echoing());
    let answer = scene.exchange(HANDSHAKE);
    answer.assert_header(101, "connection", "Upgrade");
    answer.assert_header(101, "upgrade", "websocket");
    let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    answer.assert_header(101, "sec-websocket-accept", accept);
    answer.assert_without(&["content-length", "transfer-encoding", "alt-svc"]);
    let seen = scene.upstream.only_request();
    assert_eq!(seen.line, "GET /chat?room=1 HTTP/1.1");
    assert_eq!(seen.header("connection"), "Upgrade");
    assert_eq!(seen.header("upgrade"), "websocket");
    assert_eq!(seen.header("sec-websocket-protocol"), "chat");
    let verified = seen.verified();
    assert!(verified.body_signed);
    assert_eq!(verified.signed_headers, ["host", "x-sdk-date", "x-stage"]);
}

#[test]
fn bytes_that_come_with_the_handshakes_are_not_lost() {
    let scene = Scene::before(Upstream::handling(|link| {
        let accepted = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nfrom the gateway";
        link.request()?;
        link.send(accepted)?;
        let mut got = [0; 15];
        link.stream.read_exact(&mut got)?;
        assert_eq!(&got, b"from the caller");
        link.send(" and done")?;
        link.finish()
    }));
    let mut client = scene.client();
    client.send(HANDSHAKE.to_owned() + "from the caller");
    client.answer().assert_status(101);
    assert_eq!(client.exactly(25).unwrap(), b"from the gateway and done");
    assert!(client.is_closed());
}

#[test]
fn a_refused_upgrade_is_relayed_and_one_to_another_protocol_is_a_bad_response() {
    let other = "HTTP/1.1 101 Switching Protocols\r\nupgrade: other\r\nconnection: upgrade\r\n\r\n";
    let scene = Scene::before(Upstream::replying(move |seen| match seen.target() {
        "/next" => ok(ANSWERED),
        "/other?room=1" => other.to_owned(),
        _ => answer("403 Forbidden", "", "no"),
    }));
    let mut client = scene.client();
    client.send(HANDSHAKE).answer().assert_text(403, "no");
    client.send(HANDSHAKE.replace("chat?", "other?"));
    client.answer().assert_refused(502, "bad_response");
    // The caller's connection is still one of HTTP/1.1.
    client.get("/next").assert_text(200, ANSWERED);
}

#[test]
fn an_idle_tunnel_is_closed_on_both_sides_and_an_active_one_stays_open() {
    let scene = Scene::with(echoing(), |config| {
        config.timeouts.idle = Duration::from_millis(600)
    });
    let mut socket = connect(&scene);
    for _ in 0..4 {
        pause(Duration::from_millis(300));
        socket.send(Message::text("still here")).unwrap();
        assert_eq!(socket.read().unwrap(), Message::text("still here"));
    }
    assert!(socket.read().is_err());
    scene.upstream.wait_for_end_of(1);
}

#[test]
fn when_one_side_of_a_tunnel_breaks_the_other_is_closed() {
    let scene = Scene::before(Upstream::handling(|link| {
        switch(link)?;
        link.wait_for_end()
    }));
    drop(connect(&scene));
    scene.upstream.wait_for_end_of(1);

    let scene = Scene::before(Upstream::handling(|link| {
        switch(link)?;
        link.reset()
    }));
    let mut socket = connect(&scene);
    assert!(socket.read().is_err());
}

#[test]
fn a_side_that_breaks_ends_the_other_though_that_one_stays_open() {
    let (hold, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let scene = Scene::before(Upstream::handling(move |link| {
        switch(link)?;
        // It keeps the connection after the proxy has ended it.
        link.drain();
        let _ = held.lock().unwrap().recv();
        Ok(())
    }));
    let in_flight = |scene: &Scene| scene.proxy.metrics().value("apig_proxy_in_flight", "");
    let mut client = scene.client();
    client.send(HANDSHAKE).answer().assert_status(101);
    assert_eq!(in_flight(&scene), 1.0);
    client.reset();
    drop(client);
    wait_until("the request ends", || in_flight(&scene) == 0.0);
    drop(hold);

    let scene = Scene::before(Upstream::handling(|link| {
        switch(link)?;
        link.reset()
    }));
    let mut client = scene.client();
    client.send(HANDSHAKE).answer().assert_status(101);
    wait_until("the request ends", || in_flight(&scene) == 0.0);
    assert!(client.is_closed());
}

#[test]
fn a_slow_side_of_a_tunnel_slows_the_other_and_no_byte_is_lost() {
    let sent = || (0..20_000_000).map(|n| (n % 251) as u8).collect::<Vec<_>>();
    let scene = Scene::before(Upstream::handling(move |link| {
        switch(link)?;
        link.stream.write_all(&sent())?;
        link.finish()?;
        link.wait_for_end()
    }));
    let mut client = scene.client();
    client.send(HANDSHAKE).answer().assert_status(101);
    pause(Duration::from_millis(500));
    let got = client.exactly(20_000_000).unwrap();
    assert!(got == sent());
    assert!(client.is_closed());
}
