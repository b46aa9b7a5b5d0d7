//! `CONNECT` through the egress proxy of the network.

use super::*;
use crate::config::EgressProxy;

/// The outcome of a tunnel to a host through a proxy that answers this, and what it was asked.
async fn tunnel(
    host: &str,
    authorization: Option<&str>,
    answer: &str,
) -> (Result<TcpStream, Error>, String) {
    let gateway = Gateway::new().await;
    let proxy = EgressProxy {
        host: "127.0.0.1".to_owned(),
        port: 0,
        authorization: authorization.map(|value| value.parse().unwrap()),
    };
    let tcp = TcpStream::connect(gateway.address).await.unwrap();
    let mut link = gateway.accept().await;
    tokio::join!(connector::tunnel(tcp, &proxy, host, 443), async {
        let asked = link.head().await;
        let _ = link.0.write_all(answer.as_bytes()).await;
        pause().await;
        asked
    })
}

#[test]
fn a_tunnel_is_asked_for_with_the_credentials_of_the_network() {
    let basic = "gw.example:443 HTTP/1.1\r\nhost: gw.example:443\r\n\
                 proxy-authorization: Basic eA==";
    let ipv6 = "[::1]:443 HTTP/1.1\r\nhost: [::1]:443";
    run(async move {
        for (host, authorization, version, head) in [
            ("gw.example", Some("Basic eA=="), "1.1", basic),
            ("::1", None, "1.0", ipv6),
        ] {
            let answer = format!("HTTP/{version} 200 Connection established\r\n\r\n");
            let (tunnelled, asked) = tunnel(host, authorization, &answer).await;
            assert!(tunnelled.is_ok());
            assert_eq!(asked, format!("CONNECT {head}\r\n\r\n"));
        }
    });
}

#[test]
fn a_proxy_that_refuses_or_does_not_answer_as_one_opens_no_tunnel() {
    let long = format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "a".repeat(20_000));
    let refusal = "HTTP/1.1 407 Authenticate\r\ncontent-length: 2\r\n\r\nno";
    let cases = [
        (refusal, Some(407)),
        ("HTTP/1.1 503 Busy\r\nconnection: close\r\n\r\n", Some(503)),
        ("SSH-2.0-OpenSSH\r\n\r\n", None),
        ("HTTP/1.1 200 OK\r\n\r\nmore", None),
        ("", None),
        (&*long, None),
    ];
    run(async move {
        for (answer, refused) in cases {
            let begin = &answer[..answer.len().min(20)];
            let tunnelled = tunnel("gw.example", None, answer);
            match timeout(Duration::from_secs(1), tunnelled).await {
                Ok((Err(Error::EgressRefused { status }), _)) => {
                    assert_eq!(Some(status), refused, "{begin}");
                }
                Ok((Err(Error::UpstreamUnreachable(_)), _)) => assert!(refused.is_none()),
                Ok((outcome, _)) => panic!("{begin}: {outcome:?}"),
                // It is silent, and the caller bounds the time.
                Err(_) => assert!(answer.is_empty()),
            }
        }
    });
}
