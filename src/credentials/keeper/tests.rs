//! When services are asked and files are looked at. Time is paused, so all of it is exact.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use secrecy::ExposeSecret;
use tokio::time::Instant;

use super::*;
use crate::credentials::{Issued, Kind, Origin, Secret};

fn issued(lifetime: Option<u64>) -> Issued {
    let origin = Origin::Environment("A");
    Issued {
        lifetime: lifetime.map(Duration::from_secs),
        ..Issued::lasting(Secret::Text("x".into()), origin)
    }
}

fn kept(first: Option<Issued>) -> Kept {
    let feed = Feed::new("default", Kind::Token);
    first.into_iter().for_each(|issued| feed.deliver(issued));
    Kept {
        what: "the token".to_owned(),
        feed: Arc::new(feed),
    }
}

/// How long it is waited after so many failures, in seconds.
fn pause(kept: &Kept, failures: u32) -> f64 {
    let now = Moment::now();
    kept.due(failures, now, now).as_secs_f64()
}

#[tokio::test(start_paused = true)]
async fn after_failures_it_is_asked_ever_more_rarely_but_at_least_once_a_minute() {
    let nothing = kept(None);
    let pauses: Vec<f64> = (1..=8).map(|count| pause(&nothing, count)).collect();
    assert_eq!(pauses, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]);
    assert!(pause(&nothing, u32::MAX) <= 60.0);
}

#[tokio::test(start_paused = true)]
async fn as_the_end_of_a_secret_comes_near_it_is_asked_more_often_again() {
    for (lifetime, expected) in [(3600, 60.0), (40, 10.0), (8, 2.0)] {
        let kept = kept(Some(issued(Some(lifetime))));
        let pause = pause(&kept, 10);
        assert!((pause - expected).abs() < 0.1, "{lifetime}: {pause}");
    }
    // But never without a pause, and as rarely as before once it has ended.
    assert!(pause(&kept(Some(issued(Some(0)))), 10) >= 60.0);
}

#[tokio::test(start_paused = true)]
async fn without_failures_it_is_asked_when_the_secret_wants_to_be_renewed() {
    for (lifetime, expected) in [(86_400, 84_000.0), (3600, 1800.0), (2, 1.0)] {
        let kept = kept(Some(issued(Some(lifetime))));
        let pause = pause(&kept, 0);
        assert!((pause - expected).abs() < 0.1, "{lifetime}: {pause}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_is_in_a_hurry_is_heard_once_a_second_and_not_while_a_service_fails() {
    let kept = kept(Some(issued(Some(86_400))));
    let (started, asked) = (Instant::now(), Moment::now());
    kept.feed.hurry();
    kept.feed.hurry();
    kept.wait(0, asked).await;
    assert_eq!(started.elapsed(), GAP);

    let (started, asked) = (Instant::now(), Moment::now());
    kept.feed.hurry();
    kept.wait(4, asked).await;
    let waited = started.elapsed().as_secs_f64();
    assert!((7.2..8.1).contains(&waited), "{waited}");
}

fn put(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

fn text(feed: &Feed) -> String {
    match &feed.current().unwrap().secret {
        Secret::Text(text) => text.expose_secret().to_owned(),
        Secret::Key(_) => panic!("it is a key"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_is_believed_when_it_has_looked_the_same_for_a_moment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    put(&path, "one");
    let files = Files::text(path.clone());
    let kept = kept(files.load().unwrap());
    let feed = Arc::clone(&kept.feed);
    let seen = files.stamp();
    let changes = async {
        put(&path, "tw");
        sleep(LOOK + SETTLE / 2).await;
        // It was looked at, and is still being written.
        put(&path, "two");
        sleep(SETTLE).await;
        assert_eq!(text(&feed), "one");
        sleep(LOOK + SETTLE).await;
        assert_eq!(text(&feed), "two");

        put(&path, "two words");
        sleep(LOOK * 5).await;
        let status = feed.status();
        assert_eq!((text(&feed).as_str(), status.failed), ("two", 1));
        assert!(status.is_failing);

        // Who needs another one does not wait until it is looked at by itself.
        put(&path, "three");
        feed.hurry();
        sleep(SETTLE * 2).await;
        assert_eq!(text(&feed), "three");
        assert!(!feed.status().is_failing);

        // What is there again as it was, is no news, but no trouble either.
        let away = folder.path().with_extension("away");
        fs::rename(folder.path(), &away).unwrap();
        sleep(LOOK * 5).await;
        let missed = feed.status();
        assert!(missed.is_failing && missed.is_good && missed.failed == 2);
        fs::rename(&away, folder.path()).unwrap();
        sleep(LOOK * 2).await;
        let back = feed.status();
        assert!(!back.is_failing && back.renewed == missed.renewed);
    };
    tokio::select! {
        () = kept.watch(&files, seen) => {}
        () = changes => {}
    }
}
