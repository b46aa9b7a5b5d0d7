use super::*;

#[tokio::test(start_paused = true)]
async fn changed_limits_apply_to_open_connections() {
    local(async {
        let worker = Worker::new();
        let mut caller = worker.connect(echo_path);
        caller.write_all(GET).await.unwrap();
        read_answer(&mut caller).await;
        let mut limits = LIMITS;
        limits.keep_alive = Duration::from_secs(20);
        worker.registry.limits.set(limits);
        let start = Instant::now();
        assert_eq!(read_all(&mut caller).await, "");
        assert!((20..22).contains(&start.elapsed().as_secs()));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_last_answer_decides_how_long_the_connection_lingers() {
    type Prepare = fn(&CallerConnection);
    const POST: &str = "POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\n";
    let cases: [(&str, Prepare, u64); 4] = [
        ("GET / HTTP/1.1\r\n\r\n", |_| {}, 1),
        (POST, |_| {}, 10),
        (POST, |caller| caller.request_is_read.set(true), 1),
        (POST, CallerConnection::refused, 1),
    ];
    for (request, prepare, seconds) in cases {
        local(async {
            let (near, mut caller) = tokio::io::duplex(1024);
            let handler = move |_, caller: Rc<CallerConnection>| {
                prepare(&caller);
                std::future::ready(last_answer(StatusCode::OK, ""))
            };
            let served = Worker::new().serve(Accepted::Duplex(near), None, handler);
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
async fn little_is_read_after_a_refusal_of_the_guard() {
    local(async {
        let mut caller = Worker::new().connect(async |_, caller: Rc<CallerConnection>| {
            caller.refused();
            last_answer(StatusCode::FORBIDDEN, "no")
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

#[tokio::test(start_paused = true)]
async fn a_stop_closes_idle_connections_and_lets_requests_finish() {
    local(async {
        let worker = Worker::new();
        let mut idle = worker.connect(echo_path);
        idle.write_all(GET).await.unwrap();
        read_answer(&mut idle).await;
        let slow = async |request: Request<Incoming>, _| {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            tokio::time::sleep(Duration::from_secs(5)).await;
            answer(StatusCode::OK, body)
        };
        let (mut busy, mut head) = (worker.connect(slow), worker.connect(slow));
        let post = b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n";
        busy.write_all(post).await.unwrap();
        head.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let stream = async |_, _| Pieces::response(100, vec![b'x'; 8192], true);
        let mut streaming = worker.connect(stream);
        streaming.write_all(GET).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut silent = worker.connect(echo_path);
        let start = Instant::now();
        worker.shutdown.soon.cancel();
        worker.shutdown.now.cancel();
        assert_eq!(read_all(&mut idle).await, "");
        assert!(start.elapsed() < Duration::from_millis(100));
        // Its first request could be on the way.
        assert_eq!(read_all(&mut silent).await, "");
        assert!((200..600).contains(&start.elapsed().as_millis()));
        // The head was already on its way, and so was the body.
        busy.write_all(b"ok").await.unwrap();
        head.write_all(b"\r\n").await.unwrap();
        let answered = read_all(&mut busy).await;
        assert!(answered.contains("connection: close\r\n"), "{answered}");
        assert!(answered.ends_with("ok"), "{answered}");
        assert!(read_all(&mut head).await.starts_with("HTTP/1.1 200 "));
        let streamed = read_all(&mut streaming).await;
        assert!(streamed.ends_with("\r\n0\r\n\r\n"), "it is complete");
    })
    .await;
}

/// What hyper refuses by itself, and the answer in the place of its own.
fn malformed() -> Vec<(String, BareAnswer)> {
    let bad = [
        "garbage\r\n\r\n",
        "GET /?q={\"a\":1} HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\na : b\r\n\r\n",
        "GET / HTTP/1.1\r\na: b\0c\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "POST / HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n",
    ];
    let mut all = bad
        .map(|head| (head.to_owned(), BareAnswer::BadRequest))
        .to_vec();
    let (long, many) = ("x".repeat(20_000), "a: b\r\n".repeat(101));
    for fields in [format!("a: {long}\r\n"), many] {
        let head = format!("GET / HTTP/1.1\r\n{fields}\r\n");
        all.push((head, BareAnswer::HeaderTooLarge));
    }
    let target = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(70_000));
    all.push((target, BareAnswer::TargetTooLong));
    all
}

#[tokio::test(start_paused = true)]
async fn malformed_heads_get_the_proxys_own_answer_once() {
    for (head, expected) in malformed() {
        for before in ["", "GET /first HTTP/1.1\r\n\r\n"] {
            local(async {
                let worker = Worker::new();
                if expected == BareAnswer::TargetTooLong {
                    let max_header = 128 * 1024;
                    worker.registry.limits.set(ConnectionLimits {
                        max_header,
                        ..LIMITS
                    });
                }
                let (near, mut caller) = tokio::io::duplex(256 * 1024);
                worker.serve(Accepted::Duplex(near), None, echo_path);
                caller.write_all(before.as_bytes()).await.unwrap();
                caller.write_all(head.as_bytes()).await.unwrap();
                if !before.is_empty() {
                    assert_eq!(read_answer(&mut caller).await.1, "/first");
                }
                let (_, body) = read_answer(&mut caller).await;
                assert_eq!(body, format!("{expected:?}"), "{head:.60}");
                assert_eq!(read_all(&mut caller).await, "", "{head:.60}");
                assert_eq!(*worker.bare_answers.borrow(), [expected], "{head:.60}");
            })
            .await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_400_of_the_service_passes_as_it_is() {
    local(async {
        let worker = Worker::new();
        let mut caller = worker.connect(async |_, _| last_answer(StatusCode::BAD_REQUEST, ""));
        caller.write_all(GET).await.unwrap();
        let all = read_all(&mut caller).await;
        assert!(all.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{all}");
        assert!(all.contains("content-length: 0\r\n"), "{all}");
        assert!(worker.bare_answers.borrow().is_empty());
    })
    .await;
}
