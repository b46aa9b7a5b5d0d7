//! Answers that come before the request is complete: number 55.

use std::io::{Read, Write};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use crate::support::{
    Link, Received, SOCKET_TIMEOUT, Scene, Upstream, answer, get, ok, pause, post, request,
};

const ACCEPTED: &str = "HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\nok";

/// More than socket buffers take, so that the proxy is still sending.
const LONG: usize = 11 << 20;

/// Answers a request for `/next`; false for others.
fn is_next(link: &mut Link, seen: &Received) -> std::io::Result<bool> {
    let is_next = seen.target() == "/next";
    if is_next {
        link.keep(seen);
        link.send(ok("ok"))?;
    }
    Ok(is_next)
}

#[test]
fn fault_55_an_early_refusal_is_relayed_and_the_upload_stopped() {
    let (told, tell) = mpsc::channel();
    let upstream = Upstream::handling(move |link| {
        while let Some(seen) = link.head()? {
            if is_next(link, &seen)? {
                continue;
            }
            let status = &seen.target()[1..];
            link.send(answer(&format!("{status} Refused"), "", "no more"))?;
            told.send(link.drain()).unwrap();
            return Ok(());
        }
        Ok(())
    });
    let scene = Scene::before(upstream);
    for status in [413, 401, 503] {
        // The rest of the declared body never comes.
        let fields = "Content-Type: multipart/x|Content-Length: 12000000";
        let head = request(&format!("POST /{status}"), fields, "");
        let answer = scene.client().send(&head).send("abc").answer();
        answer.assert_text(status, "no more");
        answer.assert_header(status, "connection", "close");
        // The upstream connection is closed before the body is complete.
        let arrived = tell.recv_timeout(SOCKET_TIMEOUT).unwrap();
        assert!(arrived < 12_000_000, "{arrived}");

        // A caller that sends everything before it reads also gets the answer.
        let mut client = scene.client();
        client.send(&head).send(vec![b'x'; 12_000_000]);
        assert_eq!(client.answer().text(), "no more");
        tell.recv_timeout(SOCKET_TIMEOUT).unwrap();
    }
    scene.serves();
}

/// A gateway that echoes nine bytes of the body of `/echo`, three at a time.
pub(super) fn echoing() -> Upstream {
    Upstream::handling(|link| {
        while let Some(seen) = link.head()? {
            link.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
            let mut echoed = Vec::new();
            while seen.target() == "/echo" && echoed.len() < 9 {
                let mut piece = [0; 3];
                link.stream.read_exact(&mut piece)?;
                echoed.extend(piece);
                write!(link.stream, "3\r\n{}\r\n", String::from_utf8_lossy(&piece))?;
                link.stream.flush()?;
            }
            link.keep(&seen);
            link.send("0\r\n\r\n")?;
        }
        Ok(())
    })
}

#[test]
fn fault_55_an_early_answer_that_is_no_refusal_leaves_the_upload_running() {
    let scene = Scene::before(echoing());
    let mut client = scene.client();
    client.send(request(
        "POST /echo",
        "Content-Type: multipart/x|Content-Length: 9",
        "",
    ));
    client.until("HTTP/1.1 200", "\r\n\r\n");
    for piece in ["abc", "def", "ghi"] {
        let chunk = format!("3\r\n{piece}\r\n");
        client.send(piece).until(&chunk, &chunk);
    }
    client.until("0\r\n\r\n", "0\r\n\r\n");
    scene.upstream.wait_for(1);
    scene.serves();
}

/// A gateway that answers every head but that of `/next` with these bytes, and then runs `rest`.
fn early(
    bytes: &'static str,
    rest: impl Fn(&mut Link) -> std::io::Result<()> + Send + Sync + 'static,
) -> Upstream {
    Upstream::handling(move |link| {
        link.take_little()?;
        while let Some(seen) = link.head()? {
            if is_next(link, &seen)? {
                continue;
            }
            link.send(bytes)?;
            rest(link)?;
            link.keep(&seen);
        }
        Ok(())
    })
}

