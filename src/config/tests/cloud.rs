//! `[cloud]`: which routes come of it, and which names they take.

use std::path::Path;

use super::*;

/// The configuration of a file with this text alone.
fn cloud(text: &str) -> Config {
    let text = format!("[cloud]\n{text}");
    from_text(Path::new("x.toml"), &text).unwrap_or_else(|problems| panic!("{problems} in {text}"))
}

/// The routes to services, but for IAM: their prefixes and hosts.
fn routes(config: &Config) -> Vec<String> {
    let services = config.routes.iter().filter(|route| route.service.is_some());
    let shown = services.map(|route| {
        let authority = route.upstream.authority.to_str().unwrap();
        format!("{} {authority}{}", route.prefix, route.upstream.base_path)
    });
    let mut shown: Vec<String> = shown.filter(|route| !route.starts_with("/iam ")).collect();
    shown.sort_unstable();
    shown
}

#[test]
fn each_service_in_each_region_is_a_route() {
    for (text, expected) in [
        ("regions = ['cn-north-4']", ""),
        (
            "services = ['vpc', 'ecs']\nregions = ['cn-north-4', 'eu-west-101']",
            "/ecs.cn-north-4 ecs.cn-north-4.myhuaweicloud.com, /ecs.eu-west-101 ecs.eu-west-101.myhuaweicloud.com, \
             /vpc.cn-north-4 vpc.cn-north-4.myhuaweicloud.com, /vpc.eu-west-101 vpc.eu-west-101.myhuaweicloud.com",
        ),
        (
            "services = ['vpc.cn-north-4', 'vpc']\nregions = ['cn-north-4']\ndomain = 'myhuaweicloud.eu'",
            "/vpc.cn-north-4 vpc.cn-north-4.myhuaweicloud.eu",
        ),
        (
            "services = 'vpc.a'\npattern = '{region}-{service}.internal.{domain}'",
            "/vpc.a a-vpc.internal.myhuaweicloud.com",
        ),
        (
            "services = ['vpc', 'bss']\nregions = 'a'\n[cloud.endpoints]\n'vpc.a' = 'https://gw.example/x/'\nbss = 'https://bss.example:8443'",
            "/bss bss.example:8443, /vpc.a gw.example/x",
        ),
    ] {
        let config = config(&format!("[cloud]\n{text}"));
        assert_eq!(routes(&config).join(", "), expected, "{text}");
    }
}

#[test]
fn services_have_what_sdks_need_and_nothing_that_is_for_an_api_of_a_gateway() {
    let config = from_text(
        Path::new("x.toml"),
        "upstream = 'https://gw.example'\nheaders = ['x-tenant: blue']\nforward_authorization_as = 'x-own'\n\
         [cloud]\nservices = ['vpc', 'iotda']\nregions = ['a', 'b']\nprojects.a = 'P1'\n\
         endpoints = { 'iotda.a' = 'https://x.iotda.example' }",
    )
    .unwrap();
    let service = |name: &str| &config.routes[Services::new(&config).route(name).unwrap()];
    let vpc = service("vpc.a");
    assert!(vpc.headers.is_empty() && vpc.forward_authorization_as.is_none());
    let methods = vpc.methods.as_ref().unwrap().names();
    assert_eq!(methods, "GET, HEAD, POST, PUT, PATCH, DELETE");
    let project = |name: &str| service(name).service.clone().unwrap().project_id;
    assert_eq!(project("vpc.a").unwrap(), "P1");
    assert_eq!(project("vpc.b"), None);
    let algorithm = |name: &str| {
        let signing = &service(name).signing;
        [signing.algorithm, &signing.region, &signing.service].join(" ")
    };
    assert_eq!(algorithm("vpc.a"), "SDK-HMAC-SHA256  ");
    // The standard endpoint takes what all others take.
    assert_eq!(algorithm("iotda.b"), "SDK-HMAC-SHA256  ");
    assert_eq!(algorithm("iotda.a"), "V11-HMAC-SHA256 a iotdm");
    let everything = config.routes.last().unwrap();
    assert_eq!((&*everything.prefix, &everything.service), ("", &None));
    // Methods that are set are set for services too.
    let config = from_text(
        Path::new("x.toml"),
        "methods = ['GET']\ncloud.services = ['vpc.a']",
    );
    assert_eq!(config.unwrap().routes[0].methods, None);
}

