//! What holds for every request, whatever a caller writes: it goes where the configuration says, and each
//! header of the proxy's own leaves once, with the proxy's value.
//!
//! And it lands on the route that judged it, whichever way the gateway reads its path.
//!
//! `PROPERTY_CASES` says how many requests are tried, `PROPERTY_SEED` which; the checks run a million.

mod readings;

use std::rc::Rc;

use fastrand::Rng;
use http::{Request, request};

use super::body::PreparedBody;
use super::caller::CallerConnection;
use super::context::RequestContext;
use super::credentials::CredentialsView;
use super::guard::{Guard, ListenerKind};
use super::prepare::Prepared;
use super::{RouteCredentials, Settings, route};
use crate::clock;
use crate::config::{Config, Environment, Methods, with_upstream};
use crate::credentials::{Credentials, Supply, needs};
use crate::signature::PayloadHash;
use crate::telemetry::metrics::{Metrics, WorkerMetrics};

/// Names that the proxy owns, and some that it passes on.
const NAMES: [&str; 23] = [
    "apig-proxy-hop",
    "host",
    "authorization",
    "x-sdk-date",
    "x-sdk-content-sha256",
    "x-security-token",
    "x-auth-token",
    "x-apig-appcode",
    "x-stage",
    "x-project-id",
    "content-length",
    "transfer-encoding",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-apig-proxy-token",
    "connection",
    "te",
    "upgrade",
    "expect",
    "accept",
    "x-own",
    "content-type",
];

/// Those that have to leave exactly once, with this value or another of the proxy's own.
const ONCE: [&str; 5] = [
    "host",
    "x-stage",
    "x-sdk-date",
    "authorization",
    "apig-proxy-hop",
];

/// What may never leave with a caller's value.
const OWNED: [&str; 9] = [
    "x-sdk-content-sha256",
    "x-security-token",
    "x-auth-token",
    "x-apig-appcode",
    "x-project-id",
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-apig-proxy-token",
];

fn settings() -> Settings {
    let mut config: Config = with_upstream("https://gateway.example/base").unwrap();
    config.methods = Methods::Any;
    settings_of(&config)
}

pub(super) fn settings_of(config: &Config) -> Settings {
    let credentials = Credentials {
        access_key: "AK".to_owned(),
        secret_key: "SK".into(),
        security_token: None,
    };
    let supply = Supply::fixed(needs(config)[0], "default", &credentials);
    let guard = Guard::new(&config.access, &["127.0.0.1:8080".parse().unwrap()]);
    Settings::new(config, guard, RouteCredentials::new(config, &[supply]))
}

/// A name in a spelling of its own: capitals, and `_` for `-`.
fn name(random: &mut Rng) -> String {
    let name = NAMES[random.usize(..NAMES.len())];
    let spelt = |byte: char| match random.u8(..8) {
        0 if byte == '-' => '_',
        1 => byte.to_ascii_uppercase(),
        _ => byte,
    };
    name.chars().map(spelt).collect()
}

fn value(random: &mut Rng) -> String {
    match random.u8(..9) {
        0 => "evil.example".to_owned(),
        1 => name(random),
        2 => format!("{}, {}", name(random), name(random)),
        3 => "0".to_owned(),
        4 => "UNSIGNED-PAYLOAD".to_owned(),
        5 => "1;0123456789abcdef".to_owned(),
        6 => String::new(),
        7 => "close".to_owned(),
        _ => "\u{e9}vil, evil".to_owned(),
    }
}

fn target(random: &mut Rng) -> String {
    let starts = [
        "/",
        "/",
        "/",
        "//evil.example/",
        "http://localhost/",
        "http://evil.example/",
        "/@evil.example/",
        "*",
        "evil.example:443",
        "/\\evil.example",
    ];
    let pieces = [
        "a",
        "/",
        "//",
        ":",
        "@",
        "%2e%2e",
        "%2F",
        "..",
        ".",
        "%00",
        "%0d%0a",
        "?",
        "&",
        "=",
        "+",
        ";",
        "#",
        "%zz",
        "evil.example",
        "\\",
        "~",
        "%",
        "caf%C3%A9",
    ];
    let mut target = starts[random.usize(..starts.len())].to_owned();
    for _ in 0..random.usize(..6) {
        target.push_str(pieces[random.usize(..pieces.len())]);
    }
    target
}

