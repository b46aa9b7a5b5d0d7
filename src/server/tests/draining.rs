use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::*;

#[tokio::test(start_paused = true)]
async fn an_announced_stop_makes_each_answer_the_last_one() {
    local(async {
        let toy = Toy::new();
        let mut idle = toy.connect(echo_path);
        idle.write_all(b"GET /1 HTTP/1.1\r\n\r\n").await.unwrap();
        assert!(!read_answer(&mut idle).await.0.contains("connection: close"));
        toy.drain.soon.cancel();
        tokio::time::sleep(Duration::from_secs(30)).await;
        idle.write_all(b"GET /2 HTTP/1.1\r\n\r\n").await.unwrap();
        let (head, body) = read_answer(&mut idle).await;
        assert!(head.contains("connection: close\r\n"), "{head}");
        assert_eq!(body, "/2");
        assert_eq!(read_all(&mut idle).await, "");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_closes_idle_connections_and_lets_requests_finish() {
    local(async {
        let toy = Toy::new();
        let mut idle = toy.connect(echo_path);
        idle.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        read_answer(&mut idle).await;
        let slow = async |request: Request<Incoming>, _| {
            let body = request.into_body().collect().await.unwrap().to_bytes();
            tokio::time::sleep(Duration::from_secs(5)).await;
            answer(StatusCode::OK, body)
        };
        let (mut busy, mut head) = (toy.connect(slow), toy.connect(slow));
        busy.write_all(b"POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n")
            .await
            .unwrap();
        head.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        let mut streaming =
            toy.connect(async |_, _| Pieces::response(100, vec![b'x'; 8192], End::Good));
        streaming
            .write_all(b"GET / HTTP/1.1\r\n\r\n")
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        let start = Instant::now();
        toy.drain.soon.cancel();
        toy.drain.now.cancel();
        assert_eq!(read_all(&mut idle).await, "");
        assert!(start.elapsed() < Duration::from_millis(100));
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

#[tokio::test(start_paused = true)]
async fn a_connection_that_was_just_accepted_may_bring_its_first_request() {
    local(async {
        let toy = Toy::new();
        let (mut late, mut silent) = (toy.connect(echo_path), toy.connect(echo_path));
        toy.drain.soon.cancel();
        toy.drain.now.cancel();
        let start = Instant::now();
        tokio::time::sleep(Duration::from_millis(200)).await;
        late.write_all(b"GET /late HTTP/1.1\r\n\r\n").await.unwrap();
        let (head, body) = read_answer(&mut late).await;
        assert_eq!(body, "/late");
        assert!(head.contains("connection: close"), "{head}");
        assert_eq!(read_all(&mut silent).await, "");
        assert!(start.elapsed() < Duration::from_millis(600));
    })
    .await;
}
