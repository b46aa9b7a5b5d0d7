//! HTTP/1.1.

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[test]
fn a_request_is_sent_as_it_is_and_the_connection_is_reused_last_in_first_out() {
    run(async {
        let gateway = Gateway::new().await;
        let upstream = gateway.upstream();
        let acquire = || upstream.acquire(0, Reuse::Any, Mode::Shared);
        let (mut links, mut connections) = (Vec::new(), Vec::new());
        for _ in 0..2 {
            let (acquired, link) = tokio::join!(acquire(), gateway.accept());
            let (connection, times) = acquired.unwrap();
            assert!(!connection.is_http2());
            assert!(times.dns.is_some() && times.tcp.is_some() && times.tls.is_none());
            connections.push(connection);
            links.push(link);
        }
        let stats = stats(&upstream);
        assert_eq!((stats.idle(), stats.active()), (0, 2));
        for (mut connection, link) in connections.into_iter().zip(&mut links) {
            let (answer, head) = tokio::join!(connection.send(abc()), async {
                let head = link.head().await;
                let mut body = [0; 3];
                link.0.read_exact(&mut body).await.unwrap();
                assert_eq!(&body, b"abc");
                link.write(OK).await;
                head
            });
            assert_eq!(
                head,
                "POST /v1/a?b=c HTTP/1.1\r\nhost: gateway.example\r\n\
                 authorization: SDK-HMAC-SHA256 x\r\ncontent-length: 3\r\n\r\n"
            );
            assert_eq!(text(answer.unwrap()).await, "ok");
            connection.release();
        }
        assert_eq!((stats.idle(), stats.active()), (2, 0));
        let (mut connection, times) = acquire().await.unwrap();
        assert_eq!(times, ConnectTimes::default());
        let (answer, ()) = tokio::join!(connection.send(get()), links[1].answer(OK));
        assert_eq!(text(answer.unwrap()).await, "ok");
    });
}

#[test]
fn failures_are_told_apart_by_how_far_the_exchange_got() {
    type Matches = fn(&Error) -> bool;
    let no_answer: Matches = |error| matches!(error, Error::UpstreamReset(_, Retry::IfIdempotent));
    let broken: Matches = |error| matches!(error, Error::UpstreamReset(_, Retry::Never));
    let bad: Matches = |error| matches!(error, Error::BadResponse(_));
    let too_large: Matches = |error| matches!(error, Error::AnswerHeaderTooLarge);
    let long = format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "a".repeat(LIMITS.bytes));
    let fields = "a: b\r\n".repeat(LIMITS.fields + 1);
    let many = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
    let codings = "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n";
    let lengths = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n";
    let cases = [
        ("", no_answer),
        ("HTTP/1.1 2", broken),
        ("HTTP/1.1 100 Continue\r\n\r\n", broken),
        ("SSH-2.0-OpenSSH\r\n", bad),
        ("HTTP/1.1 2x0 OK\r\n\r\n", bad),
        ("HTTP/1.1 200 OK\r\na : b\r\n\r\n", bad),
        (codings, bad),
        (lengths, bad),
        (&*long, too_large),
        (&*many, too_large),
    ];
    run(async move {
        let gateway = Gateway::new().await;
        for (answer, matches) in cases {
            for is_reset in [false, answer.is_empty()] {
                let (mut connection, mut link, _) = gateway.connected().await;
                let (answered, ()) = tokio::join!(connection.send(get()), link.answer(OK));
                assert_eq!(text(answered.unwrap()).await, "ok");
                pause().await;
                let (answered, ()) = tokio::join!(connection.send(get()), async {
                    link.answer(answer).await;
                    if is_reset {
                        link.reset().unwrap();
                    }
                });
                let error = answered.unwrap_err();
                let begin = &answer[..answer.len().min(40)];
                assert!(matches(&error), "{begin:?}: {error:?}");
            }
        }
        let (mut connection, link, _) = gateway.connected().await;
        drop(link);
        pause().await;
        let error = connection.send(abc()).await;
        assert!(matches!(error, Err(Error::NotSent(_))), "{error:?}");
    });
}