fn head(random: &mut Rng) -> Option<request::Parts> {
    let methods = ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "CONNECT"];
    let method = methods[random.usize(..methods.len())];
    let mut request = Request::builder().method(method).uri(target(random));
    // Mostly what gets through, or little would be tried.
    if random.u8(..16) > 0 {
        request = request.header("host", "localhost");
    }
    for _ in 0..random.usize(..7) {
        request = request.header(name(random), value(random));
    }
    // What is no head at all never gets this far.
    Some(request.body(()).ok()?.into_parts().0)
}

/// What leaves for a head that was let through.
fn sent(
    settings: &Settings,
    metrics: &Rc<WorkerMetrics>,
    head: request::Parts,
) -> Option<Request<()>> {
    settings.guard.check(ListenerKind::Tcp, &head).ok()?;
    let caller = CallerConnection::new(ListenerKind::Tcp, Rc::default());
    let context = RequestContext::begin(Rc::clone(metrics), Rc::new(caller), Some(&head));
    let routed = route::route(settings, head, Some(0), &context).ok()?;
    let prepared = Prepared::new(routed, PreparedBody::Empty, Some(PayloadHash::EMPTY)).ok()?;
    let view = CredentialsView::new(&settings.credentials);
    let auth = &view.current(prepared.routed.slot).unwrap().auth;
    let request = prepared.outgoing(settings, (), false);
    let (callers, hash) = (&prepared.routed.head.headers, prepared.hash.as_ref());
    let signed = auth.apply(request, callers, hash, clock::signing_date());
    Some(signed.unwrap().into_request())
}

fn check(head: &request::Parts, sent: &Request<()>) {
    let shown = || format!("{head:?} became {sent:?}");
    assert!(sent.uri().to_string().starts_with("/base"), "{}", shown());
    let values = |name: &str| -> Vec<&[u8]> {
        let all = sent.headers().iter();
        let all = all.filter(|(key, _)| key.as_str().replace('_', "-") == name);
        all.map(|(_, value)| value.as_bytes()).collect()
    };
    for name in ONCE {
        assert_eq!(values(name).len(), 1, "{name}: {}", shown());
    }
    assert_eq!(values("host"), [b"gateway.example"], "{}", shown());
    assert_eq!(values("x-stage"), [b"RELEASE"], "{}", shown());
    let signature = b"SDK-HMAC-SHA256 Access=AK, SignedHeaders=host;x-sdk-date;x-stage";
    assert!(
        values("authorization")[0].starts_with(signature),
        "{}",
        shown()
    );
    let hops = values("apig-proxy-hop")[0];
    let is_hop = hops.starts_with(b"1;") || hops.starts_with(b"2;0123456789abcdef,");
    assert!(is_hop, "{}", shown());
    for name in OWNED {
        assert!(values(name).is_empty(), "{name}: {}", shown());
    }
    let lengths = values("content-length").len();
    assert!(
        lengths <= 1 && values("transfer-encoding").is_empty(),
        "{}",
        shown()
    );
}

/// A number of the environment.
fn number(name: &str, default: u64) -> u64 {
    let environment = Environment::from_env();
    let text = environment.text(name).map(str::to_owned);
    text.and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn every_request_goes_where_it_should_with_each_header_of_ours_once() {
    let (cases, seed) = (
        number("PROPERTY_CASES", 20_000),
        number("PROPERTY_SEED", 20_261_124),
    );
    let (settings, mut random) = (settings(), Rng::with_seed(seed));
    let metrics = Rc::new(Metrics::default().worker());
    let mut let_through = 0;
    for _ in 0..cases {
        let Some(head) = head(&mut random) else {
            continue;
        };
        if let Some(sent) = sent(&settings, &metrics, head.clone()) {
            check(&head, &sent);
            let_through += 1;
        }
    }
    assert!(
        let_through * 20 > cases,
        "seed {seed}: only {let_through} of {cases} were let through"
    );
}
