//! The ways to show whose a request is: what the gateway accepts, and the bytes that reach it.

use std::time::Duration;

use apig_proxy::config::{Auth, AuthMode, Config, CredentialsConfig, TokenSource};
use apig_proxy::emulator::{Accounts, Service};
use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};

use super::put;
use super::region::accepted;
use super::{Region, log};
use crate::support::{Proxy, Received, Upstream, config, post};

const TOKEN: &str = "MIITOKENtoken0123456789";
const APP_CODE: &str = "APPCODEappcode0123456789";
const API_KEY: &str = "APIKEYapikey0123456789";

fn accounts() -> Accounts {
    Accounts {
        tokens: vec![SecretString::from(TOKEN)],
        ..Accounts::throw_away()
    }
}

#[test]
fn one_proxy_shows_on_each_route_what_the_route_s_credentials_say() {
    let region = Region::new(accounts());
    let app = &region.accounts.apps[0];
    let (app_key, app_secret) = (&app.access_key, app.secret_key.expose_secret());
    region.file(
        "app",
        &format!("[app]\napp_key = {app_key}\napp_secret = {app_secret}\n"),
    );
    let key = &region.accounts.keys[0];
    let (access_key, secret) = (&key.access_key, key.secret_key.expose_secret());
    region.file(
        "key.csv",
        &format!("Access Key Id,Secret Access Key\n{access_key},{secret}\n"),
    );
    let api_key = region.accounts.api_keys[0].expose_secret();
    region.file(
        "api.csv",
        &format!("\u{feff}name,api_key\r\n\"a,b\",{api_key}\r\n"),
    );
    let sets = "[credentials]\nfile = \"key.csv\"\n\
                [credentials.app]\nfile = \"app\"\n\
                [credentials.held]\ntoken_file = \"token\"\n\
                [credentials.asked]\niam_user_file = \"iam_user\"\niam_password_file = \"iam_password\"\n\
                iam_domain_file = \"iam_domain\"\niam_project = \"cn-north-4\"\n\
                [credentials.code]\napp_code_file = \"app_code\"\n\
                [credentials.api]\napi_key_file = \"api_key\"\n\
                [credentials.csv]\napi_key_file = \"api.csv\"\n";
    let cases = [
        ("key", "", "aksk"),
        ("app", "app", "app"),
        ("file", "held", "token"),
        ("user", "asked", "token"),
        ("code", "code", "app-code"),
        ("api", "api", "api-key"),
        ("csv", "csv", "api-key"),
    ];
    let more = |set: &str, auth: &str| match (set, auth) {
        ("", _) => String::new(),
        (_, "app") => format!("credentials = \"{set}\""),
        _ => format!("credentials = \"{set}\"\nauth = \"{auth}\""),
    };
    let routes = cases.map(|(path, set, auth)| region.route(&format!("/{path}"), &more(set, auth)));
    let proxy = region.proxy(&(sets.to_owned() + &routes.concat()));
    for (path, _, auth) in cases {
        let said = accepted(&proxy.get(&format!("/{path}")));
        assert_eq!(said["auth"], auth, "{path}: {said}");
        let is_signed = ["aksk", "app"].contains(&auth);
        assert_eq!(said["access_key"].is_string(), is_signed, "{path}: {said}");
    }
    proxy.asked("/readyz").assert_status(200);
}

#[test]
fn the_key_of_an_agency_is_asked_for_with_that_of_the_source_and_signs() {
    let region = Region::new(accounts());
    let key = &region.accounts.keys[0];
    let (access_key, secret) = (&key.access_key, key.secret_key.expose_secret());
    let file = |name: &str, secret: &str| {
        let csv = format!("Access Key Id,Secret Access Key\n{access_key},{secret}\n");
        region.file(name, &csv);
    };
    file("key.csv", secret);
    file("wrong.csv", "ANOTHER-SECRET-0123456789");
    let set = |file: &str, agency: &str| {
        format!(
            "file = \"{file}\"\nsts_endpoint = \"SERVICES\"\nagency = \"iam::demo:agency:{agency}\"\n"
        )
    };
    let text = format!(
        "[credentials]\n{}[credentials.other-agency]\n{}[credentials.wrong-secret]\n{}",
        set("key.csv", "demo"),
        set("key.csv", "other"),
        set("wrong.csv", "demo")
    );
    let routes = region.route("/a", "")
        + &region.route("/b", "credentials = \"other-agency\"")
        + &region.route("/c", "credentials = \"wrong-secret\"");
    log::listen();
    let proxy = region.proxy(&(text + &routes));
    let said = accepted(&proxy.get("/a"));
    assert_ne!(said["access_key"].as_str(), Some(access_key.as_str()));
    let signed = said["signed_headers"].to_string();
    assert!(signed.contains("x-security-token"), "{signed}");
    // An agency that the key may not assume gives no key, and the source's own key is not used.
    for (path, set, status, hint) in [
        (
            "/b",
            "other-agency",
            "status 403",
            "check `credentials.agency`",
        ),
        (
            "/c",
            "wrong-secret",
            "status 401",
            "the secret key belongs to it, and the clock",
        ),
    ] {
        assert_eq!(proxy.get(path).status, 503, "{set}");
        let lines = log::about(set);
        assert!(
            lines[0].contains(status) && lines[0].contains(hint),
            "{lines:?}"
        );
    }
    assert!(region.cloud.calls(Service::Sts) >= 3);
}

