//! What costs the proxy more than its caller: number 86.

use h2::Reason;
use tokio::io::AsyncWriteExt;
use tokio::time::{Duration, timeout};

use super::frames::{Frames, HEADERS_END, field};
use super::{Caller, run};
use crate::support::frames::{DATA, END_HEADERS, END_STREAM, HEADERS, RST_STREAM, SETTINGS, frame};
use crate::support::{ANSWERED, Program, Upstream};

const PING: u8 = 6;
const CONTINUATION: u8 = 9;

/// How much memory a flood may take, in KiB.
const MEMORY: usize = 32 * 1024;

/// What becomes of a flood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The connection is closed.
    Closed,
    /// The connection is closed, or nothing more is read from it.
    Bounded,
}

struct Flood {
    name: &'static str,
    first: Vec<u8>,
    /// The n-th piece of the flood.
    piece: Box<dyn Fn(u32) -> Vec<u8>>,
    count: u32,
    end: End,
}

fn floods(frames: &Frames) -> Vec<Flood> {
    let (get, post) = (frames.get(), frames.post());
    let cancel = u32::from(Reason::CANCEL).to_be_bytes();
    let head = frame(HEADERS, END_STREAM, 1, &get);
    let opened = frame(HEADERS, END_HEADERS, 1, &post);
    // One field in the table, and then its place again and again.
    let indexed = field("x-bomb", &"b".repeat(120));
    let indexed = [&get[..], &[0x40], &indexed[1..]].concat();
    let cancelled = move |number| {
        let stream = 2 * number + 1;
        let opened = frame(HEADERS, END_HEADERS, stream, &post);
        [opened, frame(RST_STREAM, 0, stream, &cancel)].concat()
    };
    let same = |kind, payload: &[u8], times| {
        let stream = if [PING, SETTINGS].contains(&kind) {
            0
        } else {
            1
        };
        let piece = frame(kind, 0, stream, payload).repeat(times);
        move |_| piece.clone()
    };
    let long = field("x", &"v".repeat(120)).repeat(130);
    let indexed = frame(HEADERS, END_STREAM, 1, &indexed);
    let flood = |name, first, piece: Box<dyn Fn(u32) -> Vec<u8>>, count, end| Flood {
        name,
        first,
        piece,
        count,
        end,
    };
    let (none, settings) = (Vec::new(), [0, 4, 0, 0, 0xff, 0xff]);
    let empty = Box::new(same(CONTINUATION, &[], 100));
    let long = Box::new(same(CONTINUATION, &long, 1));
    let bomb = Box::new(same(CONTINUATION, &[0xbe; 16_000], 1));
    let ping = Box::new(same(PING, &[0; 8], 500));
    let settings = Box::new(same(SETTINGS, &settings, 500));
    let data = Box::new(same(DATA, &[], 500));
    let (cancelled, closed, bounded) = (Box::new(cancelled), End::Closed, End::Bounded);
    vec![
        flood(
            "streams cancelled at once",
            none.clone(),
            cancelled,
            5_000,
            closed,
        ),
        flood("empty CONTINUATION", head.clone(), empty, 1_000, closed),
        flood("CONTINUATION of 32 MiB", head, long, 2_000, closed),
        flood("a header bomb", indexed, bomb, 100, closed),
        flood(
            "PING whose answers are not read",
            none.clone(),
            ping,
            2_000,
            bounded,
        ),
        flood(
            "SETTINGS whose answers are not read",
            none,
            settings,
            2_000,
            bounded,
        ),
        flood("empty DATA", opened, data, 200, bounded),
    ]
}

/// Sends a flood as far as it is taken.
async fn send(frames: &mut Frames, flood: &Flood) {
    let sending = async {
        if frames.0.write_all(&flood.first).await.is_err() {
            return;
        }
        for number in 0..flood.count {
            if frames.0.write_all(&(flood.piece)(number)).await.is_err() {
                return;
            }
        }
    };
    let _ = timeout(Duration::from_secs(2), sending).await;
}

#[test]
fn fault_86_floods_and_bombs_end_their_connection_and_take_no_memory() {
    let upstream = Upstream::start();
    let program = Program::before(&upstream, "");
    run(async {
        let frames = Frames::connect(program.address).await;
        let other = Caller::connect(program.address).await;
        let mut served = 0;
        for flood in floods(&frames) {
            assert_eq!(other.get("http://localhost/other").await.text(), ANSWERED);
            let before = program.peak_memory();
            let mut frames = Frames::connect(program.address).await;
            send(&mut frames, &flood).await;
            // The system counts in batches, so that even a peak may shrink a little.
            let grown = program.peak_memory().saturating_sub(before);
            assert!(grown < MEMORY, "{}: {grown} KiB", flood.name);
            if flood.end == End::Closed {
                let ending = timeout(Duration::from_secs(10), frames.ending()).await;
                assert!(ending.is_ok(), "{} goes on", flood.name);
            }
            drop(frames);
            assert_eq!(other.get("http://localhost/other").await.text(), ANSWERED);
            served += 2;
        }
        let others = upstream.requests();
        assert_eq!(others.len(), served, "something of a flood arrived");
        let mut frames = Frames::connect(program.address).await;
        let block = frames.get();
        frames.headers(1, HEADERS_END, &block).await.unwrap();
        frames.answer_of(1).await;
    });
}
