use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::*;

/// Seconds until the server closes.
async fn closes_after(caller: &mut DuplexStream) -> u64 {
    let start = Instant::now();
    let mut rest = Vec::new();
    let _ = caller.read_to_end(&mut rest).await;
    start.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn fault_25_slow_heads_and_idle_connections_are_closed_at_their_limits() {
    local(async {
        let toy = Toy::new();
        let mut silent = toy.connect(echo_path);
        assert!((10..12).contains(&closes_after(&mut silent).await));

        let mut slow = toy.connect(echo_path);
        let start = Instant::now();
        for byte in b"GET / HTTP/1.1\r\nhost: a\r\n" {
            if slow.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        closes_after(&mut slow).await;
        assert!((10..13).contains(&start.elapsed().as_secs()));

        let mut idle = toy.connect(echo_path);
        idle.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        read_answer(&mut idle).await;
        assert!((75..77).contains(&closes_after(&mut idle).await));

        let mut second = toy.connect(echo_path);
        second.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        read_answer(&mut second).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        second.write_all(b"GET / HT").await.unwrap();
        assert!((10..12).contains(&closes_after(&mut second).await));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_line_end_after_a_request_is_no_head() {
    local(async {
        let mut caller = Toy::new().connect(echo_path);
        let request = b"POST / HTTP/1.1\r\ncontent-length: 1\r\n\r\na";
        caller.write_all(request).await.unwrap();
        read_answer(&mut caller).await;
        caller.write_all(b"\r\n").await.unwrap();
        tokio::time::sleep(LIMITS.header_read * 3).await;
        caller
            .write_all(b"GET /next HTTP/1.1\r\n\r\n")
            .await
            .unwrap();
        assert_eq!(read_answer(&mut caller).await.1, "/next");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn other_limits_apply_to_open_connections() {
    local(async {
        let toy = Toy::new();
        let mut caller = toy.connect(echo_path);
        caller.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        read_answer(&mut caller).await;
        let keep_alive = Duration::from_secs(20);
        let limits = IdleLimits {
            keep_alive,
            ..LIMITS
        };
        toy.context.registry.set_limits(limits);
        assert!((20..22).contains(&closes_after(&mut caller).await));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn work_on_a_request_has_no_limit_here() {
    local(async {
        let mut caller = Toy::new().connect(async |_, _| {
            tokio::time::sleep(Duration::from_secs(3000)).await;
            answer(StatusCode::OK, "late")
        });
        caller.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        assert_eq!(read_answer(&mut caller).await.1, "late");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn fault_27_a_caller_that_reads_nothing_is_closed_and_a_slow_one_is_not() {
    local(async {
        let toy = Toy::new();
        let dropped = Dropped::default();
        let inner = dropped.clone();
        let mut stalled = toy.connect(move |_, _| {
            let guard = inner.guard();
            async move {
                let body = Pieces::response(1000, vec![b'x'; 16 * 1024], End::Good);
                body.map(|body| {
                    Box::pin(body.map_frame(move |frame| {
                        let _held = &guard;
                        frame
                    })) as ToyBody
                })
            }
        });
        stalled.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let start = Instant::now();
        let mut byte = [0];
        for _ in 0..5 {
            // More than the room on the way is read, so that the server can write.
            tokio::time::sleep(Duration::from_secs(200)).await;
            for _ in 0..70_000 {
                stalled.read_exact(&mut byte).await.unwrap();
            }
            assert_eq!(dropped.count(), 0, "it reads slowly, but it reads");
        }
        let slow = start.elapsed();
        while dropped.count() == 0 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert!(start.elapsed() < slow + Duration::from_secs(400));
        }
        assert!(start.elapsed() >= slow + Duration::from_secs(299));
    })
    .await;
}

#[tokio::test]
async fn fault_17_a_413_can_be_read_while_the_caller_still_sends() {
    for declared in [true, false] {
        for _ in 0..20 {
            local(async {
                let mut caller = Toy::new()
                    .connect_tcp(async |request: Request<Incoming>, _| {
                        drop(request);
                        let mut refusal = answer(StatusCode::PAYLOAD_TOO_LARGE, "too large");
                        let close = "close".parse().unwrap();
                        refusal.headers_mut().insert("connection", close);
                        refusal
                    })
                    .await;
                let head: &[u8] = if declared {
                    b"POST / HTTP/1.1\r\ncontent-length: 9000000\r\n\r\n"
                } else {
                    b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n895440\r\n"
                };
                caller.write_all(head).await.unwrap();
                // It reads only when it has sent everything.
                let piece = vec![0; 90_000];
                for _ in 0..100 {
                    caller.write_all(&piece).await.unwrap();
                }
                let (head, body) = read_answer(&mut caller).await;
                assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
                assert_eq!(body, "too large");
            })
            .await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_last_answer_a_caller_is_waited_for_as_long_as_it_deserves() {
    type Prepare = fn(&CallerConnection);
    let cases: [(&str, Prepare, u64); 4] = [
        ("GET / HTTP/1.1\r\n\r\n", |_| {}, 1),
        ("POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\n", |_| {}, 10),
        (
            "POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\n",
            CallerConnection::request_was_read,
            1,
        ),
        (
            "POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\n",
            CallerConnection::refused,
            1,
        ),
    ];
    for (request, prepare, seconds) in cases {
        local(async {
            let (near, mut caller) = tokio::io::duplex(1024);
            let served = Toy::new().serve(Accepted::Duplex(near), move |_, caller: Rc<_>| {
                prepare(&caller);
                let mut last = answer(StatusCode::OK, "");
                let close = "close".parse().unwrap();
                last.headers_mut().insert("connection", close);
                std::future::ready(last)
            });
            caller.write_all(request.as_bytes()).await.unwrap();
            read_all(&mut caller).await;
            let start = Instant::now();
            served.await.unwrap();
            assert_eq!(start.elapsed().as_secs(), seconds, "{request:?}");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_is_read_of_a_refused_caller_than_a_bound() {
    local(async {
        let mut caller = Toy::new().connect(async |_, caller: Rc<CallerConnection>| {
            caller.refused();
            answer(StatusCode::FORBIDDEN, "no")
        });
        let head = b"POST / HTTP/1.1\r\ncontent-length: 90000000\r\n\r\n";
        caller.write_all(head).await.unwrap();
        let (piece, mut sent) = (vec![0; 16 * 1024], 0);
        while caller.write_all(&piece).await.is_ok() {
            sent += piece.len();
        }
        assert!(sent < 400 * 1024, "{sent}");
    })
    .await;
}
