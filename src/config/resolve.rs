//! Judges what was said: every key, all problems at once.

use std::path::{Path, PathBuf};

use http::{HeaderValue, Method};
use rustls::pki_types::CertificateDer;

use super::judge::{Judge, header_value};
use super::keys::{KEYS, nearest};
use super::problem::{Place, Problem};
use super::raw::Raw;
use super::routes::{self, Usual};
use super::server_tls::certificates;
use super::{
    ClockConfig, Config, MediaRange, Methods, Said, SigningConfig, UpstreamTls, admin, bounds,
    credentials, listen,
};

/// What came of judging.
#[derive(Debug)]
pub(super) struct Judged {
    /// Every key in a valid state; where there is a problem with one, a stand-in.
    pub(super) config: Config,
    /// Whether the keys of `[credentials]` are in order, so that credentials can be looked for.
    pub(super) credentials_in_order: bool,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<Problem>,
    pub(super) said: Said,
}

/// Judges all keys.
pub(super) fn resolve(raw: &Raw, problems: Vec<Problem>) -> Judged {
    let mut judge = Judge::new(raw, problems);
    unknown_keys(raw, &mut judge);
    let before = judge.problems.len();
    let credentials = credentials::sets(raw, &mut judge);
    let credentials_in_order = judge.problems.len() == before;
    let stage = stage(&mut judge);
    let usual = Usual {
        stage,
        auth: routes::auth(&mut judge),
        large_body: bounds::large_body(&mut judge),
    };
    let listen = listen::listen(&mut judge);
    let tls = listen::tls(&mut judge, &listen);
    let access = listen::access(&mut judge);
    listen::posture(&mut judge, &listen, &access, tls.as_ref());
    listen::warn_of_hosts(&mut judge, &listen, &access);
    let config = Config {
        admin: admin::admin(&mut judge, &listen),
        admin_quit: judge.boolean("admin_quit").unwrap_or(false),
        routes: routes::routes(raw, &mut judge, &usual, &listen, &credentials),
        listen,
        unix_socket: listen::unix_socket(&mut judge),
        tls,
        methods: methods(&mut judge),
        credentials,
        signing: SigningConfig {
            unsigned: media_ranges(&mut judge),
        },
        limits: bounds::limits(&mut judge),
        timeouts: bounds::timeouts(&mut judge),
        pool: bounds::pool(&mut judge),
        access,
        upstream_tls: UpstreamTls {
            extra_roots: extra_roots(&mut judge),
        },
        clock: ClockConfig {
            correct: judge.boolean("clock.correct").unwrap_or(true),
        },
        log: bounds::log(&mut judge),
    };
    Judged {
        config,
        credentials_in_order,
        problems: judge.problems,
        warnings: judge.warnings,
        said: Said::of(raw),
    }
}

fn unknown_keys(raw: &Raw, judge: &mut Judge<'_>) {
    for (name, place) in raw.said() {
        let of_set = credentials::split(name).map(|(_, key)| format!("credentials.{key}"));
        let plain = of_set.as_deref().unwrap_or(name);
        if KEYS.iter().any(|key| key.name == plain) {
            continue;
        }
        let is_route = name == "route" || name.starts_with("route.") || name.starts_with("route_");
        let message = match nearest(plain, KEYS) {
            _ if is_route => {
                "routes are tables of the configuration file; write [[route]] there".to_owned()
            }
            Some(key) => format!("there is no such key; did you mean {key}?"),
            None => "there is no such key; config/apig-proxy.toml lists all of them".to_owned(),
        };
        judge.problems.push(Problem {
            place: place.clone(),
            key: shown(name),
            message,
        });
    }
}

/// A key that nobody knows, as messages show it: a secret may have been put in the place of a name.
fn shown(name: &str) -> String {
    let is_name = |byte: u8| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'.');
    if name.len() <= 40 && name.bytes().all(is_name) {
        name.to_owned()
    } else {
        "a key".to_owned()
    }
}

fn stage(judge: &mut Judge<'_>) -> HeaderValue {
    let stage = judge.read("stage", |value| match header_value(value)? {
        value if value.is_empty() => Err("expected the name of an environment, like \"RELEASE\""),
        value => Ok(value),
    });
    stage.unwrap_or_else(|| HeaderValue::from_static("RELEASE"))
}

fn methods(judge: &mut Judge<'_>) -> Methods {
    let Some(names) = judge.list("methods") else {
        return Methods::Any;
    };
    methods_named(&names).unwrap_or_else(|message| {
        judge.report("methods", message);
        Methods::Any
    })
}

/// Reads a list of methods.
pub(super) fn methods_named(names: &[String]) -> Result<Methods, &'static str> {
    const EXPECTED: &str = "expected methods in capital letters, like [\"GET\", \"POST\"], or [\"*\"] for any; CONNECT and TRACE cannot be allowed";
    if names == ["*"] {
        return Ok(Methods::Any);
    }
    let method = |name: &String| {
        let is_name = name
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_'));
        Method::from_bytes(name.as_bytes())
            .ok()
            .filter(|method| is_name && *method != Method::CONNECT && *method != Method::TRACE)
    };
    let methods: Option<Vec<Method>> = names.iter().map(method).collect();
    methods
        .filter(|methods| !methods.is_empty())
        .map(Methods::Only)
        .ok_or(EXPECTED)
}

fn media_ranges(judge: &mut Judge<'_>) -> Vec<MediaRange> {
    let is_token = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
    };
    let mut ranges = Vec::new();
    for text in judge.list("signing.unsigned").unwrap_or_default() {
        let text = text.to_ascii_lowercase();
        match text.split_once('/') {
            None if text == "*" => ranges.push(MediaRange::Any),
            Some((kind, "*")) if is_token(kind) => ranges.push(MediaRange::Type(kind.to_owned())),
            Some((kind, sub)) if is_token(kind) && is_token(sub) => {
                ranges.push(MediaRange::Exact(text))
            }
            _ => judge.report(
                "signing.unsigned",
                "expected media types like \"multipart/*\" or \"video/mp4\", or \"*\" for all",
            ),
        }
    }
    ranges
}

fn extra_roots(judge: &mut Judge<'_>) -> Vec<CertificateDer<'static>> {
    const KEY: &str = "upstream_tls.ca_file";
    let Some(file) = judge.text(KEY) else {
        return Vec::new();
    };
    let file = relative(judge, KEY, file);
    let problem = match certificates(&file) {
        Ok(Some(roots)) => return roots,
        Ok(None) => "the file has no certificate; expected PEM, with BEGIN CERTIFICATE".to_owned(),
        Err(error) => format!("the file {error}"),
    };
    judge.report(KEY, problem);
    Vec::new()
}

/// A path as it is meant: in a configuration file, it is relative to that file's folder.
pub(super) fn relative(judge: &Judge<'_>, key: &str, path: String) -> PathBuf {
    match judge.place(key) {
        Place::File(file, _) => file.parent().unwrap_or_else(|| Path::new("")).join(path),
        Place::WholeFile(_) | Place::Variable(_) | Place::Option(_) | Place::Nowhere => path.into(),
    }
}
