//! Secrets that are sent as they are, and those that services give and are given.

use std::sync::atomic::Ordering;

use super::assert_clean;
use super::echo::Echo;
use crate::program::{Place, Running, assert_has, assert_status, exchange};

/// The routes: name, keys of the set, way to show whose requests are.
const ROUTES: [(&str, &str, &str); 8] = [
    ("held", "token_file = \"token\"", "token"),
    (
        "iam",
        "iam_user_file = \"user\"\niam_password_file = \"password\"\niam_domain_file = \"domain\"",
        "token",
    ),
    ("code", "app_code_file = \"code\"", "app-code"),
    ("api", "api_key_file = \"api.csv\"", "api-key"),
    ("metadata", "source = \"metadata\"", "aksk"),
    ("pod", "source = \"pod-identity\"", "aksk"),
    ("oidc", "source = \"oidc\"", "aksk"),
    ("idp", "source = \"idp\"", "aksk"),
];

/// The files with secrets, each with a text that nothing may show.
const FILES: [(&str, &str); 8] = [
    ("token", "MARKERtoken0123456789"),
    ("user", "MARKERuser"),
    ("password", "MARKERpassword"),
    ("domain", "MARKERdomain"),
    ("code", "MARKERcode0123456789"),
    (
        "api.csv",
        "name,api_key\nMARKERname,MARKERapikey0123456789\n",
    ),
    ("pod_token", "MARKERpodtoken"),
    ("id_token", "MARKERidtoken"),
];

struct Scene {
    place: Place,
    echo: Echo,
    variables: Vec<(&'static str, String)>,
}

impl Scene {
    fn new(log: &str) -> Self {
        let (place, echo) = (Place::new(), Echo::start());
        for (name, secret) in FILES {
            place.file(name, secret);
        }
        let services = format!("http://{}", echo.address);
        let mut text = format!(
            "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n[log]\nlevel = \"trace\"\n{log}\n"
        );
        for (name, keys, _) in ROUTES {
            text += &format!(
                "[credentials.{name}]\n{keys}\nmetadata_endpoint = \"{services}\"\niam_endpoint = \"{services}\"\n\
                 sts_endpoint = \"{services}\"\n"
            );
        }
        for (name, _, auth) in ROUTES {
            text += &format!(
                "[[route]]\npath = \"/{name}\"\nupstream = \"{services}/v1\"\ncredentials = \"{name}\"\nauth = \"{auth}\"\n"
            );
        }
        place.file("apig-proxy.toml", &text);
        let path = |name: &str| place.path().join(name).display().to_string();
        let variables = vec![
            ("HC_CONTAINER_CREDENTIALS_FULL_URI", services + "/pod"),
            ("HC_CONTAINER_AUTHORIZATION_TOKEN_FILE", path("pod_token")),
            ("HUAWEICLOUD_OIDC_PROVIDER_URN", "urn".to_owned()),
            ("HUAWEICLOUD_OIDC_AGENCY_URN", "urn".to_owned()),
            ("HUAWEICLOUD_OIDC_ID_TOKEN", "MARKERidtoken".to_owned()),
            ("HUAWEICLOUD_SDK_IDP_ID", "idp".to_owned()),
            ("HUAWEICLOUD_SDK_ID_TOKEN_FILE", path("id_token")),
        ];
        Self {
            place,
            echo,
            variables,
        }
    }

    fn variables(&self) -> Vec<(&str, &str)> {
        let all = self.variables.iter();
        let all = all.map(|(name, value)| (*name, value.as_str()));
        // The admin listener is asked here.
        all.chain([("APIG_PROXY_ADMIN", "127.0.0.1:0")]).collect()
    }

    fn start(&self) -> Running {
        Running::start(self.place.command(&[], &self.variables()))
    }
}

fn get(address: std::net::SocketAddr, path: &str) -> String {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nX-Auth-Token: MARKERown\r\nX-Apig-AppCode: MARKERown\r\n\
         Authorization: Bearer MARKERown\r\n\r\n"
    );
    exchange(address, &request)
}

#[test]
fn no_secret_of_any_mode_or_service_is_logged_answered_or_counted() {
    for format in ["text", "json"] {
        let scene = Scene::new(&format!("format = \"{format}\""));
        let mut running = scene.start();
        let admin = running.admin_address();
        let address = running.address();
        for (name, ..) in ROUTES {
            assert_status(&get(address, &format!("/{name}/x")), 200);
            // The gateway repeats all that it was sent.
            let answer = get(address, &format!("/{name}/refused"));
            assert_status(&answer, 401);
            assert_has(&answer, &["******", "x-apig-proxy-hint: "]);
            assert_clean(name, &answer, &["MARKER"]);
        }
        for path in ["/metrics", "/readyz"] {
            let answer = get(admin, path);
            assert_status(&answer, 200);
            assert_clean(path, &answer, &["MARKER"]);
        }
        for (name, _) in FILES {
            scene.place.file(name, "MARKERtwo words\u{7}\n,MARKERmore");
        }
        running.line_with("has changed and cannot be used");
        running.line_with("has changed and cannot be used");
        let said = running.stops();
        assert!(said.contains("signing"), "the level was not trace: {said}");
        assert_clean(format, &said, &["MARKER"]);
    }
}

#[test]
fn a_service_that_repeats_what_it_was_sent_is_not_quoted() {
    let scene = Scene::new("");
    scene.echo.refuses.store(true, Ordering::SeqCst);
    let mut running = scene.start();
    running.address();
    let said = running.stops();
    let services =
        "the metadata service|pod identity|STS (oidc)|IAM (identity provider)|IAM (token)";
    for service in services.split('|') {
        let line = said.lines().find(|line| line.contains(service)).unwrap();
        assert!(line.contains("status 403 (STS5.1106)"), "{line}");
    }
    assert_clean("the log", &said, &["MARKER"]);
}

#[test]
fn checks_and_messages_show_no_secret_of_any_mode_or_service() {
    let scene = Scene::new("");
    let variables = scene.variables();
    for command in [&["check", "config"][..], &["check", "upstream"]] {
        let (code, out, err) = scene.place.run(command, &variables);
        assert_eq!(code, 0, "{command:?} {out} {err}");
        assert_clean(command[1], &(out + &err), &["MARKER"]);
    }
    // Files in the wrong place, and with something else in them.
    scene.echo.refuses.store(true, Ordering::SeqCst);
    for (content, expected) in [
        (
            "MARKERtwo words\u{7}\n,MARKERmore",
            "not hold exactly one word",
        ),
        ("\"MARKER\"", "quotes around it"),
        ("<MARKER>", "a placeholder"),
    ] {
        for (name, _) in FILES {
            scene.place.file(name, content);
        }
        for command in [&["check", "config"][..], &["check", "upstream"], &["serve"]] {
            let (code, out, err) = scene.place.run(command, &variables);
            assert_eq!(code, 78, "{command:?} {out} {err}");
            assert!(err.contains(expected), "{err}");
            assert_clean(command[0], &(out + &err), &["MARKER"]);
        }
    }
}