#[test]
fn callers_get_little_of_iam_unless_it_is_a_service_itself() {
    let iam = |text: &str, variable: &str| {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.toml");
        std::fs::write(&file, format!("cloud.services = ['vpc.a']\n{text}")).unwrap();
        let variables = [("HUAWEICLOUD_SDK_IAM_ENDPOINT", variable)];
        let config = loaded(&Overrides::new(Some(file)), &variables)?.config;
        let route = config.routes[Services::new(&config).route("iam").unwrap()].clone();
        Ok::<_, Problems>((route.upstream.host, route.paths.is_some()))
    };
    for (text, variable, host, is_limited) in [
        ("", "", "iam.myhuaweicloud.com", true),
        ("", "https://var.example", "var.example", true),
        (
            "credentials.iam_endpoint = 'https://own.example'",
            "https://var.example",
            "own.example",
            true,
        ),
        (
            "cloud.endpoints.iam = 'https://e.example'",
            "https://var.example",
            "e.example",
            true,
        ),
    ] {
        assert_eq!(
            iam(text, variable).unwrap(),
            (host.to_owned(), is_limited),
            "{text} {variable}"
        );
    }
    let config = cloud("services = ['iam']\nendpoints.iam = 'https://iam.example'");
    assert_eq!((config.routes.len(), &config.routes[0].paths), (1, &None));
}

#[test]
fn names_are_taken_exactly_and_others_have_a_nearest_one() {
    let named = cloud("services = ['vpc', 'ecs', 'smn']\nregions = ['cn-north-4']");
    let services = Services::new(&named);
    let nearest = |error: ServiceError| match error {
        ServiceError::NotAllowed { nearest } => nearest.unwrap_or_default(),
        ServiceError::SignsOtherwise => "signs otherwise".to_owned(),
    };
    for (name, expected) in [
        ("vpc.cn-north-4", None),
        ("vcp.cn-north-4", Some("vpc.cn-north-4")),
        ("vpc.cn-north-1", Some("vpc.cn-north-4")),
        ("rds.eu-west-101", Some("")),
        ("obs.cn-north-4", Some("signs otherwise")),
        // Neither a service nor written like one.
        ("index.html", None),
        ("v1.0", None),
        ("vpc", None),
        ("VPC.cn-north-4", None),
        ("..", None),
    ] {
        let found = services
            .missing_in_path(&format!("/{name}/v1/x"))
            .map(nearest);
        assert_eq!(found.as_deref(), expected, "{name}");
    }
    for (host, expected) in [
        ("vpc.cn-north-4.localhost", Some(Ok(()))),
        ("VPC.cn-North-4.LOCALHOST", Some(Ok(()))),
        ("vcp.cn-north-4.localhost", Some(Err("vpc.cn-north-4"))),
        ("localhost", None),
        ("a.vpc.cn-north-4.localhost", None),
        ("vpc.cn-north-4.localhost.evil.example", None),
        ("vpc.cn-north-4.myhuaweicloud.com", None),
        ("vpc.cn-north-4", None),
    ] {
        let found = services.of_host(host);
        let found = found.map(|found| found.map(drop).map_err(nearest));
        let expected = expected.map(|expected| expected.map_err(str::to_owned));
        assert_eq!(found, expected, "{host}");
    }
    let none = Services::new(&config(""));
    assert_eq!(none.missing_in_path("/vpc.cn-north-4/"), None);
    assert!(none.of_host("vpc.cn-north-4.localhost").is_none());
}

#[test]
fn services_that_issue_keys_are_warned_of() {
    for (services, count) in [("vpc.a", 0), ("iam.a,vpc.a", 1), ("sts.a", 1)] {
        let variables = [("APIG_PROXY_CLOUD__SERVICES", services)];
        let warnings = loaded(&Overrides::default(), &variables).unwrap().warnings;
        let found = warnings
            .iter()
            .filter(|warning| warning.message.contains("access keys"));
        assert_eq!(found.count(), count, "{services}");
    }
}
