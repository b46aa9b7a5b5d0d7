//! The authentication modes: what the gateway accepts, and the bytes that reach it.

use apig_proxy::config::{Auth, AuthMode, Config, CredentialsConfig, TokenSource};
use apig_proxy::emulator::{Accounts, Service};
use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;

use super::put;
use super::region::accepted;
use super::{Region, log};
use crate::support::{Proxy, Upstream, config, request};

const TOKEN: &str = "MIITOKENtoken0123456789";

fn accounts() -> Accounts {
    Accounts {
        tokens: vec![SecretString::from(TOKEN)],
        ..Accounts::throw_away()
    }
}

#[test]
fn each_route_authenticates_with_its_own_credentials() {
    let region = Region::new(accounts());
    let app = &region.accounts.apps[0];
    let (app_key, app_secret) = (&app.access_key, app.secret_key.expose_secret());
    let profile = format!("[app]\napp_key = {app_key}\napp_secret = {app_secret}\n");
    region.file("app", &profile);
    region.own_key_file("key.csv", 0);
    let api_key = region.accounts.api_keys[0].expose_secret();
    let csv = format!("\u{feff}name,api_key\r\n\"a,b\",{api_key}\r\n");
    region.file("api.csv", &csv);
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
fn the_key_of_an_agency_is_requested_with_the_source_key_and_signs() {
    let region = Region::new(accounts());
    let access_key = &*region.accounts.keys[0].access_key;
    region.own_key_file("key.csv", 0);
    region.key_file("wrong.csv", access_key, "ANOTHER-SECRET-0123456789");
    let mut text = String::new();
    for (set, file, agency) in [
        ("right", "key.csv", "demo"),
        ("other-agency", "key.csv", "other"),
        ("wrong-secret", "wrong.csv", "demo"),
    ] {
        text += &format!(
            "[credentials.{set}]\nfile = '{file}'\nsts_endpoint = 'SERVICES'\nagency = 'iam::demo:agency:{agency}'\n"
        );
        text += &region.route(&format!("/{set}"), &format!("credentials = '{set}'"));
    }
    log::listen();
    let proxy = region.proxy(&text);
    let said = accepted(&proxy.get("/right"));
    assert_ne!(said["access_key"], access_key);
    let signed = said["signed_headers"].to_string();
    assert!(signed.contains("x-security-token"), "{signed}");
    // Without the agency's key the request fails; the source key is not used instead.
    let of_secret = "the secret key belongs to it, and the clock";
    for (set, status, hint) in [
        ("other-agency", "status 403", "check `credentials.agency`"),
        ("wrong-secret", "status 401", of_secret),
    ] {
        proxy.get(&format!("/{set}")).assert_status(503);
        let line = &log::about(set)[0];
        assert!(line.contains(status) && line.contains(hint), "{line}");
    }
    assert!(region.cloud.calls(Service::Sts) >= 3);
}

/// The default configuration with this mode, and the folder of the file with the secret.
pub(crate) fn shown_as(upstream: &Upstream, mode: AuthMode, secret: &str) -> (Config, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    // Editors and echo end a file with a line feed.
    put(&file, &format!("{secret}\n"));
    let mut config = config(upstream);
    config.credentials[0] = CredentialsConfig {
        token: Some(TokenSource::File(file.clone())),
        app_code: Some(file.clone()),
        api_key: Some(file),
        ..CredentialsConfig::default()
    };
    config.routes[0].auth = Auth {
        mode,
        credentials: 0,
    };
    (config, folder)
}

/// The header that carries the secret in each mode, and the prefix of its value.
pub(crate) const CARRIES: [(AuthMode, &str, &str); 3] = [
    (AuthMode::Token, "x-auth-token", ""),
    (AuthMode::AppCode, "x-apig-appcode", ""),
    (AuthMode::ApiKey, "authorization", "Bearer "),
];

#[test]
fn without_a_signature_only_project_and_secret_are_added_and_replace_those_of_the_caller() {
    for (mode, name, before) in CARRIES {
        let upstream = Upstream::start();
        let (mut config, _folder) = shown_as(&upstream, mode, TOKEN);
        config.credentials[0].project_id = Some(HeaderValue::from_static("p1"));
        let proxy = Proxy::start(&config);
        let fields = "Accept: */*|X-Auth-Token: own|x_auth_token: own|X-Apig-AppCode: own|Authorization: Bearer own|\
            X-Sdk-Date: own|X-Security-Token: own|X-Sdk-Content-Sha256: UNSIGNED-PAYLOAD|X-Project-Id: own|X-Stage: OWN";
        proxy.passes(request("POST /v1?a=1", fields, "abc"));
        let seen = upstream.only_request();
        let names =
            format!("host content-length x-stage apig-proxy-hop x-project-id {name} accept");
        assert_eq!(seen.names().join(" "), names);
        assert_eq!(seen.header("x-project-id"), "p1");
        assert_eq!(seen.header(name), format!("{before}{TOKEN}"));
        assert_eq!(seen.header("x-stage"), "RELEASE");
        assert_eq!((seen.target(), &seen.body[..]), ("/v1?a=1", &b"abc"[..]));
    }
}
