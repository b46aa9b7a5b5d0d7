//! TCP connections to a host with several addresses, of both families (RFC 8305).
//!
//! Attempts are staggered: the next address is tried when the one before has failed, or has not
//! answered for a moment, and the first connection that succeeds is used. An address that drops all
//! packets costs a moment, not the whole connect limit. hyper-util's connector races families only,
//! and tries the addresses of one family one after the other.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long an attempt may take before the next one starts (RFC 8305 §5).
const STAGGER: Duration = Duration::from_millis(250);

/// TCP keep-alive: after which silence, how often, and how many probes may be lost.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_PROBES: u32 = 3;

/// How long what was sent may stay unacknowledged. Without it, a connection whose network is gone
/// fails only after a quarter of an hour.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// Connects to the first of these addresses that answers; the first error if all of them failed.
pub(super) async fn connect(addresses: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut waiting = alternating(addresses).into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut failure = None;
    loop {
        attempts.extend(waiting.next().map(attempt));
        let limit = match waiting.len() {
            0 => Duration::MAX,
            _ => STAGGER,
        };
        match timeout(limit, attempts.next()).await {
            Ok(Some(Ok(stream))) => return Ok(stream),
            Ok(Some(Err(error))) => {
                failure.get_or_insert(error);
            }
            Ok(None) => return Err(failure.unwrap_or_else(|| io::ErrorKind::NotFound.into())),
            Err(_) => {}
        }
    }
}

async fn attempt(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    let probes = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_keepalive(&probes)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    Ok(stream)
}

/// The addresses with the families taking turns, beginning with the family of the first one.
fn alternating(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut ours, mut others): (Vec<_>, Vec<_>) =
        (addresses.iter()).partition(|address| address.is_ipv6() == first);
    let turns = ours.len().min(others.len());
    let rest = [ours.split_off(turns), others.split_off(turns)].concat();
    let pairs = ours.into_iter().zip(others).flat_map(<[_; 2]>::from);
    pairs.chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_families_take_turns() {
        let v4 = |last| SocketAddr::from(([127, 0, 0, last], 1));
        let v6 = |last| SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, last], 1));
        assert_eq!(alternating(&[]), []);
        assert_eq!(
            alternating(&[v6(1), v6(2), v6(3), v4(1)]),
            [v6(1), v4(1), v6(2), v6(3)]
        );
        assert_eq!(alternating(&[v4(1), v6(1), v6(2)]), [v4(1), v6(1), v6(2)]);
    }
}
