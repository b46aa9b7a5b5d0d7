//! When services are asked and files are polled. Time is paused, so all of it is exact.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use secrecy::ExposeSecret;
use tokio::time::Instant;

use super::*;
use crate::credentials::{Lease, Origin, Secret, file};

/// A slot whose lease has this lifetime, in seconds.
fn slot(lifetime: Option<u64>) -> Slot {
    let slot = Slot::new("default", Kind::Token);
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
        slot.hurry();
        slot.hurry();
        wait(&slot, failures, Moment::now()).await;
        let waited = started.elapsed().as_secs_f64();
        assert!((least..most + 0.01).contains(&waited), "{waited}");
    }
}

fn put(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

fn text(slot: &Slot) -> String {
    match &slot.current().unwrap().secret {
        Secret::Text(text) => text.expose_secret().to_owned(),
        Secret::Key(_) => panic!("it is a key"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_is_used_when_it_has_looked_the_same_for_a_moment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    put(&path, "one");
    let files = Files::new(path.clone(), file::Format::Text);
    let slot = slot(None);
    slot.deliver(files.load().unwrap());
    let seen = files.stamp();
    let changes = async {
        put(&path, "tw");
        sleep(POLL + SETTLE / 2).await;
        // It was polled, and is still being written.
        put(&path, "two");
        sleep(SETTLE).await;
        assert_eq!(text(&slot), "one");
        sleep(POLL + SETTLE).await;
        assert_eq!(text(&slot), "two");

        put(&path, "two words");
        sleep(POLL * 5).await;
        let status = slot.status();
        assert_eq!((text(&slot).as_str(), status.failed), ("two", 1));
        assert!(status.is_failing);

        // A refresh that is asked for does not wait for the next poll.
        put(&path, "three");
        slot.hurry();
        sleep(SETTLE * 2).await;
        assert_eq!(text(&slot), "three");
        assert!(!slot.status().is_failing);
    };
    tokio::select! {
        () = poll(&slot, &files, seen) => {}
        () = changes => {}
    }
}
