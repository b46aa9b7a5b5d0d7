//! Property tests: what holds for every request, whatever a caller writes. It goes where the
//! configuration says, each header of the proxy's own leaves once with the proxy's value, and the
//! route that checked it is the one that the gateway takes (`readings`).
//!
//! `PROPERTY_CASES` sets how many random requests are tried, `PROPERTY_SEED` which. The full checks
//! try a million.

mod readings;

use std::rc::Rc;

use fastrand::Rng;
use http::{Request, request};

use super::body::PreparedBody;
use super::caller::CallerConnection;
use super::context::RequestContext;
use super::credentials::CredentialsView;
use super::guard::{Guard, ListenerKind, Purpose};
use super::prepare::Prepared;
use super::{RouteCredentials, Settings, route};
use crate::clock;
use crate::config::{Config, Environment, Methods, with_upstream};
use crate::credentials::{Credentials, Source, requirements};
use crate::signature::PayloadHash;
use crate::telemetry::metrics::{Metrics, WorkerMetrics};

/// Names that the proxy owns, and some that it passes on.
const NAMES: &str = "apig-proxy-hop host authorization x-sdk-date x-sdk-content-sha256 x-security-token \
    x-auth-token x-apig-appcode x-stage x-project-id content-length transfer-encoding forwarded \
    x-forwarded-for x-forwarded-host x-apig-proxy-token connection te upgrade expect accept x-own content-type";

const VALUES: &str =
    "evil.example NAME NAME,NAME 0 UNSIGNED-PAYLOAD 1;0123456789abcdef EMPTY close \u{e9}vil,evil";

const STARTS: &str = "/ / / //evil.example/ http://localhost/ http://evil.example/ /@evil.example/ * \
    evil.example:443 /\\evil.example";

const PIECES: &str =
    "a / // : @ %2e%2e %2F .. . %00 %0d%0a ? & = + ; # %zz evil.example \\ ~ % caf%C3%A9";

const METHODS: &str = "GET POST PUT DELETE OPTIONS HEAD CONNECT";

/// Headers that never leave, because the configuration sets none of them.
const NEVER: &str = "x-sdk-content-sha256 x-security-token x-auth-token x-apig-appcode x-project-id forwarded \
    x-forwarded-for x-forwarded-host x-apig-proxy-token transfer-encoding";

/// The settings of a configuration, with a key that never changes.
pub(super) fn settings_of(config: &Config) -> Settings {
    let credentials = Credentials {
        access_key: "AK".to_owned(),
        secret_key: "SK".into(),
        security_token: None,
    };
    let source = Source::fixed(requirements(config)[0], "default", &credentials);
    let guard = Guard::new(&config.access, &["127.0.0.1:8080".parse().unwrap()]);
    Settings::new(config, guard, RouteCredentials::new(config, &[source]))
}

/// One of the words of a list.
fn pick(random: &mut Rng, words: &'static str) -> &'static str {
    let count = words.split_whitespace().count();
    words.split_whitespace().nth(random.usize(..count)).unwrap()
}

/// A number from the environment.
fn number(name: &str, default: u64) -> u64 {
    let environment = Environment::from_env();
    let text = environment.text(name).map(str::to_owned);
    text.and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// The number of cases, and the random numbers that they are made from.
fn cases() -> (u64, Rng) {
    let seed = number("PROPERTY_SEED", 20_261_124);
    (number("PROPERTY_CASES", 20_000), Rng::with_seed(seed))
}

/// A name with some capitals, and some `_` for `-`.
fn name(random: &mut Rng) -> String {
    let name = pick(random, NAMES).chars();
    let spelled = name.map(|letter| match random.u8(..8) {
        0 if letter == '-' => '_',
        1 => letter.to_ascii_uppercase(),
        _ => letter,
    });
    spelled.collect()
}

fn head(random: &mut Rng) -> Option<request::Parts> {
    let mut target = pick(random, STARTS).to_owned();
    for _ in 0..random.usize(..6) {
        target.push_str(pick(random, PIECES));
    }
    let mut request = Request::builder().method(pick(random, METHODS)).uri(target);
    // Most requests are let through, or little would be tried.
    if random.u8(..16) > 0 {
        request = request.header("host", "localhost");
    }
    for _ in 0..random.usize(..7) {
        let value = pick(random, VALUES).replace("EMPTY", "");
        let value = value
            .replacen("NAME", &name(random), 1)
            .replace("NAME", &name(random));
        request = request.header(name(random), value);
    }
    // hyper refuses what is no head at all.
    Some(request.body(()).ok()?.into_parts().0)
}

/// The request that is sent for a head that passes all checks.
fn sent(
    settings: &Settings,
    metrics: &Rc<WorkerMetrics>,
    head: request::Parts,
) -> Option<Request<()>> {
    let guard = &settings.guard;
    guard
        .check(Purpose::Forward, ListenerKind::Tcp, &head)
        .ok()?;
    let caller = CallerConnection::new(ListenerKind::Tcp, Default::default());
    let context = RequestContext::begin(Rc::clone(metrics), caller.into(), Some(&head), Some(0));
    let routed = route::route(settings, head, &context).ok()?;
    let (body, hash) = (PreparedBody::Held(None), Some(PayloadHash::EMPTY));
    let prepared = Prepared::new(settings, routed, body, hash);
    let view = CredentialsView::new(&settings.credentials);
    let credential = view.current(prepared.routed.slot).unwrap();
    let request = prepared.outgoing(settings, (), false);
    let callers = &prepared.routed.head.headers;
    let to_sign = prepared.to_sign(settings, clock::signing_date());
    let signed = credential.apply(request, callers, &to_sign);
    Some(signed.unwrap().into_request())
}

fn check(head: &request::Parts, sent: &Request<()>) {
    let values = |name: &str| -> Vec<&[u8]> {
        let all = sent.headers().iter();
        let all = all.filter(|(key, _)| key.as_str().replace('_', "-") == name);
        all.map(|(_, value)| value.as_bytes()).collect()
    };
    let once =
        |name: &str, start: &[u8]| matches!(values(name)[..], [value] if value.starts_with(start));
    let signature = b"SDK-HMAC-SHA256 Access=AK, SignedHeaders=host;x-sdk-date;x-stage";
    let hops = [&b"1;"[..], b"2;0123456789abcdef,"];
    let is_right = sent.uri().to_string().starts_with("/base")
        && values("host") == [b"gateway.example"]
        && values("x-stage") == [b"RELEASE"]
        && once("x-sdk-date", b"20")
        && once("authorization", signature)
        && hops.iter().any(|start| once("apig-proxy-hop", start))
        && values("content-length").len() <= 1
        && NEVER.split_whitespace().all(|name| values(name).is_empty());
    assert!(is_right, "{head:?} became {sent:?}");
}

#[test]
fn every_request_goes_where_it_should_with_each_header_of_ours_once() {
    let mut config = with_upstream("https://gateway.example/base").unwrap();
    config.methods = Methods::Any;
    let settings = settings_of(&config);
    let metrics = Rc::new(Metrics::default().worker());
    let (cases, mut random) = cases();
    let mut let_through = 0;
    for head in (0..cases).filter_map(|_| head(&mut random)) {
        if let Some(sent) = sent(&settings, &metrics, head.clone()) {
            check(&head, &sent);
            let_through += 1;
        }
    }
    assert!(let_through * 20 > cases, "only {let_through} of {cases}");
}
