//! What services give, whatever their clocks show.

use jiff::Timestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::config::{Endpoint, with_upstream};
use crate::server::network;

#[test]
fn a_lifetime_is_told_by_the_clock_of_who_gives_it() {
    let at = Moment::now();
    let end = at.wall() + 5000;
    assert_eq!(lifetime(end, None, at), Duration::from_secs(5));
    let told = at.wall() / 1000;
    assert_eq!(lifetime(end, Some(told), at), Duration::from_secs(5));
    // This machine is a day ahead.
    let told = at.wall() / 1000 - 86400;
    let end = told * 1000 + 61_000;
    assert_eq!(lifetime(end, Some(told), at), Duration::from_secs(60));
    assert_eq!(lifetime(end, None, at), Duration::ZERO);
}

/// A metadata service with a clock of its own, so many seconds ahead, which gives keys for a minute.
async fn metadata_service(ahead: i64) -> Metadata {
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
    Metadata {
        endpoint: Endpoint::parse(&format!("http://{address}")).unwrap(),
    }
}

#[tokio::test]
async fn it_does_not_matter_that_a_service_s_clock_is_hours_away_from_this_machine_s() {
    let config = with_upstream("https://gateway.example").unwrap();
    let network = network(&config).unwrap();
    for hours in [-30, -5, 0, 5, 30] {
        let service = metadata_service(hours * 3600).await;
        let issued = Service::Metadata(service).ask(&network).await.unwrap();
        let lifetime = issued.lifetime.unwrap().as_secs();
        assert!((57..=61).contains(&lifetime), "{hours} h: {lifetime} s");
    }
}
