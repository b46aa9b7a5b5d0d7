//! The lifetime of a key does not depend on the clocks of the service and of this machine.

use jiff::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::config::with_upstream;
use crate::server::network;

/// A metadata service with a clock that is so many seconds ahead, which gives keys for a minute.
async fn metadata_service(ahead: i64) -> Service {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let now = Timestamp::from_second(crate::clock::unix_seconds() + ahead).unwrap();
            let end = now + jiff::SignedDuration::from_secs(60);
            let date = now.strftime("%a, %d %b %Y %H:%M:%S GMT");
            let body = if head.starts_with(b"PUT") {
                "token".to_owned()
            } else {
                format!(
                    r#"{{"credential":{{"access":"AK","secret":"SK","securitytoken":"t","expires_at":"{end}"}}}}"#
                )
            };
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\ndate: {date}\r\ncontent-length: {length}\r\n\r\n{body}"
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    metadata::at(Endpoint::parse(&format!("http://{address}")).unwrap())
}

#[tokio::test]
async fn clock_skew_of_hours_on_either_side_is_tolerated() {
    let network = network(&with_upstream("https://gateway.example").unwrap()).unwrap();
    for hours in [-30, -5, 0, 5, 30] {
        let service = metadata_service(hours * 3600).await;
        let lease = service.ask(&network).await.unwrap();
        let lifetime = lease.lifetime.unwrap().as_secs();
        assert!((57..=61).contains(&lifetime), "{hours} h: {lifetime} s");
    }
}
