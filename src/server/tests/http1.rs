use tokio::io::AsyncWriteExt;

use super::*;
use crate::proxy::caller::Stream;

#[tokio::test(start_paused = true)]
async fn pipelined_requests_are_answered_in_order_on_one_connection() {
    local(async {
        let mut caller = Toy::new().connect(async |request: Request<Incoming>, _| {
            if request.uri().path() == "/1" {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            answer(StatusCode::OK, request.uri().path().to_owned())
        });
        let all = b"GET /1 HTTP/1.1\r\n\r\nPOST /2 HTTP/1.1\r\ncontent-length: 2\r\n\r\nhiGET /3 HTTP/1.1\r\n\r\n";
        caller.write_all(all).await.unwrap();
        for path in ["/1", "/2", "/3"] {
            assert_eq!(read_answer(&mut caller).await.1, path);
        }
        caller.write_all(b"GET /4 HTTP/1.1\r\n\r\n").await.unwrap();
        let (head, body) = read_answer(&mut caller).await;
        assert_eq!(body, "/4");
        assert!(!head.contains("connection"), "{head}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_ends_the_work_on_its_request() {
    for (request, half) in [
        ("GET / HTTP/1.1\r\n\r\n", false),
        ("GET / HTTP/1.1\r\n\r\n", true),
        ("POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\nhalf", false),
        ("POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\nhalf", true),
    ] {
        local(async {
            let dropped = Dropped::default();
            let (begun, ends) = (dropped.clone(), Dropped::default());
            let inner = ends.clone();
            let mut caller = Toy::new().connect(move |request: Request<Incoming>, _| {
                let _begun = begun.guard();
                let guard = inner.guard();
                async move {
                    let _guard = guard;
                    if request.method() == "POST" {
                        let body = request.into_body().collect().await;
                        // hyper leaves it to the service to end then.
                        assert!(body.is_err(), "the body is not complete");
                        return answer(StatusCode::BAD_REQUEST, "");
                    }
                    std::future::pending().await
                }
            });
            caller.write_all(request.as_bytes()).await.unwrap();
            dropped.reaches(1).await;
            assert_eq!(ends.count(), 0);
            if half {
                caller.shutdown().await.unwrap();
                ends.reaches(1).await;
                let all = read_all(&mut caller).await;
                assert!(!all.contains(" 200 "), "{all}");
            } else {
                drop(caller);
                ends.reaches(1).await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_caller_that_resets_while_its_body_is_not_read_ends_the_work() {
    local(async {
        let ends = Dropped::default();
        let inner = ends.clone();
        let mut caller = Toy::new()
            .connect_tcp(move |request: Request<Incoming>, _| {
                let guard = inner.guard();
                async move {
                    let _held = (guard, request);
                    std::future::pending().await
                }
            })
            .await;
        caller
            .write_all(b"POST / HTTP/1.1\r\ncontent-length: 9000000\r\n\r\n")
            .await
            .unwrap();
        // As much as fits, so that hyper has no reason to read.
        let piece = vec![0; 64 * 1024];
        let sending = async { while caller.write_all(&piece).await.is_ok() {} };
        assert!(
            tokio::time::timeout(Duration::from_millis(300), sending)
                .await
                .is_err()
        );
        caller.set_zero_linger().unwrap();
        drop(caller);
        tokio::time::timeout(DEADLINE, ends.reaches(1))
            .await
            .unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_101_hands_the_stream_over_with_what_was_read_ahead() {
    local(async {
        let toy = Toy::new();
        let mut caller = toy.connect(async |_, caller: Rc<CallerConnection>| {
            caller.take_over(Box::new(|mut stream: Box<dyn Stream>, ahead| {
                Box::pin(async move {
                    stream.write_all(b"tunnel:").await.unwrap();
                    stream.write_all(&ahead).await.unwrap();
                    let mut more = [0; 4];
                    stream.read_exact(&mut more).await.unwrap();
                    stream.write_all(&more).await.unwrap();
                })
            }));
            let mut switch = answer(StatusCode::SWITCHING_PROTOCOLS, "");
            let headers = switch.headers_mut();
            headers.insert("upgrade", "websocket".parse().unwrap());
            headers.insert("connection", "upgrade".parse().unwrap());
            switch
        });
        let handshake = b"GET / HTTP/1.1\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\nahead";
        caller.write_all(handshake).await.unwrap();
        // Longer than a connection may be idle.
        tokio::time::sleep(LIMITS.keep_alive * 2).await;
        assert!(
            !toy.context.registry.close_oldest_idle(),
            "a tunnel is busy"
        );
        caller.write_all(b"more").await.unwrap();
        let all = read_all(&mut caller).await;
        assert!(all.starts_with("HTTP/1.1 101 "), "{all}");
        assert!(all.ends_with("\r\n\r\ntunnel:aheadmore"), "{all}");
        assert!(!all.contains("content-length"), "{all}");
    })
    .await;
}

#[tokio::test]
async fn fault_46_an_http_1_0_answer_that_breaks_off_is_reset() {
    for (end, is_reset) in [(End::Broken, true), (End::Good, false)] {
        local(async {
            let mut caller = Toy::new()
                .connect_tcp(move |_, _| std::future::ready(Pieces::response(3, "piece", end)))
                .await;
            caller.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
            let mut all = Vec::new();
            let read = caller.read_to_end(&mut all).await;
            let all = String::from_utf8(all).unwrap();
            if is_reset {
                assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
            } else {
                read.unwrap();
                assert!(all.ends_with("\r\n\r\npiecepiecepiece"), "{all}");
            }
        })
        .await;
    }
}

#[tokio::test]
async fn an_http_1_0_answer_is_reset_when_its_worker_is_stopped() {
    let mut caller = local(async {
        let mut caller = Toy::new()
            .connect_tcp(async |_, _| Pieces::response(1, "piece", End::Hanging))
            .await;
        caller.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"piece") {
            head.push(caller.read_u8().await.unwrap());
        }
        caller
    })
    .await;
    let read = caller.read_u8().await;
    assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test(start_paused = true)]
async fn a_broken_off_chunked_answer_has_no_last_chunk() {
    local(async {
        let mut caller = Toy::new().connect(async |_, _| Pieces::response(1, "piece", End::Broken));
        caller.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let all = read_all(&mut caller).await;
        assert!(all.contains("transfer-encoding: chunked"), "{all}");
        assert!(!all.contains("\r\n0\r\n"), "{all}");
    })
    .await;
}
