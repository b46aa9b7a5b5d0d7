//! The upstream of these tests.

use std::io::Read;
use std::time::Duration;

use crate::support::{ANSWERED, Link, Upstream, answer, pause};

const PIECE: &str = "0123456789";

/// An upstream whose behaviour depends on the path.
pub(super) fn upstream() -> Upstream {
    Upstream::handling(|link| {
        let mut is_fresh = true;
        while let Some(seen) = link.request()? {
            let path = seen.target().split('?').next().unwrap().to_owned();
            match path.as_str() {
                "/streamed" => streamed(link, 5, true)?,
                "/broken" => return streamed(link, 3, false),
                "/long" => link.send(answer("200 OK", "", &"x".repeat(64 << 20)))?,
                "/late" => pause(Duration::from_secs(2)),
                "/again" if !is_fresh => return Ok(()),
                "/refused" => {
                    let body =
                        "{\"error_code\":\"APIG.0101\",\"error_msg\":\"x\",\"request_id\":\"y\"}";
                    let head = "content-type: application/json\r\nx-request-id: y\r\n";
                    link.send(answer("404 Not Found", head, body))?;
                }
                "/chat" => return chat(link),
                _ => {
                    let head = "x-request-id: 0ab-c\r\n";
                    link.send(answer("200 OK", head, ANSWERED))?;
                }
            }
            is_fresh = false;
        }
        Ok(())
    })
}

fn streamed(link: &mut Link, pieces: usize, is_whole: bool) -> std::io::Result<()> {
    link.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")?;
    for _ in 0..pieces {
        link.send(format!("a\r\n{PIECE}\r\n"))?;
    }
    if is_whole {
        link.send("0\r\n\r\n")
    } else {
        Ok(())
    }
}

fn chat(link: &mut Link) -> std::io::Result<()> {
    link.send(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    )?;
    let mut said = [0; 5];
    link.stream.read_exact(&mut said)?;
    link.send([&said[..], b"!"].concat())?;
    link.finish()?;
    link.wait_for_end()
}
