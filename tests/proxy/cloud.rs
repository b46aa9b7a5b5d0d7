//! Cloud services: how a request names one, what reaches it, and where its project id comes from.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use apig_proxy::config::{Config, ListenRules, Services, from_text};

use tokio::time::Instant;

use crate::support::{
    Client, Received, Scene, Upstream, answer, get, ok, pause, request, rows, wait_until,
};

/// The projects that IAM lists.
const PROJECTS: &str = r#"{"projects":[{"id":"OTHER","name":"cn-north-4_sub"},{"id":"0123abc","name":"cn-north-4"}],"links":{}}"#;

/// A proxy with services of one region, which this upstream serves, like IAM.
fn scene(upstream: Upstream, more: &str, change: impl FnOnce(&mut Config)) -> Scene {
    let url = format!("https://{}", upstream.address);
    let text = format!(
        "[cloud]\nservices = ['vpc', 'ecs', 'bss']\nregions = ['cn-north-4']\n{more}\n[cloud.endpoints]\n\
         'vpc.cn-north-4' = '{url}/of-vpc'\n'ecs.cn-north-4' = '{url}/of-ecs'\niam = '{url}/of-iam'\nbss = '{url}/of-bss'\n"
    );
    let cloud = from_text(Path::new("x.toml"), &text).unwrap();
    Scene::with(upstream, |config| {
        config.methods = cloud.methods;
        config.signs_otherwise = cloud.signs_otherwise;
        config.routes.splice(0..0, cloud.routes);
        change(config);
    })
}

/// The same with services that answer with 200.
fn plain_scene() -> Scene {
    scene(cloud(ok("{}")), "", |_| {})
}

/// Services that answer with these bytes, and IAM, which knows the project of the region.
fn cloud(bytes: String) -> Upstream {
    Upstream::replying(move |seen| match seen.target() {
        target if target.starts_with("/of-iam/") => ok(PROJECTS),
        _ => bytes.clone(),
    })
}

fn to_host(host: &str, target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

/// The requests that arrived: those to services, and those to IAM.
fn arrived(scene: &Scene) -> (Vec<Received>, Vec<Received>) {
    let all = scene.upstream.requests().into_iter();
    all.partition(|seen| !seen.target().starts_with("/of-iam/"))
}

/// Hosts and targets, and what arrives.
const NAMED: &str = "
    localhost | /vpc.cn-north-4/v1/P/vpcs?limit=2 | /of-vpc/v1/P/vpcs?limit=2
    localhost | /ecs.cn-north-4 | /of-ecs
    vpc.cn-north-4.localhost | /v1/P/vpcs | /of-vpc/v1/P/vpcs
    vpc.cn-north-4.localhost:PORT | /v1//x?a=/b | /of-vpc/v1//x?a=/b
    VPC.CN-North-4.Localhost.:PORT | / | /of-vpc
    ecs.cn-north-4.localhost | /vpc.cn-north-4/v1 | /of-ecs/vpc.cn-north-4/v1
    ecs.cn-north-4.localhost:PORT | http://ecs.cn-north-4.localhost:PORT/v1/x | /of-ecs/v1/x
    bss.localhost | /v2/x | /of-bss/v2/x
    iam.localhost | /v3/projects?name=cn-north-4 | /of-iam/v3/projects?name=cn-north-4
    localhost | /index.html | /index.html
    localhost | /v1.0/x | /v1.0/x";

#[test]
fn a_service_is_named_by_the_path_or_by_the_host() {
    let scene = plain_scene();
    let port = scene.proxy.address.port().to_string();
    for [host, target, expected] in rows(NAMED) {
        scene.upstream.forget();
        let request = to_host(host, target).replace("PORT", &port);
        scene.exchange(&request).about(&request).assert_status(200);
        let arrived = scene.upstream.requests().pop().unwrap();
        assert_eq!(arrived.line, format!("GET {expected} HTTP/1.1"));
        assert_eq!(arrived.header("host"), scene.upstream.address.to_string());
        arrived.verified();
    }
}

#[test]
fn a_service_gets_no_stage_and_takes_patch_and_head() {
    const ORIGIN: &str = "http://localhost:3000";
    let scene = scene(cloud(ok("{}")), "", |config| {
        config.access.origins = vec![ORIGIN.to_owned()];
    });
    let asks = format!("Origin: {ORIGIN}|Access-Control-Request-Method: PATCH");
    let preflight = scene.exchange(request("OPTIONS /vpc.cn-north-4/x", &asks, ""));
    let methods = preflight.header("access-control-allow-methods");
    assert!(methods.contains("PATCH"), "{methods}");
    for (line, status) in [
        ("PATCH /vpc.cn-north-4/x", 200),
        ("HEAD /vpc.cn-north-4/x", 200),
        ("PATCH /x", 405),
        ("OPTIONS /vpc.cn-north-4/x", 405),
        ("POST /iam/v3/projects", 405),
    ] {
        let mut client = scene.client();
        client.send(request(line, "Content-Length: 0", ""));
        let answer = client.try_answer(line.starts_with("HEAD")).unwrap();
        answer.about(line).assert_status(status);
    }
    let seen = arrived(&scene).0;
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|seen| seen.all("x-stage").is_empty()));
}

