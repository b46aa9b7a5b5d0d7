//! HTTP/2, mostly with frames that are written by hand.

mod alpn;
mod failures;

use std::sync::Arc;

use http::{HeaderMap, Response};

use super::*;
use crate::upstream::connector::Transport;

type Stream2 = Http2Stream<TestBody>;

const SETTINGS: u8 = 4;
const RST_STREAM: u8 = 3;
const GOAWAY: u8 = 7;
const HEADERS: u8 = 1;

const NO_ERROR: u32 = 0;
const ENHANCE_YOUR_CALM: u32 = 11;
const REFUSED: u32 = 7;
const HTTP_1_1_REQUIRED: u32 = 13;

fn connections() -> Http2Connections<TestBody> {
    Http2Connections::new(Authority::from_static("gateway.example"), LIMITS)
}

/// The pool for a permit that bounds nothing.
async fn acquired(stream: Stream2) -> Connection<TestBody> {
    let permits = Arc::new(tokio::sync::Semaphore::new(1));
    Connection::http2(stream, permits.acquire_owned().await.unwrap())
}

async fn dial(gateway: &Gateway) -> Transport {
    Transport::Tcp(TcpStream::connect(gateway.address).await.unwrap())
}

/// A connection that is played by hand.
struct Frames(Link);

impl Frames {
    /// Accepts a connection and sends SETTINGS.
    async fn accept(gateway: &Gateway, settings: &[(u16, u32)]) -> Self {
        let mut frames = Self(gateway.accept().await);
        let mut preface = [0; 24];
        frames.0.0.read_exact(&mut preface).await.unwrap();
        assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
        let pairs = settings.iter().flat_map(|(name, value)| {
            let (name, value) = (name.to_be_bytes(), value.to_be_bytes());
            name.into_iter().chain(value)
        });
        frames
            .send(SETTINGS, 0, 0, &pairs.collect::<Vec<_>>())
            .await;
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

    /// Waits for the head of a request; returns its stream.
    async fn request(&mut self) -> u32 {
        self.head().await.0
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

    async fn reset(&mut self, stream: u32, code: u32) {
        self.send(RST_STREAM, 0, stream, &code.to_be_bytes()).await;
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

/// A connection and so many streams of it, played by hand.
async fn by_hand(
    count: usize,
) -> (
    Http2Connections<TestBody>,
    Vec<Connection<TestBody>>,
    Frames,
) {
    let gateway = Gateway::new().await;
    let connections = connections();
    let transport = dial(&gateway).await;
    let (first, frames) = tokio::join!(connections.start(transport), Frames::accept(&gateway, &[]));
    let mut streams = vec![acquired(first.unwrap()).await];
    while streams.len() < count {
        streams.push(acquired(connections.find().unwrap()).await);
    }
    (connections, streams, frames)
}

/// Serves one connection with `h2`, answering by `answer`.
async fn serve(
    gateway: &Gateway,
    builder: h2::server::Builder,
    answer: impl AsyncFn(Request<h2::RecvStream>, h2::server::SendResponse<Bytes>),
) {
    let link = gateway.accept().await;
    let mut connection = builder.handshake::<_, Bytes>(link.0).await.unwrap();
    while let Some(Ok((request, respond))) = connection.accept().await {
        answer(request, respond).await;
    }
}

#[test]
fn a_request_has_the_origin_s_authority_and_no_connection_headers() {
    run(async {
        let gateway = Gateway::new().await;
        let connections = connections();
        let client = async {
            let stream = connections.start(dial(&gateway).await).await.unwrap();
            let mut stream = acquired(stream).await;
            assert!(stream.is_http2() && !stream.is_reused());
            let (pieces, body) = streamed();
            pieces.send(data("abc")).unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("x-end", "1".parse().unwrap());
            pieces.send(Ok(Frame::trailers(trailers))).unwrap();
            let mut request = request("POST", body);
            for (name, value) in [("connection", "te"), ("te", "trailers"), ("x-b", "2")] {
                request.headers_mut().insert(name, value.parse().unwrap());
            }
            let answer = stream.send(request).await.unwrap();
            let collected = answer.into_body().collect().await.unwrap();
            assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
            assert_eq!(collected.to_bytes(), "ok");
            assert!(connections.find().unwrap().is_reused());
        };
        let serving = serve(
            &gateway,
            h2::server::Builder::new(),
            async |request, mut respond| {
                assert_eq!(request.uri(), "https://gateway.example/v1/a?b=c");
                assert_eq!(request.headers()["te"], "trailers");
                for name in ["host", "connection"] {
                    assert!(!request.headers().contains_key(name), "{name}");
                }
                // The body arrives while the connection is polled.
                tokio::task::spawn_local(async move {
                    let mut body = request.into_body();
                    assert_eq!(body.data().await.unwrap().unwrap(), "abc");
                    assert_eq!(body.trailers().await.unwrap().unwrap()["x-end"], "1");
                    let mut send = respond.send_response(Response::new(()), false).unwrap();
                    send.send_data("ok".into(), false).unwrap();
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", "0".parse().unwrap());
                    send.send_trailers(trailers).unwrap();
                });
            },
        );
        tokio::select! {
            () = client => {}
            () = serving => panic!("the client is done first"),
        }
    });
}

#[test]
fn secrets_are_kept_out_of_the_tables_of_both_sides() {
    run(async {
        let (_connections, mut streams, mut frames) = by_hand(1).await;
        let (answered, block) = tokio::join!(streams[0].send(get()), async {
            let (stream, block) = frames.head().await;
            frames.answer(stream).await;
            block
        });
        assert!(answered.is_ok());
        // RFC 7541 §6.2.3: a literal that is never indexed, with the name 23 of the static table.
        let authorization = [0x1f, 23 - 15];
        assert!(block.windows(2).any(|bytes| bytes == authorization));
    });
}

#[test]
fn no_more_requests_share_a_connection_than_the_gateway_allows() {
    run(async {
        let gateway = Gateway::new().await;
        let connections = connections();
        let transport = dial(&gateway).await;
        // SETTINGS_MAX_CONCURRENT_STREAMS
        let (first, _frames) = tokio::join!(
            connections.start(transport),
            Frames::accept(&gateway, &[(3, 2)])
        );
        let first = first.unwrap();
        let second = connections.find().unwrap();
        assert!(connections.find().is_none());
        assert_eq!(connections.idle(), 0);
        drop(first);
        assert!(connections.find().is_some());
        drop(second);
        assert_eq!(connections.idle(), 1);
    });
}

#[test]
fn a_gateway_that_takes_no_streams_or_closes_before_settings_has_no_http2() {
    run(async {
        let gateway = Gateway::new().await;
        let connections = connections();
        let transport = dial(&gateway).await;
        let (started, _frames) = tokio::join!(
            connections.start(transport),
            Frames::accept(&gateway, &[(3, 0)])
        );
        assert!(started.is_err());
        let transport = dial(&gateway).await;
        let (started, ()) = tokio::join!(connections.start(transport), async {
            drop(gateway.accept().await);
        });
        assert!(started.is_err());
    });
}
