//! Streams that end early, stall, or are many: numbers 84, 85, 88 and 89.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use futures_util::future::join_all;
use h2::Reason;
use tokio::time::sleep;

use super::frames::{POST, connect};
use super::{Caller, get, post, read, run};
use crate::support::frames::{END_HEADERS, HEADERS, RST_STREAM, SETTINGS};
use crate::support::{ANSWERED, SOCKET_TIMEOUT, Scene, Upstream, ok, pause};

#[test]
fn fault_84_a_reset_stream_cancels_its_request_and_other_streams_go_on() {
    let (told, tell) = mpsc::channel();
    let scene = Scene::before(Upstream::handling(move |link| {
        while let Some(head) = link.head()? {
            if head.target() == "/slow" {
                pause(Duration::from_millis(800));
            } else if head.target() != "/next" {
                // Until the proxy closes the connection.
                link.drain();
                told.send(head.target().to_owned()).unwrap();
                return Ok(());
            }
            link.keep(&head);
            link.send(ok(ANSWERED))?;
        }
        Ok(())
    }));
    run(async {
        let caller = Caller::connect(scene.proxy.address).await;
        // Hashed bodies are not sent before they are complete.
        let hashed = post("http://localhost/hashed", "text/plain");
        let (_hashed, mut stream) = caller.begin(hashed, false).await.unwrap();
        stream.send_data("abc".into(), false).unwrap();
        sleep(Duration::from_millis(100)).await;
        stream.send_reset(Reason::CANCEL);
        sleep(Duration::from_millis(100)).await;
        assert_eq!(scene.upstream.connections(), 0);

        let other = caller.start("http://localhost/slow").await;
        let streamed = post("http://localhost/streamed", "multipart/mixed");
        let (_streamed, mut stream) = caller.begin(streamed, false).await.unwrap();
        stream.send_data("abc".into(), false).unwrap();
        let hanging = caller.start("http://localhost/hang").await;
        sleep(Duration::from_millis(300)).await;
        stream.send_reset(Reason::CANCEL);
        drop(hanging);
        let other = read(other.await.unwrap()).await.unwrap();
        other.assert_text(200, ANSWERED);
        let mut ended = [(); 2].map(|()| tell.recv_timeout(SOCKET_TIMEOUT).unwrap());
        ended.sort();
        assert_eq!(ended, ["/hang", "/streamed"]);
    });
    assert_eq!(scene.upstream.requests().len(), 1);
    scene.serves();
}

#[test]
fn fault_85_a_stream_that_is_not_read_delays_no_other_and_takes_bounded_memory() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let scene = Scene::before(Upstream::scripted(move |seen, out| {
        if seen.target() != "/endless" {
            return out.write_all(ok(ANSWERED).as_bytes());
        }
        out.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
        let chunk = [b"10000\r\n", &[b'x'; 1 << 16][..], b"\r\n"].concat();
        loop {
            out.write_all(&chunk)?;
            counted.fetch_add(1 << 16, Ordering::SeqCst);
        }
    }));
    run(async {
        let caller = Caller::connect(scene.proxy.address).await;
        let _stalled = caller
            .start("http://localhost/endless")
            .await
            .await
            .unwrap();
        let mut before = usize::MAX;
        while sent.load(Ordering::SeqCst) != before {
            before = sent.load(Ordering::SeqCst);
            sleep(Duration::from_millis(500)).await;
        }
        // Most of it is in socket buffers.
        assert!(before < 24 << 20, "{before}");
        for _ in 0..100 {
            assert_eq!(caller.get("http://localhost/other").await.text(), ANSWERED);
        }
        assert_eq!(sent.load(Ordering::SeqCst), before);
    });
    scene.get("/next");
}

#[test]
fn fault_88_a_stop_sends_goaway_and_running_streams_finish() {
    let upstream = Upstream::replying(|_| {
        pause(Duration::from_secs(1));
        ok(ANSWERED)
    });
    let mut scene = Scene::before(upstream);
    run(async {
        let caller = Caller::connect(scene.proxy.address).await;
        let idle = Caller::connect(scene.proxy.address).await;
        let running = caller.start("http://localhost/").await;
        sleep(Duration::from_millis(300)).await;
        scene.proxy.begin_stopping();
        idle.connection.await.unwrap().unwrap();
        assert!(idle.sender.ready().await.is_err());
        sleep(Duration::from_millis(200)).await;
        let late = caller.begin(get("http://localhost/late"), true).await;
        assert!(late.is_err() || late.unwrap().0.await.is_err());
        let reply = read(running.await.unwrap()).await.unwrap();
        reply.assert_text(200, ANSWERED);
        drop(caller.sender);
        caller.connection.await.unwrap().unwrap();
    });
    assert_eq!(scene.upstream.requests().len(), 1);
    scene.proxy.ended();
}

#[test]
fn fault_89_more_than_256_streams_wait_and_none_is_lost() {
    let scene = Scene::before(Upstream::replying(|_| {
        pause(Duration::from_millis(100));
        ok(ANSWERED)
    }));
    run(async {
        let caller = Caller::connect(scene.proxy.address).await;
        // SETTINGS arrive before the first answer.
        assert_eq!(caller.get("http://localhost/first").await.status, 200);
        let urls: Vec<String> = (0..600).map(|n| format!("http://localhost/{n}")).collect();
        let replies = join_all(urls.iter().map(|url| caller.get(url))).await;
        assert!(replies.iter().all(|reply| reply.text() == ANSWERED));
    });
    let requests = scene.upstream.requests();
    assert_eq!(requests.len(), 601);
    requests.iter().for_each(|seen| drop(seen.verified()));
    scene.serves();
}

#[test]
fn fault_89_streams_beyond_the_limit_of_the_settings_are_refused() {
    let scene = Scene::plain();
    run(async {
        let mut frames = connect(scene.proxy.address).await;
        let settings = frames.next().await.unwrap();
        assert_eq!(settings.kind, SETTINGS);
        let limit = [&[0, 3][..], &256_u32.to_be_bytes()].concat();
        assert!(settings.payload.chunks(6).any(|one| one == limit));
        for number in 0..300 {
            let sent = frames.send(HEADERS, END_HEADERS, 2 * number + 1, POST);
            sent.await.unwrap();
        }
        let mut refused = Vec::new();
        while refused.len() < 44 {
            let frame = frames.next().await.unwrap();
            if frame.kind == RST_STREAM {
                assert_eq!(frame.reason(), Reason::REFUSED_STREAM);
                refused.push(frame.stream);
            }
        }
        assert!(refused.iter().all(|stream| *stream > 2 * 255 + 1));
    });
    assert!(scene.upstream.requests().is_empty());
    scene.serves();
}
