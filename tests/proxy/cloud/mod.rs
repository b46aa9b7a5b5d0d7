//! Cloud services: how a request names one, and what reaches it.

mod projects;

use std::path::Path;

use apig_proxy::config::{Config, ListenRules, Services, from_text};

use crate::support::{Client, Received, Scene, Upstream, answer, get, ok, request, rows};

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
        ("GET /iam/v3/projects", 405),
    ] {
        // Of IAM there is only GET, whatever a header says.
        let fields = match line.starts_with("GET") {
            true => "Content-Length: 0|X-HTTP-Method-Override: POST",
            false => "Content-Length: 0",
        };
        let mut client = scene.client();
        client.send(request(line, fields, ""));
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
