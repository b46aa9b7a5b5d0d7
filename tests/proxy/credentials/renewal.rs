//! Credentials that the gateway refuses: refreshed where that is possible, and reported where it is not.

use std::sync::atomic::Ordering;
use std::time::Duration;

use apig_proxy::emulator::{Accounts, Service};

use super::region::{IAM, accepted};
use super::{Region, log};
use crate::support::{Answer, Proxy, get, request, wait_until};

fn post(proxy: &Proxy, body: &str) -> Answer {
    proxy.exchange(request("POST /v1", "", body))
}

fn with_token(set: &str, keys: &str) -> (Region, Proxy) {
    log::listen();
    let region = Region::new(Accounts {
        tokens: vec!["a-token-that-is-known".into()],
        ..Accounts::throw_away()
    });
    let more = format!("credentials = \"{set}\"\nauth = \"token\"");
    let route = region.route("/v1", &more);
    let proxy = region.proxy(&format!("[credentials.{set}]\n{keys}{route}"));
    (region, proxy)
}

#[test]
fn a_token_that_was_withdrawn_is_replaced_without_the_caller_noticing() {
    let (region, proxy) = with_token("withdrawn", IAM);
    accepted(&proxy.get("/v1"));
    for _ in 0..3 {
        region.cloud.expire_tokens();
        let said = accepted(&post(&proxy, "{\"a\":1}"));
        assert_eq!(said["auth"], "token");
        assert_eq!(said["body_bytes"], 7);
    }
    assert_eq!(region.cloud.calls(Service::Iam), 4);
    let refused = region.counts.refused_expired_tokens.load(Ordering::SeqCst);
    assert_eq!(refused, 3);
}

#[test]
fn metrics_show_the_expiry_the_age_and_the_refreshes_of_a_token() {
    let (region, proxy) = with_token("told", IAM);
    accepted(&proxy.get("/v1"));
    region.cloud.expire_tokens();
    accepted(&proxy.get("/v1"));
    let metrics = proxy.metrics();
    let value = |name: &str, more: &str| {
        let name = format!("apig_proxy_credentials_{name}");
        metrics.value(&name, &format!("credentials=told kind=token{more}"))
    };
    let day = 24.0 * 3600.0;
    let left = value("expiry_seconds", "");
    assert!((day - 60.0..=day).contains(&left), "{left}");
    let age = value("age_seconds", "");
    assert!((0.0..60.0).contains(&age), "{age}");
    assert_eq!(value("refresh_total", " result=ok").to_string(), "2");
    assert_eq!(value("refresh_total", " result=failed").to_string(), "0");
    assert_eq!(value("last_refresh_successful", "").to_string(), "1");
    // No other credential is needed, so there is no other series.
    assert_eq!(metrics.all("apig_proxy_credentials_age_seconds").len(), 1);
}

#[test]
fn many_requests_with_a_withdrawn_token_ask_for_one_new_token() {
    let (region, proxy) = with_token("withdrawn-often", IAM);
    let mut clients: Vec<_> = (0..20).map(|_| proxy.client()).collect();
    for client in &mut clients {
        accepted(&client.get("/v1"));
    }
    region.cloud.expire_tokens();
    for client in &mut clients {
        client.send(get("/v1"));
    }
    for client in &mut clients {
        accepted(&client.answer());
    }
    // A request during the refresh may have started another one.
    assert!((2..=3).contains(&region.cloud.calls(Service::Iam)));
}

#[test]
fn a_streamed_request_with_a_withdrawn_token_is_refused_with_a_hint_and_the_next_one_passes() {
    let (region, proxy) = with_token("streamed", IAM);
    let long = "a".repeat(100_000);
    accepted(&post(&proxy, &long));
    region.cloud.expire_tokens();
    let answer = post(&proxy, &long);
    assert_eq!(answer.status, 401);
    answer.assert_says("APIG.0307");
    answer.assert_hints("the gateway does not take the token");
    wait_until("it is used", || post(&proxy, &long).status == 200);
}

#[test]
fn a_token_in_a_file_is_read_again_at_once_when_it_is_refused() {
    let (region, proxy) = with_token("in-a-file", "token_file = \"token\"\n");
    accepted(&proxy.get("/v1"));
    region.file("token", "another one, by mistake");
    wait_until("it is told", || log::about("in-a-file").len() == 2);
    // It is not a token, so the old one stays.
    accepted(&proxy.get("/v1"));
    region.file("token", "a-token-that-is-unknown");
    wait_until("it is used", || proxy.get("/v1").status == 401);
    // A request reads the file again as soon as its token is refused.
    let path = region.path("token");
    let writing = std::thread::spawn(move || {
        crate::support::pause(Duration::from_millis(300));
        super::put(&path, "a-token-that-is-known");
    });
    wait_until("it is used", || proxy.get("/v1").status == 200);
    writing.join().unwrap();
}

#[test]
fn a_credential_that_stays_refused_gets_the_gateway_s_answer_and_a_hint() {
    for (mode, file, code) in [
        ("token", "token", "APIG.0301"),
        ("app-code", "app_code", "APIG.0303"),
        ("api-key", "api_key", "ModelArts.81003"),
    ] {
        let hint = format!("does not take the {}", mode.replace('-', " "));
        let region = Region::new(Accounts::throw_away());
        region.file(file, "WRONGwrongWRONGwrong");
        let proxy = region.proxy(&format!(
            "upstream = \"UPSTREAM\"\n[auth]\nmode = \"{mode}\"\n[credentials]\n{file}_file = \"{file}\"\n"
        ));
        for request in 0..3 {
            let answer = post(&proxy, "abc");
            answer.about((mode, request)).assert_status(401);
            answer.assert_says(code);
            answer.assert_hides("WRONG");
            answer.assert_hints(&hint);
        }
        let labels = "route=/ method=POST code=401 outcome=gateway_error";
        let counted = proxy.metrics().value("apig_proxy_requests_total", labels);
        assert_eq!(counted, 3.0);
    }
}
