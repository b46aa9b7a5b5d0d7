//! Keys and tokens that live for two seconds, under load: they are renewed before they end.

use std::sync::atomic::Ordering;
use std::time::Duration;

use apig_proxy::emulator::{Accounts, Service};

use tokio::time::Instant;

use super::region::{SOURCES, of_all_sources};
use super::{Load, Region};
use crate::support::pause;

const TIME: Duration = Duration::from_secs(10);

#[test]
fn no_request_fails_while_keys_and_tokens_of_every_service_live_for_two_seconds() {
    let region = Region::new(Accounts {
        lifetime: Some(Duration::from_secs(2)),
        ..Accounts::throw_away()
    });
    let proxy = region.proxy(&of_all_sources(&region, ""));
    let loads: Vec<Load> = SOURCES
        .iter()
        .map(|(name, ..)| Load::on(&proxy, &[&format!("/{name}")], 2, 500))
        .collect();
    let started = Instant::now();
    pause(TIME);
    for (load, (name, service, _)) in loads.into_iter().zip(SOURCES) {
        let served = load.end();
        served.all(1000);
        // Tokens are not shown by the gateway, but none is given twice.
        let given = match service {
            Service::Iam => region.cloud.calls(service),
            _ => served.keys.len() as u64,
        };
        assert!(given > 3, "{name} gave {given}");
        // And not far more often than it has to be, which is once a second.
        assert!(
            given < 2 * started.elapsed().as_secs() + 10,
            "{name} gave {given}"
        );
        let labels = format!(
            "credentials={name} kind={} result=failed",
            if name == "iam" { "token" } else { "key" }
        );
        let failed = proxy
            .metrics()
            .value("apig_proxy_credentials_refresh_total", &labels);
        assert!(failed < 1.0, "{name}");
    }
    let counts = &region.counts;
    assert_eq!(counts.refused_expired.load(Ordering::SeqCst), 0);
    assert_eq!(counts.refused_expired_tokens.load(Ordering::SeqCst), 0);
    assert_eq!(
        counts.requests.load(Ordering::SeqCst),
        counts.verified.load(Ordering::SeqCst)
    );
}