/// The default configuration, with this way to show whose requests are, and files with secrets in a folder
/// that has to be kept.
fn shown_as(upstream: &Upstream, mode: AuthMode) -> (Config, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    for (name, secret) in [("token", TOKEN), ("code", APP_CODE), ("api", API_KEY)] {
        // Editors and echo end a file with a line feed.
        put(&folder.path().join(name), &format!("{secret}\n"));
    }
    let mut config = config(upstream);
    config.credentials[0] = CredentialsConfig {
        token: Some(TokenSource::File(folder.path().join("token"))),
        app_code: Some(folder.path().join("code")),
        api_key: Some(folder.path().join("api")),
        ..CredentialsConfig::default()
    };
    config.routes[0].auth = Auth {
        mode,
        credentials: 0,
    };
    (config, folder)
}

/// What a request of each mode carries.
const CARRIES: [(AuthMode, &str, &str); 3] = [
    (AuthMode::Token, "x-auth-token", TOKEN),
    (AuthMode::AppCode, "x-apig-appcode", APP_CODE),
    (
        AuthMode::ApiKey,
        "authorization",
        "Bearer APIKEYapikey0123456789",
    ),
];

#[test]
fn nothing_is_added_but_project_and_secret_in_the_place_of_what_the_caller_sent() {
    for (mode, name, value) in CARRIES {
        let upstream = Upstream::start();
        let (mut config, _folder) = shown_as(&upstream, mode);
        config.credentials[0].project_id = Some(HeaderValue::from_static("p1"));
        let proxy = Proxy::start(&config);
        let answer = proxy.exchange(
            "POST /v1?a=1 HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nX-Auth-Token: own\r\nx_auth_token: own\r\n\
             X-Apig-AppCode: own\r\nAuthorization: Bearer own\r\nX-Sdk-Date: own\r\nX-Security-Token: own\r\n\
             X-Sdk-Content-Sha256: UNSIGNED-PAYLOAD\r\nX-Project-Id: own\r\nX-Stage: OWN\r\nContent-Length: 3\r\n\r\nabc",
        );
        assert_eq!(answer.status, 200);
        let seen = upstream.only_request();
        let names =
            format!("host content-length x-stage apig-proxy-hop x-project-id {name} accept");
        assert_eq!(seen.names().join(" "), names);
        assert_eq!(seen.header("x-project-id"), "p1");
        assert_eq!(seen.header(name), value);
        assert_eq!(seen.header("x-stage"), "RELEASE");
        assert_eq!((seen.target(), &seen.body[..]), ("/v1?a=1", &b"abc"[..]));
    }
}

/// The first byte of a body reaches the upstream before the caller has sent the last.
fn is_passed_on_at_once(mode: AuthMode, framing: &str, first: &[u8], last: &[u8], rest: usize) {
    let (upstream, first_arrived) = Upstream::telling(rest);
    let (config, _folder) = shown_as(&upstream, mode);
    let proxy = Proxy::start(&config);
    let mut client = proxy.client();
    let head = format!(
        "POST /v1 HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{framing}\r\n\r\n"
    );
    client.send(&head).send(first);
    let seen: Received = first_arrived
        .recv_timeout(Duration::from_secs(20))
        .unwrap_or_else(|_| panic!("{mode:?} {framing} was not streamed"));
    seen.assert_without(&["x-sdk-content-sha256"]);
    assert_eq!(
        seen.all("transfer-encoding").len(),
        usize::from(framing.starts_with('T'))
    );
    assert_eq!(client.send(last).answer().status, 200, "{mode:?} {framing}");
}

#[test]
fn without_a_signature_long_bodies_are_streamed() {
    const LENGTH: usize = 100_000;
    for (mode, ..) in CARRIES {
        is_passed_on_at_once(
            mode,
            &format!("Content-Length: {LENGTH}"),
            &[b'a'; 10],
            &[b'a'; LENGTH - 10],
            LENGTH - 1,
        );
        is_passed_on_at_once(
            mode,
            "Transfer-Encoding: chunked",
            b"3\r\nabc\r\n",
            b"2\r\nde\r\n0\r\n\r\n",
            // The rest of the first chunk, the second, and the end; the first byte is that of a chunk's size.
            b"\r\nabc\r\n2\r\nde\r\n0\r\n\r\n".len(),
        );
    }
}

#[test]
fn beyond_the_limit_a_body_is_refused_with_what_helps_in_its_mode() {
    for (mode, advice) in [
        (AuthMode::AppCode, "raise `limits.body`"),
        (AuthMode::ApiKey, "raise `limits.body`"),
        (AuthMode::Token, "set `limits.large_body = "),
    ] {
        let upstream = Upstream::start();
        let (mut config, _folder) = shown_as(&upstream, mode);
        config.limits.body = 1000;
        let proxy = Proxy::start(&config);
        let send = |length| proxy.exchange(post("text/plain", &vec![b'a'; length]));
        send(1000).assert_status(200);
        let refused = send(1001);
        refused.assert_refused(413, "body_too_large");
        refused.assert_says(&format!("send at most 1000 bytes, or {advice}"));
    }
}
