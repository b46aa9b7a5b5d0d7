use h2::client::{self, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use tokio::task::spawn_local;
use tokio::time::Instant;

use super::*;

/// A caller that speaks HTTP/2 at once, and how its connection ended.
async fn http2<F, Fut>(
    toy: &Toy,
    handler: F,
) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>)
where
    F: Fn(Request<Incoming>, Rc<CallerConnection>) -> Fut + 'static,
    Fut: Future<Output = Response<ToyBody>> + 'static,
{
    let (sender, connection) = client::handshake(toy.connect(handler)).await.unwrap();
    let ended = spawn_local(connection);
    (sender.ready().await.unwrap(), ended)
}

fn get(sender: &mut SendRequest<Bytes>, path: &str) -> ResponseFuture {
    let request = Request::get(format!("http://localhost{path}"));
    sender
        .send_request(request.body(()).unwrap(), true)
        .unwrap()
        .0
}

async fn text(response: Response<RecvStream>) -> String {
    let mut body = response.into_body();
    let mut text = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        let _ = body.flow_control().release_capacity(piece.len());
        text.extend_from_slice(&piece);
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test(start_paused = true)]
async fn fault_81_http_2_with_prior_knowledge_is_served() {
    local(async {
        let toy = Toy::new();
        let (mut sender, _) = http2(&toy, async |request: Request<Incoming>, _| {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            answer(StatusCode::OK, body)
        })
        .await;
        let request = Request::post("http://localhost/").body(()).unwrap();
        let (response, mut body) = sender.send_request(request, false).unwrap();
        body.send_data(Bytes::from_static(b"hello"), true).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert!(
            !response.headers().contains_key("date"),
            "dates are the gateway's"
        );
        assert_eq!(text(response).await, "hello");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_preface_that_comes_in_pieces_is_recognised() {
    local(async {
        let mut caller = Toy::new().connect(echo_path);
        for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" {
            tokio::io::AsyncWriteExt::write_all(&mut caller, &[*byte])
                .await
                .unwrap();
            tokio::task::yield_now().await;
        }
        let mut settings = [0; 9];
        caller.read_exact(&mut settings).await.unwrap();
        assert_eq!(settings[3], 4, "a SETTINGS frame");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn streams_beyond_the_first_take_permits_until_their_last_byte() {
    local(async {
        let toy = Toy::with(LIMITS, 2);
        let (mut sender, _) = http2(&toy, async |request: Request<Incoming>, _| {
            if request.uri().path() == "/hang" {
                return Pieces::response(1, "piece", End::Hanging);
            }
            answer(StatusCode::OK, "done")
        })
        .await;
        let mut hanging = Vec::new();
        for _ in 0..3 {
            hanging.push(get(&mut sender, "/hang").await.unwrap());
        }
        assert_eq!(toy.context.permits.available_permits(), 0);
        let refused = get(&mut sender, "/refused").await.unwrap_err();
        assert_eq!(refused.reason(), Some(Reason::REFUSED_STREAM));
        drop(hanging.pop());
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(toy.context.permits.available_permits(), 1);
        let served = get(&mut sender, "/served").await.unwrap();
        assert_eq!(text(served).await, "done");
        drop(hanging);
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(toy.context.permits.available_permits(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn fault_84_a_reset_ends_the_work_on_its_stream_alone() {
    local(async {
        let toy = Toy::new();
        let ends = Dropped::default();
        let inner = ends.clone();
        let (mut sender, _) = http2(&toy, move |request: Request<Incoming>, _| {
            let guard = inner.guard();
            async move {
                let _guard = guard;
                if request.uri().path() == "/hang" {
                    std::future::pending::<()>().await;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
                answer(StatusCode::OK, "done")
            }
        })
        .await;
        let (hanging, other) = (get(&mut sender, "/hang"), get(&mut sender, "/"));
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(ends.count(), 0);
        drop(hanging);
        ends.reaches(1).await;
        assert_eq!(text(other.await.unwrap()).await, "done");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_connection_ends_the_work_on_all_its_streams() {
    for closes_itself in [true, false] {
        local(async {
            let toy = Toy::new();
            let ends = Dropped::default();
            let inner = ends.clone();
            let (mut sender, ended) = http2(&toy, move |_, _| {
                let guard = inner.guard();
                async move {
                    let _guard = guard;
                    // One of many pieces is taken, then the window is full.
                    std::future::pending().await
                }
            })
            .await;
            let _hanging = (get(&mut sender, "/"), get(&mut sender, "/"));
            tokio::time::sleep(Duration::from_millis(100)).await;
            if closes_itself {
                ended.abort();
            } else {
                drop(sender);
            }
            drop(_hanging);
            ends.reaches(2).await;
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn fault_85_a_caller_that_takes_nothing_of_its_answers_is_closed() {
    local(async {
        let toy = Toy::new();
        let (mut sender, ended) = http2(&toy, async |_, _| {
            Pieces::response(1000, vec![0; 16 * 1024], End::Good)
        })
        .await;
        let start = Instant::now();
        let stalled = get(&mut sender, "/").await.unwrap();
        // Keep-alive pings are answered all the same.
        let _ = ended.await.unwrap();
        assert!(
            (300..304).contains(&start.elapsed().as_secs()),
            "{:?}",
            start.elapsed()
        );
        assert_eq!(toy.context.permits.available_permits(), 100);
        let mut body = stalled.into_body();
        let mut received = 0;
        while let Some(Ok(piece)) = body.data().await {
            received += piece.len();
        }
        assert!(received < 1000 * 16 * 1024 && !body.is_end_stream());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn fault_83_an_early_answer_leaves_other_streams_alone() {
    local(async {
        let toy = Toy::new();
        let (mut sender, _) = http2(&toy, async |request: Request<Incoming>, _| {
            if request.method() == "POST" {
                return answer(StatusCode::PAYLOAD_TOO_LARGE, "too large");
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            answer(StatusCode::OK, "done")
        })
        .await;
        let other = get(&mut sender, "/");
        let request = Request::post("http://localhost/").body(()).unwrap();
        let (response, mut body) = sender.send_request(request, false).unwrap();
        body.send_data(vec![0; 30_000].into(), false).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert_eq!(text(response).await, "too large");
        let reset = std::future::poll_fn(|cx| body.poll_reset(cx))
            .await
            .unwrap();
        assert_eq!(reset, Reason::NO_ERROR);
        assert_eq!(text(other.await.unwrap()).await, "done");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn fault_88_a_stop_sends_goaway_and_lets_streams_finish() {
    local(async {
        let toy = Toy::new();
        let (mut sender, ended) = http2(&toy, async |_, _| {
            tokio::time::sleep(Duration::from_secs(5)).await;
            answer(StatusCode::OK, "done")
        })
        .await;
        let (_, idle) = http2(&toy, echo_path).await;
        let running = get(&mut sender, "/");
        tokio::time::sleep(Duration::from_secs(1)).await;
        toy.drain.soon.cancel();
        toy.drain.now.cancel();
        let start = Instant::now();
        let _ = idle.await.unwrap();
        assert!(start.elapsed() < Duration::from_millis(600));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let late = sender.clone().ready().await;
        assert!(late.is_err() || late.unwrap().send_request(Request::new(()), true).is_err());
        assert_eq!(text(running.await.unwrap()).await, "done");
        drop(sender);
        ended.await.unwrap().unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn after_eight_refusals_the_connection_ends_with_goaway() {
    local(async {
        let toy = Toy::new();
        let (mut sender, ended) = http2(&toy, async |_, caller: Rc<CallerConnection>| {
            caller.refused();
            answer(StatusCode::FORBIDDEN, "no")
        })
        .await;
        for count in 1..=8 {
            let refused = get(&mut sender, "/").await.unwrap();
            assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{count}");
            assert_eq!(text(refused).await, "no");
        }
        tokio::time::timeout(Duration::from_secs(1), ended)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert!(sender.ready().await.is_err());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_at_its_limit() {
    local(async {
        let toy = Toy::new();
        let (mut sender, ended) = http2(&toy, echo_path).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        text(get(&mut sender, "/").await.unwrap()).await;
        let start = Instant::now();
        ended.await.unwrap().unwrap();
        assert!(
            (75..77).contains(&start.elapsed().as_secs()),
            "{:?}",
            start.elapsed()
        );
    })
    .await;
}
