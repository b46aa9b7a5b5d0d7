use tokio::io::AsyncWriteExt;

use super::*;

/// What hyper refuses by itself, and the answer in the place of its own.
fn refused() -> Vec<(String, BareAnswer)> {
    let long = "x".repeat(20_000);
    let many = "a: b\r\n".repeat(101);
    let target = "x".repeat(70_000);
    let bad = [
        "garbage\r\n\r\n",
        "GET /a b HTTP/1.1\r\n\r\n",
        "GET /?q={\"a\":1} HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\na: b\r\n c\r\n\r\n",
        "GET / HTTP/1.1\r\na : b\r\n\r\n",
        "GET / HTTP/1.1\r\na: b\0c\r\n\r\n",
        "GET / HTTP/3.7\r\n\r\n",
        "POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "POST / HTTP/1.1\r\ncontent-length: +1\r\n\r\na",
        "POST / HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n",
        "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    ];
    let bad = bad.map(|head| (head.to_owned(), BareAnswer::BadRequest));
    let mut all = bad.to_vec();
    let large = format!("GET / HTTP/1.1\r\na: {long}\r\n\r\n");
    all.push((large, BareAnswer::HeaderTooLarge));
    all.push((
        format!("GET / HTTP/1.1\r\n{many}\r\n"),
        BareAnswer::HeaderTooLarge,
    ));
    let target = format!("GET /{target} HTTP/1.1\r\n\r\n");
    all.push((target, BareAnswer::TargetTooLong));
    all
}

#[tokio::test(start_paused = true)]
async fn what_hyper_refuses_gets_the_proxys_own_answer_once() {
    for (head, expected) in refused() {
        for before in ["", "GET /first HTTP/1.1\r\n\r\n"] {
            local(async {
                let toy = Toy::new();
                if expected == BareAnswer::TargetTooLong {
                    toy.context.max_header.set(128 * 1024);
                }
                let (near, mut caller) = tokio::io::duplex(256 * 1024);
                toy.serve(Accepted::Duplex(near), echo_path);
                caller.write_all(before.as_bytes()).await.unwrap();
                caller.write_all(head.as_bytes()).await.unwrap();
                if !before.is_empty() {
                    assert_eq!(read_answer(&mut caller).await.1, "/first");
                }
                let (_, body) = read_answer(&mut caller).await;
                assert_eq!(body, format!("{expected:?}"), "{head:.60}");
                assert_eq!(read_all(&mut caller).await, "", "{head:.60}");
                assert_eq!(*toy.bare_answers.borrow(), [expected], "{head:.60}");
            })
            .await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_400_of_the_service_passes_as_it_is() {
    local(async {
        let toy = Toy::new();
        let mut caller = toy.connect(async |_, _| {
            let mut refusal = answer(StatusCode::BAD_REQUEST, "");
            let close = "close".parse().unwrap();
            refusal.headers_mut().insert("connection", close);
            refusal
        });
        caller.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let all = read_all(&mut caller).await;
        assert!(all.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{all}");
        assert!(all.contains("content-length: 0\r\n"), "{all}");
        assert!(toy.bare_answers.borrow().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_malformed_is_the_services_to_answer() {
    local(async {
        let toy = Toy::new();
        let mut caller = toy.connect(async |request: Request<Incoming>, _| {
            let is_err = request.into_body().collect().await.is_err();
            answer(StatusCode::BAD_REQUEST, format!("broken: {is_err}"))
        });
        let chunked = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n";
        caller.write_all(chunked).await.unwrap();
        assert_eq!(read_answer(&mut caller).await.1, "broken: true");
        assert!(toy.bare_answers.borrow().is_empty());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn fault_15_a_tls_hello_on_a_plain_port_is_answered_in_plain_text() {
    local(async {
        let toy = Toy::new();
        let mut caller = toy.connect(echo_path);
        caller.write_all(&[0x16, 3, 1, 2, 0, 1]).await.unwrap();
        let (head, body) = read_answer(&mut caller).await;
        assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
        assert_eq!(body, "TlsOnPlainPort");
        assert_eq!(*toy.bare_answers.borrow(), [BareAnswer::TlsOnPlainPort]);
    })
    .await;
}
