//! When services are asked. Time is paused, so all of it is exact. Files are replaced in the tests
//! of the proxy.

use tokio::time::Instant;

use super::*;
use crate::credentials::{Lease, Origin, Secret};

/// A slot whose lease has this lifetime, in seconds.
fn slot(lifetime: Option<u64>) -> Slot {
    let slot = Slot::new("default", AuthMode::Token);
    if let Some(lifetime) = lifetime {
        slot.deliver(Lease {
            lifetime: Some(Duration::from_secs(lifetime)),
            ..Lease::lasting(Secret::Text("x".into()), Origin::Environment("A"))
        });
    }
    slot
}

#[tokio::test(start_paused = true)]
async fn a_service_is_asked_ahead_of_expiry_and_with_a_backoff_after_failures() {
    for (lifetime, failures, expected) in [
        (None, 1, 1.0),
        (None, 2, 2.0),
        (None, 6, 32.0),
        (None, 7, 60.0),
        (None, u32::MAX, 60.0),
        // As the end comes near, more often; once it has passed, as rarely as before.
        (Some(3600), 10, 60.0),
        (Some(40), 10, 10.0),
        (Some(8), 10, 2.0),
        (Some(0), 10, 60.0),
        // Without failures, when the secret is to be refreshed.
        (Some(86_400), 0, 84_000.0),
        (Some(3600), 0, 1800.0),
        (Some(2), 0, 1.0),
    ] {
        let now = Moment::now();
        let delay = delay(&slot(lifetime), failures, now, now).as_secs_f64();
        assert!(
            (delay - expected).abs() < 0.1,
            "{lifetime:?} {failures}: {delay}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_is_asked_for_comes_once_a_second_and_not_while_a_service_fails() {
    let slot = slot(Some(86_400));
    for (failures, least, most) in [(0, 1.0, 1.0), (4, 7.2, 8.0)] {
        let started = Instant::now();
        slot.request_refresh();
        slot.request_refresh();
        wait(&slot, failures, Moment::now()).await;
        let waited = started.elapsed().as_secs_f64();
        // Timers are exact to a millisecond.
        assert!((least - 0.01..most + 0.01).contains(&waited), "{waited}");
    }
}
