//! Where the project id of a cloud service comes from.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use super::{PROJECTS, arrived, plain_scene, scene};
use crate::support::{Scene, Upstream, answer, get, ok, pause, wait_until};

/// So many requests at once for each of two services of one region, all of which are served.
fn call(scene: &Scene, count: usize) {
    thread::scope(|threads| {
        for path in ["/vpc.cn-north-4/x", "/ecs.cn-north-4/x"] {
            threads.spawn(move || {
                for answer in scene.at_once(count, get(path)) {
                    answer.assert_status(200);
                }
            });
        }
    });
}

#[test]
fn iam_is_asked_once_for_a_project_by_fifty_requests_at_once() {
    let scene = plain_scene();
    call(&scene, 25);
    let (seen, asked) = arrived(&scene);
    assert_eq!(asked.len(), 1, "{asked:?}");
    assert_eq!(asked[0].target(), "/of-iam/v3/projects?name=cn-north-4");
    asked[0].verified();
    assert_eq!(seen.len(), 50);
    for request in seen {
        assert_eq!(request.header("x-project-id"), "0123abc");
        let signed = request.verified().signed_headers;
        assert!(signed.contains(&"x-project-id".to_owned()), "{signed:?}");
    }
}

#[test]
fn while_iam_fails_requests_are_sent_without_a_project() {
    for reply in [
        answer("401 Unauthorized", "", "{\"error\":{\"code\":401}}"),
        answer("403 Forbidden", "", "{}"),
        answer("500 Internal Server Error", "", ""),
        ok("<html>"),
        ok("{\"projects\":[]}"),
        ok("{\"projects\":[{\"id\":\"a b\",\"name\":\"cn-north-4\"}]}"),
    ] {
        let broken = Arc::new(AtomicBool::new(true));
        let is_broken = Arc::clone(&broken);
        let upstream = Upstream::replying(move |seen| match seen.target() {
            target if !target.starts_with("/of-iam/") => ok("{}"),
            _ if is_broken.load(Ordering::SeqCst) => reply.clone(),
            _ => ok(PROJECTS),
        });
        let scene = scene(upstream, "", |config| {
            config.credentials[0].project_id = Some("of-another-region".parse().unwrap());
        });
        let path = get("/vpc.cn-north-4/x");
        for _ in 0..3 {
            scene.passes(&path);
        }
        let (seen, asked) = arrived(&scene);
        for seen in seen {
            seen.assert_without(&["x-project-id"]);
        }
        // The backoff grows, so not every request asks IAM.
        assert!((1..3).contains(&asked.len()), "{asked:?}");
        broken.store(false, Ordering::SeqCst);
        wait_until("a project is sent", || {
            pause(Duration::from_millis(100));
            scene.upstream.forget();
            scene.passes(&path);
            !arrived(&scene).0[0].all("x-project-id").is_empty()
        });
    }
}

/// A gateway whose IAM says nothing until the sender is dropped, and the longest wait for a project.
fn silent_iam(limit: Duration) -> (Scene, mpsc::Sender<()>) {
    let (hold, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let upstream = Upstream::replying(move |seen| {
        if seen.target().starts_with("/of-iam/") {
            let _ = held.lock().unwrap().recv();
        }
        ok("{}")
    });
    let scene = scene(upstream, "", |config| config.timeouts.connect = limit);
    (scene, hold)
}

#[test]
fn requests_wait_for_a_silent_iam_no_longer_than_for_a_connection() {
    let (scene, _hold) = silent_iam(Duration::from_millis(500));
    call(&scene, 10);
    assert!(arrived(&scene).1.len() <= 2);
}

#[test]
fn requests_with_little_time_left_do_not_ask_iam_one_after_the_other() {
    let (scene, hold) = silent_iam(Duration::from_secs(3));
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = scene.client();
        client.send(get("/vpc.cn-north-4/x"));
        clients.push(client);
        scene.upstream.wait_for(1);
        pause(Duration::from_millis(50));
    }
    pause(Duration::from_secs(2));
    // Its question is given up, and the others have less than half of their three seconds left.
    clients.remove(0).reset();
    for mut client in clients {
        client.answer().assert_status(200);
    }
    drop(hold);
    // No question has failed, so there is no pause.
    scene.passes(get("/vpc.cn-north-4/x"));
    assert_eq!(arrived(&scene).1.len(), 2);
}

#[test]
fn the_pauses_until_iam_is_asked_again_grow() {
    let asked: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let keeps = Arc::clone(&asked);
    let upstream = Upstream::replying(move |seen| {
        if seen.target().starts_with("/of-iam/") {
            keeps.lock().unwrap().push(Instant::now());
            return answer("500 Internal Server Error", "", "");
        }
        ok("{}")
    });
    let scene = scene(upstream, "", |_| {});
    wait_until("it is asked three times", || {
        scene.passes(get("/vpc.cn-north-4/x"));
        asked.lock().unwrap().len() == 3
    });
    let asked = asked.lock().unwrap();
    let pauses = [asked[1] - asked[0], asked[2] - asked[1]];
    assert!(
        pauses[0] >= Duration::from_millis(900) && pauses[1] >= Duration::from_millis(1900),
        "{pauses:?}"
    );
}
