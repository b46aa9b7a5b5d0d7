//! Callers that do not send the rest of a request that is being answered: number 55.

use std::net::Shutdown;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use super::early::early;
use crate::support::{Scene, pause};

#[test]
fn fault_55_a_caller_that_breaks_its_upload_off_after_the_answer_began_ends_both_sides() {
    let chunked = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";
    let sized = "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/x\r\nContent-Length: 100\r\n\r\nabc";
    for (request, more, ends) in [
        (chunked, "xyz\r\n", false),
        (chunked, "3\r\nde", true),
        (sized, "", true),
    ] {
        let (told, tell) = mpsc::channel();
        let bytes = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n";
        let scene = Scene::before(early(bytes, move |link| {
            link.drain();
            told.send(()).unwrap();
            Err(std::io::Error::other("cut off"))
        }));
        let mut client = scene.client();
        client.send(request);
        client.until("HTTP/1.1 200", "hi\r\n");
        client.send(more);
        if ends {
            client.finish_sending();
        }
        // No last chunk comes, only the end.
        assert!(client.is_closed(), "{more:?}");
        tell.recv_timeout(Duration::from_secs(10)).unwrap();
        scene.serves();
    }
}

#[test]
fn fault_55_a_caller_that_ends_while_its_refused_body_is_thrown_away_ends_the_exchange() {
    for (resets, leaves) in [(false, false), (false, true), (true, true)] {
        let (told, tell) = mpsc::channel();
        let bytes = "HTTP/1.1 401 No\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n";
        let scene = Scene::before(early(bytes, move |link| {
            link.drain();
            told.send(()).unwrap();
            Err(std::io::Error::other("cut off"))
        }));
        let mut client = scene.client();
        client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/x\r\nContent-Length: 100\r\n\r\nabc");
        client.until("HTTP/1.1 401", "hi\r\n");
        if resets {
            client.reset();
        }
        if leaves {
            drop(client);
        } else {
            client.finish_sending();
        }
        tell.recv_timeout(Duration::from_secs(10)).unwrap();
        scene.serves();
    }
}

#[test]
fn fault_55_a_caller_that_stops_for_a_refusal_reads_it_to_its_end() {
    let (go, gone) = mpsc::channel::<()>();
    let gone = Mutex::new(gone);
    let scene = Scene::before(early(
        "HTTP/1.1 413 No\r\ncontent-length: 30\r\n\r\n0123456789",
        move |link| {
            gone.lock().unwrap().recv().unwrap();
            for _ in 0..2 {
                pause(Duration::from_millis(300));
                link.send("0123456789")?;
            }
            link.stream.sock.shutdown(Shutdown::Write)?;
            // So that it does not count, which would be at the time at which the next one does.
            Err(std::io::Error::other("cut off"))
        },
    ));
    let mut client = scene.client();
    client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/x\r\nContent-Length: 100\r\n\r\nabc");
    client.until("HTTP/1.1 413", "0123456789");
    go.send(()).unwrap();
    assert_eq!(client.exactly(20).unwrap(), b"01234567890123456789");
    scene.serves();
}
