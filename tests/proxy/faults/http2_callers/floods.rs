//! What costs the proxy more than its caller: number 86.

use h2::Reason;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Duration, timeout};

use super::frames::{GET, HEADERS_END, POST, answer_of, connect, field};
use super::{Caller, run};
use crate::support::frames::{
    DATA, END_HEADERS, END_STREAM, Frames, HEADERS, RST_STREAM, SETTINGS, frame,
};
use crate::support::{ANSWERED, Program, Upstream};

const PING: u8 = 6;
const CONTINUATION: u8 = 9;

/// How much memory a flood may take, in KiB.
const MEMORY: usize = 32 * 1024;

struct Flood {
    name: &'static str,
    first: Vec<u8>,
    /// The n-th piece of the flood.
    piece: Box<dyn Fn(u32) -> Vec<u8>>,
    count: u32,
    /// True if the connection has to be closed; otherwise it is enough that nothing more is read from it.
    closes: bool,
}

fn floods() -> Vec<Flood> {
    let cancel = u32::from(Reason::CANCEL).to_be_bytes();
    let head = frame(HEADERS, END_STREAM, 1, GET);
    let opened = frame(HEADERS, END_HEADERS, 1, POST);
    // One field in the table, and then its place again and again.
    let indexed = [GET, &[0x40], &field("x-bomb", &"b".repeat(120))[1..]].concat();
    let indexed = frame(HEADERS, END_STREAM, 1, &indexed);
    let long = field("x", &"v".repeat(120)).repeat(130);
    let cancelled = move |number| {
        let stream = 2 * number + 1;
        let opened = frame(HEADERS, END_HEADERS, stream, POST);
        [opened, frame(RST_STREAM, 0, stream, &cancel)].concat()
    };
    let same = |kind, stream, payload: &[u8], times| -> Box<dyn Fn(u32) -> Vec<u8>> {
        let piece = frame(kind, 0, stream, payload).repeat(times);
        Box::new(move |_| piece.clone())
    };
    let flood = |name, first: &[u8], piece, count, closes| Flood {
        name,
        first: first.to_vec(),
        piece,
        count,
        closes,
    };
    let empty = same(CONTINUATION, 1, &[], 100);
    let long = same(CONTINUATION, 1, &long, 1);
    let bomb = same(CONTINUATION, 1, &[0xbe; 16_000], 1);
    let ping = same(PING, 0, &[0; 8], 500);
    let settings = same(SETTINGS, 0, &[0, 4, 0, 0, 0xff, 0xff], 500);
    let data = same(DATA, 1, &[], 500);
    vec![
        flood(
            "streams cancelled at once",
            &[],
            Box::new(cancelled),
            5_000,
            true,
        ),
        flood("empty CONTINUATION", &head, empty, 1_000, true),
        flood("CONTINUATION of 32 MiB", &head, long, 2_000, true),
        flood("a header bomb", &indexed, bomb, 100, true),
        flood("PING whose answers are not read", &[], ping, 2_000, false),
        flood(
            "SETTINGS whose answers are not read",
            &[],
            settings,
            2_000,
            false,
        ),
        flood("empty DATA", &opened, data, 200, false),
    ]
}

/// Sends a flood as far as it is taken.
async fn send(frames: &mut Frames<TcpStream>, flood: &Flood) {
    let sending = async {
        frames.stream.write_all(&flood.first).await?;
        for number in 0..flood.count {
            frames.stream.write_all(&(flood.piece)(number)).await?;
        }
        std::io::Result::Ok(())
    };
    let _ = timeout(Duration::from_secs(2), sending).await;
}

#[test]
fn fault_86_floods_and_bombs_end_their_connection_and_take_no_memory() {
    let upstream = Upstream::start();
    let program = Program::before(&upstream, "");
    run(async {
        let other = Caller::connect(program.address).await;
        let mut served = 0;
        for flood in floods() {
            assert_eq!(other.get("http://localhost/other").await.text(), ANSWERED);
            let before = program.peak_memory();
            let mut frames = connect(program.address).await;
            send(&mut frames, &flood).await;
            // The system counts in batches, so that even a peak may shrink a little.
            let grown = program.peak_memory().saturating_sub(before);
            assert!(grown < MEMORY, "{}: {grown} KiB", flood.name);
            if flood.closes {
                let ending = timeout(Duration::from_secs(10), frames.drain()).await;
                assert!(ending.is_ok(), "{} goes on", flood.name);
            }
            drop(frames);
            assert_eq!(other.get("http://localhost/other").await.text(), ANSWERED);
            served += 2;
        }
        assert_eq!(
            upstream.requests().len(),
            served,
            "something of a flood arrived"
        );
        let mut frames = connect(program.address).await;
        frames.send(HEADERS, HEADERS_END, 1, GET).await.unwrap();
        answer_of(&mut frames, 1).await;
    });
}
