//! Keys and tokens that expire after two seconds, under load: they are refreshed before they do.

use std::sync::atomic::Ordering;
use std::time::Duration;

use apig_proxy::emulator::{Accounts, Service};

use tokio::time::Instant;

use super::region::{SOURCES, of_all_sources};
use super::{Load, Region};
use crate::support::{Proxy, Upstream, get, pause, upstream_tls};

const TIME: Duration = Duration::from_secs(10);

#[test]
fn no_request_fails_while_keys_and_tokens_of_every_service_live_for_two_seconds() {
    let region = Region::new(Accounts {
        lifetime: Some(Duration::from_secs(2)),
        ..Accounts::throw_away()
    });
    let proxy = region.proxy(&of_all_sources(&region, ""));
    let loads = SOURCES.map(|(name, ..)| Load::on(&proxy, &[&format!("/{name}")], 2, 500));
    let started = Instant::now();
    pause(TIME);
    for (load, (name, service, _)) in loads.into_iter().zip(SOURCES) {
        let served = load.end();
        served.all(1000);
        // The gateway does not show tokens, but none is issued twice.
        let given = match service {
            Service::Iam => region.cloud.calls(service),
            _ => served.keys.len() as u64,
        };
        assert!(given > 3, "{name} gave {given}");
        // Not far more often than necessary, which is once a second.
        let most = 2 * started.elapsed().as_secs() + 10;
        assert!(given < most, "{name} gave {given}");
        let kind = if name == "iam" { "token" } else { "key" };
        let labels = format!("credentials={name} kind={kind} result=failed");
        let metrics = proxy.metrics();
        let failed = metrics.value("apig_proxy_credentials_refresh_total", &labels);
        assert_eq!(failed, 0.0, "{name}");
    }
    let counts = &region.counts;
    assert_eq!(counts.refused_expired.load(Ordering::SeqCst), 0);
    assert_eq!(counts.refused_expired_tokens.load(Ordering::SeqCst), 0);
    let verified = counts.verified.load(Ordering::SeqCst);
    assert_eq!(counts.requests.load(Ordering::SeqCst), verified);
}

#[test]
fn a_request_is_not_signed_with_a_key_that_expired_while_it_waited_for_the_breaker() {
    let (upstream, hold) = Upstream::holding();
    let region = Region::new(Accounts {
        lifetime: Some(Duration::from_secs(2)),
        ..Accounts::throw_away()
    });
    let mut config = region.config(&format!(
        "upstream = 'https://{}'\n[credentials]\nsource = 'metadata'\nmetadata_endpoint = 'SERVICES'\n",
        upstream.address
    ));
    config.upstream_tls = upstream_tls();
    let proxy = Proxy::start_from(&config, &region.environment());
    // As many as are in flight with a key that is not proven.
    let mut clients: Vec<_> = (0..3).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client.send(get("/"));
    }
    upstream.wait_for(3);
    let mut late = proxy.client();
    late.send(get("/late"));
    upstream.wait_for(4);
    let keys = upstream.requests().into_iter().map(|seen| {
        let authorization = seen.header("authorization").to_owned();
        authorization.split(',').next().unwrap().to_owned()
    });
    let [first, _, _, last] = keys.collect::<Vec<_>>().try_into().unwrap();
    assert_ne!(first, last);
    drop(hold);
    late.answer().assert_status(200);
}