#[test]
fn fault_55_an_early_answer_that_is_complete_leaves_the_upload_running() {
    let chunked = "HTTP/1.1 202 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    for (method, bytes) in [
        ("POST", ACCEPTED),
        ("POST", chunked),
        ("POST", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"),
    ] {
        for content_type in ["application/json", "multipart/form-data"] {
            let (told, arrived) = mpsc::channel();
            let scene = Scene::before(early(bytes, move |link| {
                pause(Duration::from_millis(200));
                let mut left = vec![0; LONG];
                link.stream.read_exact(&mut left)?;
                assert!(left.iter().all(|byte| *byte == b'a'));
                told.send(()).unwrap();
                Ok(())
            }));
            let request = post(content_type, &vec![b'a'; LONG]);
            let mut client = scene.client();
            client.send(method).send(&request[4..]);
            let answer = client.try_answer(method == "HEAD").unwrap();
            assert_eq!(answer.status.to_string(), bytes[9..12]);
            // Both connections are reusable after the request.
            arrived.recv_timeout(SOCKET_TIMEOUT).unwrap();
            let next = get("/next");
            assert_eq!(client.send(&next).answer().text(), "ok");
            assert_eq!(scene.upstream.requests().len(), 2, "{method} {bytes}");
            assert_eq!(scene.upstream.connections(), 1);
            scene.serves();
        }
    }
}

#[test]
fn fault_55_an_upload_that_stalls_after_its_answer_ends_at_the_idle_limit() {
    let ((go, gone), (told, tell)) = (mpsc::channel::<()>(), mpsc::channel());
    let (gone, told) = (Mutex::new(gone), Mutex::new(told));
    let upstream = early(ACCEPTED, move |link| {
        gone.lock().unwrap().recv().unwrap();
        told.lock().unwrap().send(link.drain()).unwrap();
        Err(std::io::Error::other("cut off"))
    });
    let scene = Scene::with(upstream, |config| {
        config.timeouts.idle = Duration::from_millis(300);
        config.limits.body = 1 << 30;
    });
    let mut client = scene.client();
    let headers = "Content-Type: multipart/x|Content-Length: 1000000000";
    client.send(request("POST /", headers, ""));
    client.answer().assert_status(202);
    let piece = vec![b'a'; 1 << 20];
    let sent = (0..900).take_while(|_| client.try_send(&piece).is_ok());
    assert!(sent.count() < 900);
    go.send(()).unwrap();
    assert!(tell.recv_timeout(SOCKET_TIMEOUT).unwrap() < 900 << 20);
    scene.serves();
}

#[test]
fn fault_55_an_upload_that_is_aborted_after_the_answer_began_closes_both_sides() {
    for (framing, begin, more, ends) in [
        (
            "Transfer-Encoding: chunked",
            "3\r\nabc\r\n",
            "xyz\r\n",
            false,
        ),
        (
            "Transfer-Encoding: chunked",
            "3\r\nabc\r\n",
            "3\r\nde",
            true,
        ),
        ("Content-Length: 100", "abc", "", true),
    ] {
        let (told, tell) = mpsc::channel();
        let bytes = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n";
        let scene = Scene::before(early(bytes, move |link| {
            link.drain();
            told.send(()).unwrap();
            Err(std::io::Error::other("cut off"))
        }));
        let mut client = scene.client();
        client.send(request(
            "POST /",
            &format!("Content-Type: multipart/x|{framing}"),
            "",
        ));
        client.send(begin).until("HTTP/1.1 200", "hi\r\n");
        client.send(more);
        if ends {
            client.finish_sending();
        }
        // The connection ends without a last chunk.
        assert!(client.is_closed(), "{more:?}");
        tell.recv_timeout(SOCKET_TIMEOUT).unwrap();
        scene.serves();
    }
}

#[test]
fn fault_55_an_upload_that_the_gateway_ends_after_a_pause_is_answered_with_the_reason() {
    // The gateway's limit between two reads of a body is eight seconds.
    for (waits, says_so) in [(8, true), (0, false)] {
        let scene = Scene::before(Upstream::handling(move |link| {
            link.head()?;
            link.stream.read_exact(&mut [0; 3])?;
            pause(Duration::from_secs(waits));
            Err(std::io::Error::other("cut off"))
        }));
        let mut client = scene.client();
        let fields = "Content-Type: multipart/x|Content-Length: 10";
        client.send(request("POST /fault", fields, ""));
        let answer = client.send("abc").answer();
        answer.assert_refused(502, "upstream_reset");
        for part in [
            "nothing of the body came for 8 seconds",
            "`request_body_timeout`",
        ] {
            assert_eq!(answer.text().contains(part), says_so, "{}", answer.text());
        }
    }
}
