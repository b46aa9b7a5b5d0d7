//! What holds for every request, whatever a caller writes: it goes where the configuration says, and each
//! header of the proxy's own leaves once, with the proxy's value.
//!
//! And it lands on the route that judged it, whichever way the gateway reads its path.
//!
//! `PROPERTY_CASES` says how many requests are tried, `PROPERTY_SEED` which; the checks run a million.

mod readings;

use std::cell::RefCell;
use std::rc::Rc;

use fastrand::Rng;
use futures_util::FutureExt;
use tokio::io::duplex;

use super::keyring::Ring;
use super::message::Observed;
use super::{Keyring, Request, Settings, admit, payload};
use crate::clock;
use crate::config::{Config, Environment, Methods, with_upstream};
use crate::credentials::{Credentials, Supply, needs};
use crate::guard::{Guard, ListenerKind};
use crate::http1::{Caller, Incoming, RequestHead, Wire};
use crate::telemetry::metrics::{Meter, Metrics};

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
    Settings::new(config, guard, Keyring::new(config, &[supply]))
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

fn head(random: &mut Rng) -> Vec<u8> {
    let methods = ["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD", "CONNECT"];
    let method = methods[random.usize(..methods.len())];
    let mut head = format!("{method} {} HTTP/1.1\r\n", target(random));
    // Mostly what gets through, or little would be tried.
    if random.u8(..16) > 0 {
        head.push_str("Host: localhost\r\n");
    }
    for _ in 0..random.usize(..7) {
        head.push_str(&format!("{}: {}\r\n", name(random), value(random)));
    }
    head.push_str("\r\n");
    head.into_bytes()
}

fn request_head(bytes: &[u8]) -> Option<RequestHead> {
    RequestHead::parse(&bytes.to_vec().into()).ok()
}

/// What leaves for a head that was let through.
fn sent(settings: &Settings, meter: &Rc<Meter>, head: RequestHead) -> Option<Vec<u8>> {
    let (near, _far) = duplex(64);
    let caller = Rc::new(RefCell::new(Caller::new(Wire::new(near))));
    caller.borrow_mut().begin(&head);
    let body = Incoming::new(caller, head.framing);
    let request = Request {
        head,
        body,
        listener: ListenerKind::Tcp,
    };
    let observed = Observed {
        flight: meter.begin(request.head.method(), None),
        request,
    };
    let ring = Ring::new(&settings.keyring);
    let admitted = admit::admit(settings, observed).ok()?;
    // Without a body, there is nothing to wait for.
    let prepared = payload::prepare(settings, admitted).now_or_never()?.ok()?;
    let route = &settings.routes[prepared.reply.route];
    let date = clock::signing_date();
    let held = ring.current(prepared.slot).unwrap();
    let signed = held.proof.apply(&prepared, route, date).unwrap();
    Some(signed.into_head().to_vec())
}

fn check(head: &[u8], sent: &[u8]) {
    let shown = || {
        format!(
            "{:?} became {:?}",
            String::from_utf8_lossy(head),
            String::from_utf8_lossy(sent)
        )
    };
    let mut headers = [httparse::EMPTY_HEADER; 120];
    let mut request = httparse::Request::new(&mut headers);
    assert!(request.parse(sent).unwrap().is_complete(), "{}", shown());
    assert!(request.path.unwrap().starts_with("/base"), "{}", shown());
    let folded = |name: &str| name.to_ascii_lowercase().replace('_', "-");
    let values = |name: &str| -> Vec<&[u8]> {
        let all = request
            .headers
            .iter()
            .filter(|header| folded(header.name) == name);
        all.map(|header| header.value).collect()
    };
    for name in ONCE {
        assert_eq!(values(name).len(), 1, "{name}: {}", shown());
    }
    assert_eq!(values("host"), [b"gateway.example"], "{}", shown());
    assert_eq!(values("x-stage"), [b"RELEASE"], "{}", shown());
    assert!(
        values("authorization")[0]
            .starts_with(b"SDK-HMAC-SHA256 Access=AK, SignedHeaders=host;x-sdk-date;x-stage"),
        "{}",
        shown()
    );
    let hops = values("apig-proxy-hop")[0];
    assert!(
        hops.starts_with(b"1;") || hops.starts_with(b"2;0123456789abcdef,"),
        "{}",
        shown()
    );
    for name in OWNED {
        assert!(values(name).is_empty(), "{name}: {}", shown());
    }
    assert!(
        values("content-length").len() <= 1 && values("transfer-encoding").is_empty(),
        "{}",
        shown()
    );
}

/// A number of the environment.
fn number(name: &str, default: u64) -> u64 {
    let environment = Environment::of_process();
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
    let meter = Rc::new(Metrics::new().meter());
    let mut let_through = 0;
    for _ in 0..cases {
        let bytes = head(&mut random);
        let Some(head) = request_head(&bytes) else {
            continue;
        };
        if let Some(sent) = sent(&settings, &meter, head) {
            check(&bytes, &sent);
            let_through += 1;
        }
    }
    assert!(
        let_through * 20 > cases,
        "seed {seed}: only {let_through} of {cases} were let through"
    );
}
