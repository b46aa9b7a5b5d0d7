//! Callers of HTTP/2.

use super::*;

/// A caller of HTTP/2 with prior knowledge, and how its connection ended.
async fn http2(
    worker: &Worker,
    handler: impl Handler,
) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let (sender, connection) = client::handshake(worker.connect(handler)).await.unwrap();
    let ended = spawn_local(connection);
    (sender.ready().await.unwrap(), ended)
}

fn get(sender: &mut SendRequest<Bytes>, path: &str) -> ResponseFuture {
    let request = Request::get(format!("http://localhost{path}"));
    let sent = sender.send_request(request.body(()).unwrap(), true);
    sent.unwrap().0
}

#[tokio::test(start_paused = true)]
async fn streams_beyond_the_first_take_permits_until_their_last_byte() {
    local(async {
        let worker = Worker::with_permits(3);
        let handler = |path: &str, _: &CallerConnection| match path {
            "/hang" => pieces(1, b"piece".to_vec(), false),
            _ => answer(StatusCode::OK, "done"),
        };
        let (mut sender, _) = http2(&worker, handler).await;
        let mut hanging = Vec::new();
        for _ in 0..3 {
            hanging.push(get(&mut sender, "/hang").await.unwrap());
        }
        assert_eq!(worker.permits.available_permits(), 0);
        let refused = get(&mut sender, "/refused").await.unwrap_err();
        assert_eq!(refused.reason(), Some(Reason::REFUSED_STREAM));
        drop(hanging.pop());
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(worker.permits.available_permits(), 1);
        let served = get(&mut sender, "/served").await.unwrap();
        assert_eq!(served.status(), StatusCode::OK);
        drop(hanging);
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(worker.permits.available_permits(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_takes_nothing_of_its_answers_is_closed() {
    local(async {
        let worker = Worker::new();
        let handler = |_: &str, _: &CallerConnection| pieces(1000, vec![0; 16 * 1024], true);
        let (mut sender, ended) = http2(&worker, handler).await;
        let start = Instant::now();
        let stalled = get(&mut sender, "/").await.unwrap();
        // Keep-alive pings are answered all the same.
        let _ = ended.await.unwrap();
        assert!((300..304).contains(&start.elapsed().as_secs()));
        assert_eq!(worker.permits.available_permits(), 100);
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
async fn after_eight_refusals_the_connection_ends_with_goaway() {
    local(async {
        let (mut sender, ended) = http2(&Worker::new(), ok).await;
        for count in 1..=8 {
            let refused = get(&mut sender, "/refused").await.unwrap();
            assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{count}");
        }
        let ended = tokio::time::timeout(Duration::from_secs(1), ended).await;
        ended.unwrap().unwrap().unwrap();
        assert!(sender.ready().await.is_err());
    })
    .await;
}
