//! HTTP/2, with frames that are written by hand.

use std::sync::Arc;

use super::*;

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

const NO_ERROR: u32 = 0;
const ENHANCE_YOUR_CALM: u32 = 11;

/// A connection that is played by hand.
struct Frames(Link);

impl Frames {
    /// Accepts a connection and sends SETTINGS.
    async fn accept(gateway: &Gateway) -> Self {
        let mut frames = Self(gateway.accept().await);
        let mut preface = [0; 24];
        frames.0.0.read_exact(&mut preface).await.unwrap();
        assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        frames.send(SETTINGS, 0, 0, &[]).await;
        frames
    }

    async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.0.write(frame).await;
    }

    /// Waits for the head of a request; returns its stream and its header block.
    async fn head(&mut self) -> (u32, Vec<u8>) {
        loop {
            let mut head = [0; 9];
            self.0.0.read_exact(&mut head).await.unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            self.0.0.read_exact(&mut payload).await.unwrap();
            if head[3] == HEADERS {
                let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
                return (stream, payload);
            }
        }
    }

    async fn go_away(&mut self, last: u32, code: u32) {
        let payload = [last.to_be_bytes(), code.to_be_bytes()].concat();
        self.send(GOAWAY, 0, 0, &payload).await;
    }

    /// An answer without a body: `:status 200` of the static table, which ends the stream.
    async fn answer(&mut self, stream: u32) {
        self.send(HEADERS, 0x5, stream, &[0x88]).await;
    }
}

fn acquired(shared: Rc<Http2Connection<TestBody>>) -> Connection<TestBody> {
    let permit = Arc::new(tokio::sync::Semaphore::new(1)).try_acquire_owned();
    Connection::new(Protocol::Http2(shared, None), permit.unwrap())
}

/// One connection in a pool, and so many streams, played by hand.
struct ByHand {
    pool: Pool<TestBody>,
    streams: Vec<Connection<TestBody>>,
    frames: Frames,
}

async fn by_hand(count: usize) -> ByHand {
    let gateway = Gateway::new().await;
    let pool = Pool::new(&POOL);
    let origin = Rc::new(Http2Origin {
        authority: Authority::from_static("gateway.example"),
        limits: LIMITS,
        support: Cell::default(),
    });
    let starting = Http2Connection::start(gateway.dial().await, &origin);
    let (connection, frames) = tokio::join!(starting, Frames::accept(&gateway));
    let mut streams = vec![acquired(pool.share(connection.unwrap()))];
    streams.resize_with(count, || acquired(pool.shared().unwrap()));
    ByHand {
        pool,
        streams,
        frames,
    }
}

#[test]
fn secrets_are_kept_out_of_the_tables_of_both_sides() {
    run(async {
        let mut hand = by_hand(1).await;
        let (answered, block) = tokio::join!(hand.streams[0].send(get()), async {
            let (stream, block) = hand.frames.head().await;
            hand.frames.answer(stream).await;
            block
        });
        assert!(answered.is_ok());
        // RFC 7541 §6.2.3: a literal that is never indexed, with the name 23 of the static table.
        let authorization = [0x1f, 23 - 15];
        assert!(block.windows(2).any(|bytes| bytes == authorization));
    });
}

#[test]
fn fault_102_after_an_error_of_the_connection_what_the_gateway_did_not_get_to_is_not_sent() {
    for code in [NO_ERROR, ENHANCE_YOUR_CALM] {
        for is_closed in [false, true] {
            run(after_go_away(code, is_closed));
        }
    }
}

async fn after_go_away(code: u32, is_closed: bool) {
    let mut hand = by_hand(3).await;
    let sending = hand.streams.iter_mut().map(|stream| stream.send(abc()));
    let (mut answers, _) = tokio::join!(futures_util::future::join_all(sending), async {
        for stream in [1, 3, 5] {
            assert_eq!(hand.frames.head().await.0, stream);
        }
        hand.frames.go_away(1, code).await;
        if is_closed {
            return None;
        }
        hand.frames.answer(1).await;
        pause().await;
        Some(hand.frames)
    });
    for answered in answers.drain(1..) {
        let is_unsent = matches!(answered, Err(Error::NotSent(_)));
        assert!(is_unsent, "{answered:?}");
    }
    match answers.remove(0) {
        Ok(answer) => assert!(!is_closed && answer.status() == 200),
        Err(error) => assert!(is_closed && matches!(error, Error::UpstreamReset(..))),
    }
    assert!(hand.pool.shared().is_none());
    drop(hand.streams);
    hand.pool.evict();
    assert_eq!(hand.pool.stats().idle(), 0);
}