/// Hosts and targets, with status, code and hint of the refusal.
const REFUSED: &str = "
    localhost | /vcp.cn-north-4/v1 | 404 | service_not_allowed | did you mean `vpc.cn-north-4`
    localhost | /marker.eu-west-101/v1 | 404 | service_not_allowed | hint: add it to `cloud.services`
    vcp.cn-north-4.localhost | /v1 | 404 | service_not_allowed | did you mean `vpc.cn-north-4`
    marker.x.localhost | /v1 | 404 | service_not_allowed | hint: add it to `cloud.services`
    localhost | /obs.cn-north-4/marker | 501 | service_signs_otherwise | call it directly
    obs.cn-north-4.localhost | /marker | 501 | service_signs_otherwise | call it directly
    # Names that could be rebound, and others that no service has.
    vpc.cn-north-4.localhost.evil.example | /v1 | 403 | host_not_allowed | access.hosts
    vpc.cn-north-4.myhuaweicloud.com | /v1 | 403 | host_not_allowed | access.hosts
    marker.vpc.cn-north-4.localhost | /v1 | 403 | host_not_allowed | access.hosts
    vpc.localhost | /v1 | 403 | host_not_allowed | access.hosts
    vpc.cn-north-4.localhost | /vpc.cn-north-4/../x | 400 | bad_target |
    vpc.cn-north-4.localhost | http://ecs.cn-north-4.localhost/v1 | 400 | bad_request | another host
    vpc.cn-north-4.localhost | http://evil.example/v1 | 400 | bad_request | another host
    iam.localhost | /v3/users | 404 | no_route |
    localhost | /iam/v3.0/OS-CREDENTIAL/credentials | 404 | no_route |
    localhost | /%76pc.cn-north-4/v1 | 404 | no_route |
    localhost | //vpc.cn-north-4/v1 | 404 | no_route |";

#[test]
fn an_unknown_service_is_refused_with_the_nearest_name_and_its_own_is_not_repeated() {
    let scene = plain_scene();
    for [host, target, status, code, hint] in rows(REFUSED) {
        let answer = scene.exchange(to_host(host, target));
        answer
            .about((host, target))
            .assert_refused(status.parse().unwrap(), code);
        answer.assert_says(hint);
        answer.assert_hides("marker");
    }
    assert!(scene.upstream.requests().is_empty());
}

#[test]
fn a_listener_of_a_service_serves_it_whatever_the_host_and_path() {
    let scene = scene(cloud(ok("{}")), "", |config| {
        config.listen = vec!["127.0.0.1:0".parse().unwrap(); 2];
        let of_service = ListenRules {
            route: Services::new(config).route("ecs.cn-north-4").ok(),
            ..ListenRules::default()
        };
        config.listen_rules = vec![ListenRules::default(), of_service];
    });
    for (host, target, expected) in [
        ("127.0.0.1", "/v1/x", "/of-ecs/v1/x"),
        ("localhost", "/vpc.cn-north-4/x", "/of-ecs/vpc.cn-north-4/x"),
        ("vpc.cn-north-4.localhost", "/v1", "/of-ecs/v1"),
    ] {
        scene.upstream.forget();
        let mut client = Client::connect(scene.proxy.addresses[1]);
        let answer = client.send(to_host(host, target)).answer();
        answer.about((host, target)).assert_status(200);
        assert_eq!(arrived(&scene).0[0].target(), expected);
    }
}

