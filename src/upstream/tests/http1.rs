//! HTTP/1.1.

use super::*;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[test]
fn a_request_is_sent_as_it_is_and_the_connection_is_reused_last_in_first_out() {
    run(async {
        let gateway = Gateway::new().await;
        let (upstream, origin) = gateway.upstream();
        let acquire = || upstream.acquire(origin, Reuse::Any, Mode::Shared);
        let mut links = Vec::new();
        let mut connections = Vec::new();
        for _ in 0..2 {
            let (acquired, link) = tokio::join!(acquire(), gateway.accept());
            let (connection, times) = acquired.unwrap();
            assert!(!connection.is_reused() && !connection.is_http2());
            assert!(times.dns.is_some() && times.tcp.is_some() && times.tls.is_none());
            connections.push(connection);
            links.push(link);
        }
        let (_, _, stats) = upstream.pool_stats().next().unwrap();
        assert_eq!((stats.idle(), stats.active()), (0, 2));
        for (mut connection, link) in connections.into_iter().zip(&mut links) {
            let sending = connection.send(request("POST", full("abc")));
            let (answer, head) = tokio::join!(sending, async {
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
        assert!(connection.is_reused());
        assert_eq!(times, ConnectTimes::default());
        let (answer, ()) = tokio::join!(connection.send(get()), links[1].answer(OK));
        assert_eq!(text(answer.unwrap()).await, "ok");
    });
}

#[test]
fn a_fresh_connection_is_a_new_one_and_an_old_one_is_not_kept() {
    run(async {
        let gateway = Gateway::new().await;
        let age = |pool: &mut PoolConfig| pool.age = Duration::from_millis(20);
        for (reuse, change) in [(Reuse::Fresh, None), (Reuse::Any, Some(age))] {
            let change = move |pool: &mut PoolConfig| change.iter().for_each(|change| change(pool));
            let (upstream, origin) = gateway.upstream_with("http", &[], change);
            for _ in 0..2 {
                let acquired = upstream.acquire(origin, reuse, Mode::Exclusive);
                let (acquired, mut link) = tokio::join!(acquired, gateway.accept());
                let mut connection = acquired.unwrap().0;
                let (answer, ()) = tokio::join!(connection.send(get()), link.answer(OK));
                assert_eq!(text(answer.unwrap()).await, "ok");
                connection.release();
                pause().await;
            }
        }
    });
}

#[test]
fn a_connection_that_the_gateway_closed_or_wrote_on_while_idle_is_not_reused() {
    run(async {
        for unasked in ["", "HTTP/1.1 408 Request Timeout\r\n\r\n"] {
            let gateway = Gateway::new().await;
            let (upstream, origin) = gateway.upstream();
            let acquire = || upstream.acquire(origin, Reuse::Any, Mode::Exclusive);
            let (acquired, mut link) = tokio::join!(acquire(), gateway.accept());
            let mut connection = acquired.unwrap().0;
            let (answer, ()) = tokio::join!(connection.send(get()), link.answer(OK));
            assert_eq!(text(answer.unwrap()).await, "ok");
            connection.release();
            if unasked.is_empty() {
                drop(link);
            } else {
                link.write(unasked).await;
                assert!(link.is_closed().await);
            }
            pause().await;
            let (acquired, _link) = tokio::join!(acquire(), gateway.accept());
            assert!(!acquired.unwrap().0.is_reused(), "{unasked}");
        }
    });
}

#[test]
fn the_idle_limit_of_the_gateway_is_learned_from_when_it_closes() {
    run(async {
        let gateway = Gateway::new().await;
        let (upstream, origin) = gateway.upstream();
        let maintaining = Rc::clone(&upstream);
        tokio::task::spawn_local(async move { maintaining.maintain().await });
        let acquire = upstream.acquire(origin, Reuse::Any, Mode::Exclusive);
        let (acquired, mut link) = tokio::join!(acquire, gateway.accept());
        let mut connection = acquired.unwrap().0;
        let (answer, ()) = tokio::join!(connection.send(get()), link.answer(OK));
        assert_eq!(text(answer.unwrap()).await, "ok");
        connection.release();
        tokio::time::sleep(Duration::from_millis(1600)).await;
        drop(link);
        tokio::time::sleep(Duration::from_millis(1100)).await;
        let limit = upstream.targets[0].pool.idle_limit();
        assert!(limit < Duration::from_millis(1500), "{limit:?}");
        let (_, _, stats) = upstream.pool_stats().next().unwrap();
        assert_eq!(stats.idle(), 0);
    });
}

#[test]
fn a_request_over_a_connection_that_was_closed_before_is_not_sent_and_its_body_given_back() {
    run(async {
        let gateway = Gateway::new().await;
        let (mut connection, link) = gateway.connected().await;
        drop(link);
        pause().await;
        let error = connection.send(request("POST", full("abc"))).await;
        assert!(matches!(error, Err(SendError::NotSent(_))), "{error:?}");
        let body = connection.take_unsent_body().unwrap();
        assert_eq!(body.collect().await.unwrap().to_bytes(), "abc");
        assert!(connection.take_unsent_body().is_none());
    });
}

#[test]
fn failures_are_told_apart_by_how_far_the_answer_got() {
    type Matches = fn(&SendError) -> bool;
    let no_answer: Matches = |error| matches!(error, SendError::NoAnswer(_));
    let broken: Matches = |error| matches!(error, SendError::Broken(_));
    let bad: Matches = |error| matches!(error, SendError::BadResponse(_));
    let too_large: Matches = |error| matches!(error, SendError::AnswerHeadTooLarge);
    let long = format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "a".repeat(LIMITS.bytes));
    let many = format!(
        "HTTP/1.1 200 OK\r\n{}\r\n",
        "a: b\r\n".repeat(LIMITS.fields + 1)
    );
    let cases = [
        ("", no_answer),
        ("HTTP/1.1 2", broken),
        ("HTTP/1.1 100 Continue\r\n\r\n", broken),
        ("SSH-2.0-OpenSSH\r\n", bad),
        ("HTTP/1.1 2x0 OK\r\n\r\n", bad),
        ("HTTP/1.1 200 OK\r\na : b\r\n\r\n", bad),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            bad,
        ),
        (&*long, too_large),
        (&*many, too_large),
    ];
    run(async move {
        for (answer, matches) in cases {
            let gateway = Gateway::new().await;
            let (mut connection, mut link) = gateway.connected().await;
            let (answered, ()) = tokio::join!(connection.send(get()), async {
                link.head().await;
                // The client may close before it was written to its end.
                let _ = link.0.write_all(answer.as_bytes()).await;
                drop(link);
            });
            let error = answered.unwrap_err();
            let begin = &answer[..answer.len().min(40)];
            assert!(matches(&error), "{begin:?}: {error:?}");
            assert!(connection.take_unsent_body().is_none());
        }
    });
}

#[test]
fn a_reset_without_an_answer_is_no_answer() {
    run(async {
        let gateway = Gateway::new().await;
        let (mut connection, mut link) = gateway.connected().await;
        let (answered, ()) = tokio::join!(connection.send(get()), async {
            link.head().await;
            reset(link).unwrap();
        });
        assert!(
            matches!(answered, Err(SendError::NoAnswer(_))),
            "{answered:?}"
        );
    });
}

#[test]
fn an_answer_head_up_to_the_limits_is_accepted() {
    let heads = [
        format!("a: {}\r\n", "a".repeat(LIMITS.bytes - 100)),
        "a: b\r\n".repeat(LIMITS.fields - 1),
    ];
    run(async move {
        for head in heads {
            let gateway = Gateway::new().await;
            let (mut connection, mut link) = gateway.connected().await;
            let answer = format!("HTTP/1.1 200 OK\r\n{head}content-length: 2\r\n\r\nok");
            let (answered, ()) = tokio::join!(connection.send(get()), link.answer(&answer));
            assert_eq!(text(answered.unwrap()).await, "ok");
        }
    });
}

#[test]
fn an_early_answer_is_returned_at_once_and_the_upload_goes_on() {
    run(async {
        let gateway = Gateway::new().await;
        let (mut connection, mut link) = gateway.connected().await;
        let (pieces, body) = streamed();
        pieces.send(data("one")).unwrap();
        let (answered, ()) = tokio::join!(connection.send(request("POST", body)), link.answer(OK));
        assert_eq!(text(answered.unwrap()).await, "ok");
        pieces.send(data("two")).unwrap();
        // It is released while the upload goes on, and kept because that ends soon.
        let pool = connection_pool(&connection);
        connection.release();
        pause().await;
        assert_eq!(pool.stats().idle(), 0);
        drop(pieces);
        let mut rest = String::new();
        while !rest.ends_with("0\r\n\r\n") {
            rest.push(link.0.read_u8().await.unwrap().into());
        }
        assert_eq!(rest, "3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n");
        pause().await;
        assert_eq!((pool.stats().idle(), pool.stats().active()), (1, 0));
    });
}

fn connection_pool(connection: &Connection<TestBody>) -> Rc<Pool<Http1Connection<TestBody>>> {
    connection.pool().unwrap()
}

#[test]
fn an_answer_wins_over_an_upload_that_breaks_off_with_it() {
    run(async {
        for is_reset in [false, true] {
            let gateway = Gateway::new().await;
            let (mut connection, mut link) = gateway.connected().await;
            let (pieces, body) = streamed();
            let uploading = async {
                // More than all buffers between the two take.
                for _ in 0..200 {
                    let _ = pieces.send(data(vec![0; 100_000]));
                    tokio::task::yield_now().await;
                }
                pause().await;
            };
            let (answered, (), ()) =
                tokio::join!(connection.send(request("POST", body)), uploading, async {
                    link.answer("HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
                        .await;
                    if is_reset {
                        pause().await;
                        reset(link).unwrap();
                    }
                });
            let answer = answered.unwrap();
            assert_eq!(answer.status(), 413);
            assert_eq!(text(answer).await, "no");
        }
    });
}

#[test]
fn an_error_of_the_request_body_is_given_back_and_closes_the_connection() {
    run(async {
        let gateway = Gateway::new().await;
        let (mut connection, mut link) = gateway.connected().await;
        let (pieces, body) = streamed();
        pieces.send(data("one")).unwrap();
        let (answered, ()) = tokio::join!(connection.send(request("POST", body)), async {
            link.head().await;
            pieces.send(Err(CallerGone.into())).unwrap();
        });
        let error = answered.unwrap_err();
        assert!(has_body_error(&error), "{error:?}");
        let mut rest = Vec::new();
        link.0.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"3\r\none\r\n", "no last chunk");
    });
}

#[test]
fn interim_answers_are_dropped_and_bounded() {
    run(async {
        for (count, is_good) in [(32, true), (33, false)] {
            let gateway = Gateway::new().await;
            let (mut connection, mut link) = gateway.connected().await;
            let interim = "HTTP/1.1 103 Early Hints\r\na: b\r\n\r\n".repeat(count);
            let (answered, ()) = tokio::join!(connection.send(get()), async {
                link.answer(&interim).await;
                if is_good {
                    link.write(OK).await;
                }
            });
            match answered {
                Ok(answer) => assert!(is_good && text(answer).await == "ok"),
                Err(error) => assert!(!is_good && matches!(error, SendError::TooManyInterim)),
            }
        }
    });
}

#[test]
fn after_a_101_the_stream_is_given_out_with_what_was_read_of_it() {
    run(async {
        let gateway = Gateway::new().await;
        let (mut connection, mut link) = gateway.connected().await;
        let pool = connection_pool(&connection);
        let switched = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\
                        connection: upgrade\r\n\r\nearly";
        let (answered, ()) = tokio::join!(connection.send(get()), link.answer(switched));
        assert_eq!(answered.unwrap().status(), 101);
        let (mut stream, early) = connection.into_stream().await.unwrap();
        assert_eq!(early, "early");
        stream.write_all(b"ping").await.unwrap();
        let mut ping = [0; 4];
        link.0.read_exact(&mut ping).await.unwrap();
        link.write("pong").await;
        let mut pong = [0; 4];
        stream.read_exact(&mut pong).await.unwrap();
        assert_eq!((&ping, &pong), (b"ping", b"pong"));
        assert_eq!(pool.stats().active(), 1);
        drop(stream);
        assert!(link.is_closed().await);
        assert_eq!(pool.stats().active(), 0);
    });
}

#[test]
fn a_connection_is_closed_if_its_answer_was_not_read_to_the_end() {
    run(async {
        let gateway = Gateway::new().await;
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\nbegin";
        for is_released in [true, false] {
            let (mut connection, mut link) = gateway.connected().await;
            let pool = connection_pool(&connection);
            let (answered, ()) = tokio::join!(connection.send(get()), link.answer(answer));
            let answer = answered.unwrap();
            if is_released {
                drop(answer);
                connection.release();
            } else {
                drop(connection);
            }
            assert!(link.is_closed().await);
            pause().await;
            assert_eq!((pool.stats().idle(), pool.stats().active()), (0, 0));
        }
    });
}

#[test]
fn a_connection_whose_request_is_given_up_is_closed() {
    run(async {
        let gateway = Gateway::new().await;
        let (mut connection, mut link) = gateway.connected().await;
        let sending = timeout(Duration::from_millis(50), connection.send(get()));
        let (sent, _) = tokio::join!(sending, link.head());
        assert!(sent.is_err());
        connection.release();
        assert!(link.is_closed().await);
    });
}

#[test]
fn an_answer_that_asks_to_close_is_read_and_the_connection_not_kept() {
    run(async {
        let gateway = Gateway::new().await;
        for answer in [
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
            "HTTP/1.0 200 OK\r\n\r\nok",
        ] {
            let (mut connection, mut link) = gateway.connected().await;
            let pool = connection_pool(&connection);
            let (answered, ()) = tokio::join!(connection.send(get()), link.answer(answer));
            drop(link);
            assert_eq!(text(answered.unwrap()).await, "ok");
            connection.release();
            pause().await;
            assert_eq!((pool.stats().idle(), pool.stats().active()), (0, 0));
        }
    });
}
