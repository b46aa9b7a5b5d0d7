//! Whatever a caller writes, and whichever way the gateway reads it, a request lands on the route that
//! judged it.
//!
//! Here the routes of the proxy are the APIs of a gateway, under the same paths. The gateway is modelled
//! by what it may do to a path before it compares it. This does not use the program's own decoding.

use fastrand::Rng;
use http::Request;
use percent_encoding::percent_decode;

use super::{number, sent, settings_of};
use crate::config::{Config, LargeBody, Methods, PathRule, Route, with_upstream};
use crate::telemetry::metrics::Metrics;

const PREFIXES: [&str; 6] = [
    "/caf%C3%A9/red",
    "/flowers/red",
    "/x%2Fy/z",
    "/flowers",
    "/red",
    "",
];

/// The only paths of `/flowers` that callers may use.
const ALLOWED: &str = "/flowers/open/";

const PIECES: [&str; 30] = [
    "/",
    "/",
    "/",
    "//",
    "///",
    "%2F",
    "%2f",
    "%252F",
    "%5C",
    "flowers",
    "flowers",
    "%66lowers",
    "flow%65rs",
    "%2566lowers",
    "Flowers",
    "red",
    "red",
    "%72ed",
    "r%65%64",
    "caf%C3%A9",
    "c%61f%c3%a9",
    "open",
    "%6Fpen",
    "x",
    "y",
    "x%2Fy",
    "z",
    "%00",
    "%E4%B8%AD",
    "%3F",
];

/// What a gateway does to a path before it compares it.
type Reading = fn(&[u8]) -> Vec<u8>;

/// The readings that are possible. None of them decodes twice.
const READINGS: [Reading; 6] = [
    |path| path.to_vec(),
    merged,
    decoded,
    |path| merged(&decoded(path)),
    decoded_but_slashes,
    |path| merged(&decoded_but_slashes(path)),
];

fn decoded(path: &[u8]) -> Vec<u8> {
    percent_decode(path).collect()
}

fn merged(path: &[u8]) -> Vec<u8> {
    let mut path = path.to_vec();
    path.dedup_by(|next, last| (*next, *last) == (b'/', b'/'));
    path
}

/// Decodes all but the slash and the percent sign, which could not be told from an escape.
fn decoded_but_slashes(path: &[u8]) -> Vec<u8> {
    let text = str::from_utf8(path).unwrap();
    let kept = text.replace("%25", "%2525").replace("%2f", "%2F");
    decoded(kept.replace("%2F", "%252F").as_bytes())
}

fn has_prefix(path: &[u8], prefix: &[u8]) -> bool {
    let rest = path.strip_prefix(prefix);
    rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

fn config() -> Config {
    let mut config = with_upstream("https://gateway.example").unwrap();
    config.methods = Methods::Any;
    let route = config.routes.remove(0);
    config.routes = PREFIXES
        .iter()
        .map(|prefix| named(prefix, &route))
        .collect();
    config
}

/// A route that changes nothing of the path, and says by its host which one it is.
fn named(prefix: &str, like: &Route) -> Route {
    let at = PREFIXES.iter().position(|known| *known == prefix);
    let host = format!("gateway-{}.example", at.unwrap());
    let mut route = Route {
        prefix: prefix.to_owned(),
        large_body: LargeBody::Reject,
        ..like.clone()
    };
    route.upstream.base_path = prefix.to_owned();
    route.upstream.authority = host.parse().unwrap();
    route.upstream.host = host;
    if prefix == "/flowers" {
        route.paths = Some(vec![PathRule::Below(ALLOWED.to_owned())]);
    }
    route
}

fn path(random: &mut Rng) -> String {
    let mut path = "/".to_owned();
    if random.bool() {
        let prefix = PREFIXES[random.usize(..PREFIXES.len())];
        path.push_str(prefix.trim_start_matches('/'));
        path.push('/');
    }
    for _ in 0..random.usize(..7) {
        path.push_str(PIECES[random.usize(..PIECES.len())]);
    }
    path
}

/// A gateway with one reading, and the prefixes of its APIs as it reads them.
struct Gateway {
    reading: Reading,
    prefixes: Vec<Vec<u8>>,
}

impl Gateway {
    fn new(reading: Reading) -> Self {
        let prefixes = PREFIXES.map(|prefix| reading(prefix.as_bytes()));
        Self {
            reading,
            prefixes: prefixes.to_vec(),
        }
    }

    /// The number of the API that takes a path as it is read.
    fn api(&self, path: &[u8]) -> usize {
        let prefixes = self.prefixes.iter().enumerate();
        let found = prefixes.filter(|(_, prefix)| has_prefix(path, prefix));
        found.max_by_key(|(_, prefix)| prefix.len()).unwrap().0
    }

    fn check(&self, path: &str, host: &str) {
        let read = (self.reading)(path.as_bytes());
        let api = self.api(&read);
        let shown = || format!("{path} read as {}", read.escape_ascii());
        assert_eq!(host, format!("gateway-{api}.example"), "{}", shown());
        let is_allowed = PREFIXES[api] != "/flowers" || read.starts_with(ALLOWED.as_bytes());
        assert!(is_allowed, "{}", shown());
    }
}

#[test]
fn a_request_lands_on_the_route_that_judged_it_in_every_reading() {
    let (cases, seed) = (
        number("PROPERTY_CASES", 20_000),
        number("PROPERTY_SEED", 20_261_124),
    );
    let (settings, mut random) = (settings_of(&config()), Rng::with_seed(seed));
    let metrics = std::rc::Rc::new(Metrics::default().worker());
    let gateways = READINGS.map(Gateway::new);
    let (mut let_through, mut respelt) = (0, 0);
    for _ in 0..cases {
        let path = path(&mut random);
        let request = Request::get(path.as_str()).header("host", "localhost");
        let (head, ()) = request.body(()).unwrap().into_parts();
        let Some(sent) = sent(&settings, &metrics, head) else {
            continue;
        };
        assert_eq!(sent.uri(), path.as_str());
        let host = sent.headers()["host"].to_str().unwrap();
        gateways
            .iter()
            .for_each(|gateway| gateway.check(&path, host));
        let_through += 1;
        respelt += u64::from(path.contains('%') || path.contains("//"));
    }
    assert!(
        let_through * 4 > cases && respelt * 8 > cases && let_through < cases,
        "seed {seed}: only {let_through} of {cases} were let through, {respelt} of them respelt"
    );
}