#[test]
fn a_redirect_of_a_service_keeps_the_name_that_the_caller_used() {
    let fields = "Location: /of-vpc/v1/next\r\nSet-Cookie: a=1; Path=/of-vpc/v1\r\n";
    let scene = scene(cloud(answer("302 Found", fields, "")), "", |_| {});
    for [host, target, location, cookie] in rows(
        "localhost | /vpc.cn-north-4/v1 | /vpc.cn-north-4/v1/next | a=1; Path=/vpc.cn-north-4/v1
        vpc.cn-north-4.localhost | /v1 | /v1/next | a=1; Path=/v1",
    ) {
        let answer = scene.exchange(to_host(host, target));
        answer.assert_header(302, "location", location);
        answer.assert_header(302, "set-cookie", cookie);
    }
}

#[test]
fn a_service_is_signed_with_v11_if_the_configuration_says_so() {
    let more = "derived = ['vpc:vpcm']\nprojects.cn-north-4 = 'P1'";
    let scene = scene(cloud(ok("{}")), more, |_| {});
    scene.passes(get("/vpc.cn-north-4/v1"));
    scene.passes(get("/ecs.cn-north-4/v1"));
    let seen = scene.upstream.requests();
    let [derived, plain] = [0, 1].map(|at| seen[at].header("authorization"));
    assert!(derived.starts_with("V11-HMAC-SHA256 Credential=AKTEST"));
    assert!(derived.contains("/cn-north-4/vpcm, "), "{derived}");
    assert!(plain.starts_with("SDK-HMAC-SHA256 "), "{plain}");
    seen.iter().for_each(|seen| {
        seen.verified();
        assert_eq!(seen.header("x-project-id"), "P1");
    });
}

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

#[test]
fn requests_wait_for_a_silent_iam_no_longer_than_for_a_connection() {
    let (hold, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let upstream = Upstream::replying(move |seen| {
        if seen.target().starts_with("/of-iam/") {
            let _ = held.lock().unwrap().recv();
        }
        ok("{}")
    });
    let scene = scene(upstream, "", |config| {
        config.timeouts.connect = Duration::from_millis(500);
    });
    call(&scene, 10);
    assert!(arrived(&scene).1.len() <= 2);
    drop(hold);
}

#[test]
fn one_wait_for_a_silent_iam_includes_the_question_of_another_request() {
    let (hold, held) = mpsc::channel::<()>();
    let held = Mutex::new(held);
    let upstream = Upstream::replying(move |seen| {
        if seen.target().starts_with("/of-iam/") {
            let _ = held.lock().unwrap().recv();
        }
        ok("{}")
    });
    let scene = scene(upstream, "", |config| {
        config.timeouts.connect = Duration::from_secs(3);
    });
    let mut first = scene.client();
    first.send(get("/vpc.cn-north-4/x"));
    scene.upstream.wait_for(1);
    let started = Instant::now();
    let mut second = scene.client();
    second.send(get("/vpc.cn-north-4/x"));
    pause(Duration::from_millis(2500));
    // Its question is given up, and the other request asks.
    first.reset();
    drop(first);
    second.answer().assert_status(200);
    assert!(started.elapsed() < Duration::from_millis(4500));
    drop(hold);
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

#[test]
fn a_caller_without_a_credential_does_not_learn_the_names_of_services() {
    let scene = scene(cloud(ok("{}")), "", |config| {
        config.listen_rules = vec![ListenRules {
            requires_caller: true,
            ..ListenRules::default()
        }];
    });
    for service in ["vpc.cn-north-5", "vpc.cn-north-4", "obs.cn-north-4"] {
        let answer = scene.exchange(to_host(&format!("{service}.localhost"), "/"));
        answer.assert_refused(401, "caller_required");
    }
}
