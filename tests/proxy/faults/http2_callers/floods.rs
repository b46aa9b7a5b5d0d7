//! Floods that cost the proxy more than the caller: number 86. `tests/clients/h2_floods.py` has more.

use h2::Reason;
use tokio::io::AsyncWriteExt;
use tokio::time::{Duration, timeout};

use super::frames::{GET, POST, connect, field};
use super::{Caller, run};
use crate::support::frames::{END_HEADERS, END_STREAM, HEADERS, RST_STREAM, frame};
use crate::support::{ANSWERED, Program, Upstream};

const CONTINUATION: u8 = 9;

/// How much memory a flood may take, in KiB.
const MEMORY: usize = 32 * 1024;

/// The frames of each flood.
fn floods() -> [(&'static str, Vec<u8>); 4] {
    let cancel = u32::from(Reason::CANCEL).to_be_bytes();
    let cancelled = |number: u32| {
        let stream = 2 * number + 1;
        let opened = frame(HEADERS, END_HEADERS, stream, POST);
        [opened, frame(RST_STREAM, 0, stream, &cancel)].concat()
    };
    let continued = |head: &[u8], payload: &[u8], times| {
        let head = frame(HEADERS, END_STREAM, 1, head);
        [head, frame(CONTINUATION, 0, 1, payload).repeat(times)].concat()
    };
    let long = field("x", &"v".repeat(120)).repeat(130);
    // One field in the dynamic table, then its index many times.
    let indexed = [GET, &[0x40], &field("x-bomb", &"b".repeat(120))[1..]].concat();
    [
        (
            "streams cancelled at once",
            (0..5_000).flat_map(cancelled).collect(),
        ),
        ("empty CONTINUATION", continued(GET, &[], 100_000)),
        ("CONTINUATION of 32 MiB", continued(GET, &long, 2_000)),
        ("a header bomb", continued(&indexed, &[0xbe; 16_000], 100)),
    ]
}

#[test]
fn fault_86_floods_and_bombs_end_their_connection_and_take_no_memory() {
    let upstream = Upstream::start();
    let program = Program::before(&upstream, "");
    run(async {
        let other = Caller::connect(program.address).await;
        for (name, flood) in floods() {
            let before = program.peak_memory();
            let mut frames = connect(program.address).await;
            // The proxy may stop reading.
            let _ = timeout(Duration::from_secs(2), frames.stream.write_all(&flood)).await;
            // The kernel counts pages in batches, so even the peak may shrink a little.
            let grown = program.peak_memory().saturating_sub(before);
            assert!(grown < MEMORY, "{name}: {grown} KiB");
            let ending = timeout(Duration::from_secs(10), frames.drain()).await;
            assert!(ending.is_ok(), "{name} goes on");
            other
                .get("http://localhost/other")
                .await
                .assert_text(200, ANSWERED);
        }
    });
    let arrived = upstream.requests().len();
    assert_eq!(arrived, 4, "something of a flood arrived");
}
