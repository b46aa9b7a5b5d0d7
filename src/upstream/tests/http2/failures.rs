//! Streams that are refused, connections that go away, requests and answers that break off.

use super::*;

#[test]
fn fault_102_after_an_error_of_the_connection_what_the_gateway_did_not_get_to_is_not_sent() {
    for (code, is_closed) in [
        (NO_ERROR, false),
        (NO_ERROR, true),
        (ENHANCE_YOUR_CALM, false),
        (ENHANCE_YOUR_CALM, true),
    ] {
        run(async move {
            let (connections, streams, mut frames) = by_hand(3).await;
            let sent = streams.into_iter().map(|mut stream| async move {
                let answered = stream.send(request("POST", full("abc"))).await;
                (answered, stream)
            });
            let (mut sent, ()) = tokio::join!(futures_util::future::join_all(sent), async {
                let ids = [
                    frames.request().await,
                    frames.request().await,
                    frames.request().await,
                ];
                assert_eq!(ids, [1, 3, 5]);
                frames.go_away(1, code).await;
                if is_closed {
                    drop(frames);
                } else {
                    frames.answer(1).await;
                    pause().await;
                }
            });
            for (answered, _) in sent.drain(1..) {
                assert!(
                    matches!(answered, Err(SendError::NotSent(_))),
                    "{answered:?}"
                );
            }
            let first = sent.remove(0).0;
            if is_closed {
                assert!(matches!(first, Err(SendError::NoAnswer(_))), "{first:?}");
            } else {
                assert!(
                    matches!(&first, Ok(answer) if answer.status() == 200),
                    "{code}: {first:?}"
                );
            }
            assert!(connections.find().is_none());
            connections.evict(Duration::from_secs(60), Duration::from_secs(60));
            assert_eq!(connections.idle(), 0);
        });
    }
}

#[test]
fn a_request_over_a_connection_that_went_away_before_is_not_sent_and_its_body_given_back() {
    run(async {
        for is_closed in [false, true] {
            let (_connections, mut streams, mut frames) = by_hand(1).await;
            frames.go_away(0, NO_ERROR).await;
            if is_closed {
                drop(frames);
            }
            pause().await;
            let error = streams[0].send(request("POST", full("abc"))).await;
            assert!(matches!(error, Err(SendError::NotSent(_))), "{error:?}");
            let body = streams[0].take_unsent_body().unwrap();
            assert_eq!(body.collect().await.unwrap().to_bytes(), "abc");
        }
    });
}

#[test]
fn a_refused_stream_is_not_sent_and_other_resets_are_no_answer() {
    run(async {
        for (code, is_unsent, may_be_http2) in [
            (REFUSED, true, true),
            (HTTP_1_1_REQUIRED, true, false),
            (ENHANCE_YOUR_CALM, false, true),
        ] {
            let (connections, mut streams, mut frames) = by_hand(1).await;
            let (answered, ()) = tokio::join!(streams[0].send(get()), async {
                let stream = frames.request().await;
                frames.reset(stream, code).await;
            });
            let error = answered.unwrap_err();
            assert_eq!(
                matches!(error, SendError::NotSent(_)),
                is_unsent,
                "{error:?}"
            );
            assert_eq!(
                matches!(error, SendError::NoAnswer(_)),
                !is_unsent,
                "{error:?}"
            );
            assert_eq!(connections.is_possible(), may_be_http2);
            // Others share it no longer if it has refused one.
            assert_eq!(connections.find().is_none(), is_unsent);
        }
    });
}

#[test]
fn a_connection_marked_unusable_takes_no_more_requests_and_ends_with_its_last() {
    run(async {
        let (connections, mut streams, mut frames) = by_hand(2).await;
        streams[0].mark_unusable();
        assert!(connections.find().is_none());
        connections.evict(Duration::from_secs(60), Duration::from_secs(60));
        let (answered, ()) = tokio::join!(streams[1].send(get()), async {
            let stream = frames.request().await;
            frames.answer(stream).await;
        });
        assert_eq!(answered.unwrap().status(), 200);
        drop(streams);
        // GOAWAY or not, it is closed.
        let mut rest = Vec::new();
        let _ = frames.0.0.read_to_end(&mut rest).await;
    });
}

#[test]
fn a_request_that_is_given_up_ends_its_stream_only() {
    run(async {
        let (_connections, mut streams, mut frames) = by_hand(2).await;
        let mut second = streams.pop().unwrap();
        let mut first = streams.pop().unwrap();
        let (given_up, stream) = tokio::join!(
            timeout(Duration::from_millis(50), first.send(get())),
            frames.request()
        );
        assert!(given_up.is_err() && stream == 1);
        drop(first);
        let (answered, ()) = tokio::join!(second.send(get()), async {
            let mut head = [0; 9];
            loop {
                frames.0.0.read_exact(&mut head).await.unwrap();
                let length = usize::from(head[2]) + 256 * usize::from(head[1]);
                let mut payload = vec![0; length];
                frames.0.0.read_exact(&mut payload).await.unwrap();
                if head[3] == RST_STREAM {
                    assert_eq!((head[8], &payload[..]), (1, &[0, 0, 0, 8][..]), "CANCEL");
                    break;
                }
                if head[3] == HEADERS {
                    assert_eq!(head[8], 3);
                    frames.answer(3).await;
                }
            }
            frames.answer(3).await;
        });
        assert_eq!(answered.unwrap().status(), 200);
    });
}

#[test]
fn an_error_of_the_request_body_is_given_back_over_http2_too() {
    run(async {
        let (_connections, mut streams, mut frames) = by_hand(1).await;
        let (pieces, body) = streamed();
        pieces.send(data("one")).unwrap();
        let (answered, _) = tokio::join!(streams[0].send(request("POST", body)), async {
            let stream = frames.request().await;
            pieces.send(Err(CallerGone.into())).unwrap();
            stream
        });
        let error = answered.unwrap_err();
        assert!(has_body_error(&error), "{error:?}");
    });
}

#[test]
fn an_answer_head_over_http2_is_bounded() {
    run(async {
        for (fields, length) in [(1, LIMITS.bytes + 1), (LIMITS.fields + 1, 1)] {
            let gateway = Gateway::new().await;
            let connections = connections();
            let client = async {
                let stream = connections.start(dial(&gateway).await).await.unwrap();
                let error = acquired(stream).await.send(get()).await.unwrap_err();
                assert!(matches!(error, SendError::AnswerHeadTooLarge), "{error:?}");
            };
            let serving = serve(
                &gateway,
                h2::server::Builder::new(),
                async |_, mut respond| {
                    let mut answer = Response::new(());
                    for _ in 0..fields {
                        let value = "a".repeat(length).parse().unwrap();
                        answer.headers_mut().append("x-a", value);
                    }
                    let _ = respond.send_response(answer, true);
                },
            );
            tokio::select! {
                () = client => {}
                () = serving => panic!("the client is done first"),
            }
        }
    });
}
