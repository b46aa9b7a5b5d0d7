//! Whatever a caller writes, and whichever way the gateway reads it, a request lands on the route
//! that checked it.
//!
//! The routes of the proxy are the APIs of a gateway here, under the same paths. The gateway is
//! modelled by what it may do to a path before it compares it, without the program's own decoding.

use fastrand::Rng;
use http::{HeaderMap, Method, Request};
use percent_encoding::percent_decode;

use super::{cases, pick, sent, settings_of};
use crate::config::{
    Config, Methods, PathPattern, ReadOnly, ReadRule, Rights, Route, with_upstream,
};
use crate::proxy::callers::rights::{self, Action};
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

const PIECES: &str = "/ / / // /// %2F %2f %252F %5C flowers flowers %66lowers flow%65rs %2566lowers Flowers \
    red red %72ed r%65%64 caf%C3%A9 c%61f%c3%a9 open %6Fpen x y x%2Fy z %00 %E4%B8%AD %3F";

/// What a gateway does to a path before it compares it.
type Reading = fn(&[u8]) -> Vec<u8>;

/// The possible readings. None of them decodes twice.
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

fn config() -> Config {
    let mut config = with_upstream("https://gateway.example").unwrap();
    config.methods = Methods::Any;
    let like = config.routes.remove(0);
    config.routes = (0..PREFIXES.len()).map(|at| route(at, &like)).collect();
    config
}

/// A route that changes nothing of the path, with its index in the name of its host.
fn route(at: usize, like: &Route) -> Route {
    let host = format!("gateway-{at}.example");
    let mut route = like.clone();
    route.prefix = PREFIXES[at].to_owned();
    route.upstream.base_path = PREFIXES[at].to_owned();
    route.upstream.authority = host.parse().unwrap();
    route.upstream.host = host;
    if PREFIXES[at] == "/flowers" {
        route.paths = Some(vec![PathPattern::new(&format!("{ALLOWED}*")).unwrap()]);
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
        path.push_str(pick(random, PIECES));
    }
    path
}

fn is_below(prefix: &[u8], path: &[u8]) -> bool {
    let rest = path.strip_prefix(prefix);
    rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

/// Checks that a gateway with this reading takes a path for an API that the path was checked for.
fn check(reading: Reading, path: &str, host: &str) {
    let read = reading(path.as_bytes());
    let prefixes = PREFIXES.map(|prefix| reading(prefix.as_bytes()));
    let apis = (0..PREFIXES.len()).filter(|at| is_below(&prefixes[*at], &read));
    let api = apis.max_by_key(|at| prefixes[*at].len()).unwrap();
    let shown = || format!("{path} read as {}", read.escape_ascii());
    assert_eq!(host, format!("gateway-{api}.example"), "{}", shown());
    let is_allowed = PREFIXES[api] != "/flowers" || read.starts_with(ALLOWED.as_bytes());
    assert!(is_allowed, "{}", shown());
}

#[test]
fn a_request_lands_on_the_route_that_checked_it_in_every_reading() {
    let settings = settings_of(&config());
    let metrics = std::rc::Rc::new(Metrics::default().worker());
    let (cases, mut random) = cases();
    let (mut let_through, mut unusual) = (0, 0);
    for path in (0..cases).map(|_| path(&mut random)) {
        let request = Request::get(path.as_str()).header("host", "localhost");
        let (head, ()) = request.body(()).unwrap().into_parts();
        let Some(sent) = sent(&settings, &metrics, head) else {
            continue;
        };
        // The spelling of the upstream decides about a slash at the end of a prefix.
        let sent_path = sent.uri().path();
        let is_kept = sent_path == path || path.strip_suffix('/') == Some(sent_path);
        assert!(is_kept, "{path} became {sent_path}");
        let host = sent.headers()["host"].to_str().unwrap();
        for reading in READINGS {
            check(reading, sent_path, host);
        }
        let_through += 1;
        unusual += u64::from(path.contains('%') || path.contains("//"));
    }
    assert!(
        let_through * 4 > cases && unusual * 8 > cases && let_through < cases,
        "only {let_through} of {cases} were let through, {unusual} of them unusual"
    );
}

/// Checks that a reading of a path is one of those that the rights are for.
fn check_rights(reading: Reading, path: &str, rule: &str) {
    let read = reading(path.as_bytes());
    let mut prefixes = PREFIXES[..3].iter();
    let is_own = prefixes.any(|prefix| is_below(&reading(prefix.as_bytes()), &read));
    let found: Vec<&[u8]> = read.split(|byte| *byte == b'/').collect();
    let wanted: Vec<&[u8]> = rule.split('/').map(str::as_bytes).collect();
    let mut both = wanted.iter().zip(&found);
    let is_read = wanted.len() == found.len()
        && both.all(|(wanted, found)| *wanted == b"*" || wanted == found);
    assert!(is_own && is_read, "{path} read as {}", read.escape_ascii());
}

#[test]
fn a_caller_changes_nothing_beyond_its_rights_in_any_reading() {
    const RULE: &str = "/flowers/red/*/open";
    let limit = ReadOnly {
        enabled: true,
        reads: vec![ReadRule::parse(&format!("POST {RULE}")).unwrap()],
    };
    let rights = Rights {
        routes: PREFIXES[..3].iter().map(ToString::to_string).collect(),
        ..Rights::default()
    };
    let (cases, mut random) = cases();
    let mut passed = 0;
    for _ in 0..cases {
        let mut path = "/flowers/red/".to_owned();
        for _ in 0..random.usize(1..4) {
            path.push_str(pick(&mut random, PIECES));
        }
        path.push_str(["/open", "%2Fopen", "open", "/%6Fpen"][random.usize(..4)]);
        let action = Action {
            method: &Method::POST,
            path: &path,
            headers: &HeaderMap::new(),
            is_websocket: false,
        };
        if rights::check(Some(&rights), [&limit, &ReadOnly::default()], &action).is_ok() {
            for reading in READINGS {
                check_rights(reading, &path, RULE);
            }
            passed += 1;
        }
    }
    assert!(
        passed * 50 > cases && passed * 2 < cases,
        "{passed} of {cases}"
    );
}
