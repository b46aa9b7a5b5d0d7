//! Answers that go on for long, or come early: numbers 54 and 55.

use std::io::Write;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use crate::support::{FAULT, Scene, faulty, pause, wait_until};

#[test]
fn fault_54_events_pass_at_once_for_longer_than_any_limit_on_their_whole() {
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let upstream = faulty(move |link| {
        link.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")?;
        for number in 0..10 {
            link.send(format!("9\r\ndata: {number}\n\n\r\n"))?;
            // The next event is sent only after the caller has this one.
            let next = gone.lock().unwrap().recv_timeout(Duration::from_secs(10));
            next.map_err(std::io::Error::other)?;
        }
        link.send("0\r\n\r\n")
    });
    let scene = Scene::with(upstream, |config| {
        config.timeouts.idle = Duration::from_millis(700);
        config.timeouts.response = Duration::from_millis(700);
    });
    let mut client = scene.client();
    client.send(FAULT.as_bytes());
    assert!(
        client
            .until("HTTP/1.1 200", "\r\n\r\n")
            .contains("text/event-stream")
    );
    for number in 0..10 {
        let event = client.until("9\r\n", "\n\n\r\n");
        assert_eq!(event, format!("9\r\ndata: {number}\n\n\r\n"));
        pause(Duration::from_millis(150));
        go.send(()).unwrap();
    }
    assert_eq!(client.until("0\r\n", "\r\n\r\n"), "0\r\n\r\n");
    scene.serves();
}

#[test]
fn fault_55_an_early_refusal_is_relayed_and_the_upload_stopped() {
    let (told, tell) = mpsc::channel();
    let told = Mutex::new(told);
    let upstream = crate::support::Upstream::handling(move |link| {
        while let Some(seen) = link.head()? {
            if seen.target() == "/next" {
                link.seen(&seen);
                link.send(crate::support::answer("200 OK", "", "ok"))?;
                continue;
            }
            let status = &seen.target()[1..];
            link.send(crate::support::answer(
                &format!("{status} Refused"),
                "",
                "no more",
            ))?;
            told.lock().unwrap().send(link.drain()).unwrap();
            return Ok(());
        }
        Ok(())
    });
    let scene = Scene::before(upstream);
    for status in [413, 401, 503] {
        // Of a body that never ends, within the length that was declared.
        let head = format!(
            "POST /{status} HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/x\r\nContent-Length: 12000000\r\n\r\nabc"
        );
        let mut client = scene.client();
        client.send(head.as_bytes());
        let answer = client.answer();
        assert_eq!((answer.status, answer.text().as_str()), (status, "no more"));
        assert_eq!(answer.header("connection"), "close");
        // The gateway's side is closed before the body is complete.
        let arrived = tell.recv_timeout(Duration::from_secs(10)).unwrap();
        assert!(arrived < 12_000_000, "{arrived}");

        // A caller that sends everything before it reads gets the answer, too.
        let mut client = scene.client();
        client.send(head.as_bytes()).send(&vec![b'x'; 11_999_997]);
        assert_eq!(client.answer().text(), "no more");
        tell.recv_timeout(Duration::from_secs(10)).unwrap();
    }
    scene.serves();
}

#[test]
fn fault_55_an_early_answer_that_is_no_refusal_leaves_the_upload_running() {
    let upstream = crate::support::Upstream::handling(|link| {
        while let Some(seen) = link.head()? {
            link.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
            let mut echoed = Vec::new();
            while seen.target() == "/echo" && echoed.len() < 9 {
                let mut piece = [0; 3];
                std::io::Read::read_exact(&mut link.stream, &mut piece)?;
                echoed.extend(piece);
                write!(link.stream, "3\r\n{}\r\n", String::from_utf8_lossy(&piece))?;
                link.stream.flush()?;
            }
            link.seen(&seen);
            link.send("0\r\n\r\n")?;
        }
        Ok(())
    });
    let scene = Scene::before(upstream);
    let mut client = scene.client();
    client.send(b"POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/x\r\nContent-Length: 9\r\n\r\n");
    client.until("HTTP/1.1 200", "\r\n\r\n");
    for piece in ["abc", "def", "ghi"] {
        client.send(piece.as_bytes());
        assert_eq!(
            client.until("3\r\n", &format!("{piece}\r\n")),
            format!("3\r\n{piece}\r\n")
        );
    }
    assert_eq!(client.until("0\r\n", "\r\n\r\n"), "0\r\n\r\n");
    wait_until("the request is complete", || {
        scene.upstream.requests().len() == 1
    });
    scene.serves();
}
