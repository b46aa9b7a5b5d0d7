//! Which protocol is used: it is offered by ALPN, and then the gateway has to speak it.

use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::*;

/// A server that agrees to HTTP/2 by ALPN.
fn tls() -> (TlsAcceptor, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = made.signing_key.serialize_der().try_into().unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    (Arc::new(config).into(), certificate)
}

#[test]
fn http2_is_used_from_enough_requests_in_flight_and_one_connection_is_shared() {
    run(async {
        let gateway = Gateway::new().await;
        let (acceptor, root) = tls();
        let (upstream, origin) = gateway.upstream_with("https", &[root], |_| {});
        let serving = async {
            loop {
                let stream = acceptor.accept(gateway.accept().await.0).await.unwrap();
                if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                    tokio::task::spawn_local(async move {
                        let mut connection = h2::server::handshake(stream).await.unwrap();
                        while let Some(Ok((_, mut respond))) = connection.accept().await {
                            let answer = respond.send_response(Response::new(()), false);
                            answer.unwrap().send_data(Bytes::from("ok"), true).unwrap();
                        }
                    });
                } else {
                    tokio::task::spawn_local(async move {
                        let _held = stream;
                        pause().await;
                    });
                }
            }
        };
        let client = async {
            let acquire = || upstream.acquire(origin, Reuse::Any, Mode::Shared);
            let mut acquired = Vec::new();
            for number in 0..12 {
                let (connection, times) = acquire().await.unwrap();
                assert_eq!(connection.is_http2(), number >= 7, "{number}");
                assert_eq!(times.tls.is_some(), number <= 7, "{number}");
                acquired.push(connection);
            }
            for connection in &mut acquired[7..] {
                assert_eq!(text(connection.send(get()).await.unwrap()).await, "ok");
            }
            let exclusive = upstream.acquire(origin, Reuse::Any, Mode::Exclusive).await;
            assert!(!exclusive.unwrap().0.is_http2());
        };
        tokio::select! {
            () = client => {}
            () = serving => {}
        }
    });
}

#[test]
fn a_gateway_that_does_not_begin_with_http2_is_spoken_to_in_http1() {
    run(async {
        let gateway = Gateway::new().await;
        let (acceptor, root) = tls();
        let (upstream, origin) = gateway.upstream_with("https", &[root], |_| {});
        upstream.targets[0].concurrency.record(100);
        let acquire = || upstream.acquire(origin, Reuse::Any, Mode::Shared);
        let serving = async {
            let silent = acceptor.accept(gateway.accept().await.0).await.unwrap();
            let second = acceptor.accept(gateway.accept().await.0).await.unwrap();
            assert_eq!(second.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
            (silent, second)
        };
        let (acquired, mut served) = tokio::join!(acquire(), serving);
        assert!(!acquired.unwrap().0.is_http2());
        assert!(!upstream.targets[0].http2.is_possible());
        let mut rest = Vec::new();
        let _ = served.0.read_to_end(&mut rest).await;
        assert!(rest.starts_with(b"PRI"), "and then it is closed");
    });
}
