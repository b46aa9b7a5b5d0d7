//! Routes: the `[[route]]` tables, and the top-level `upstream` as the route for everything.

use std::net::{IpAddr, SocketAddr};

use figment::value::Value;
use http::HeaderValue;

use super::bounds::{EXPECTED_LARGE_BODY, LARGE_BODY};
use super::judge::{Judge, header_value, list, text};
use super::keys::{ROUTE_KEYS, nearest};
use super::problem::{Place, Problem};
use super::raw::{Raw, RawRoute};
use super::resolve::methods_named;
use super::{
    Auth, AuthMode, CredentialsConfig, LargeBody, Listen, PathRule, Route, UpstreamUrl, address,
};
use crate::signature::Target;

const MODES: [(&str, AuthMode); 4] = [
    ("aksk", AuthMode::AkSk),
    ("token", AuthMode::Token),
    ("app-code", AuthMode::AppCode),
    ("api-key", AuthMode::ApiKey),
];
const EXPECTED_MODE: &str = "expected \"aksk\", \"token\", \"app-code\" or \"api-key\"";

/// What holds for routes that do not say otherwise.
#[derive(Debug)]
pub(super) struct Usual {
    pub(super) stage: HeaderValue,
    pub(super) auth: AuthMode,
    pub(super) large_body: LargeBody,
}

/// How requests show whose they are where a route does not say it.
pub(super) fn auth(judge: &mut Judge<'_>) -> AuthMode {
    let mode = judge.word("auth.mode", &MODES, EXPECTED_MODE);
    mode.unwrap_or(AuthMode::AkSk)
}

/// All routes, longest prefix first.
pub(super) fn routes(
    raw: &Raw,
    judge: &mut Judge<'_>,
    usual: &Usual,
    listen: &[Listen],
    sets: &[CredentialsConfig],
) -> Vec<Route> {
    let mut routes: Vec<(Route, Place)> = Vec::new();
    routes.extend(top_level(raw, judge, usual, listen));
    if !routes.is_empty()
        && let Some((key, message)) = lack(&routes[0].0, &sets[0])
    {
        judge.report(&format!("credentials.{key}"), message);
    }
    for said in &raw.routes {
        let Some(route) = route(said, judge, usual, listen, sets) else {
            continue;
        };
        let prefix = route.normalized_prefix();
        if routes
            .iter()
            .any(|(other, _)| other.normalized_prefix() == prefix)
        {
            let message = "another route takes the same path, decoded and with merged slashes; keep one of them (the top-level upstream is the route for \"/\")";
            let problem = Problem {
                place: said.place.clone(),
                key: "route.path".to_owned(),
                message: message.to_owned(),
            };
            judge.problems.push(problem);
        }
        routes.push((route, said.place.clone()));
    }
    let mut routes: Vec<Route> = routes.into_iter().map(|(route, _)| route).collect();
    routes.sort_by_key(|route| std::cmp::Reverse(route.prefix.len()));
    routes
}

/// The route of the key `upstream`, which takes every path that no other route takes.
fn top_level(
    raw: &Raw,
    judge: &mut Judge<'_>,
    usual: &Usual,
    listen: &[Listen],
) -> Option<(Route, Place)> {
    let Some(upstream) = judge.text("upstream") else {
        if raw.routes.is_empty()
            && raw
                .get("upstream")
                .is_none_or(|(said, _)| said.as_str().is_some())
        {
            judge.report(
                "upstream",
                "it is not said where requests go; give --upstream https://<id>.apig.<region>.huaweicloudapis.com, \
                 or upstream in a configuration file, or try \"apig-proxy demo\"",
            );
        }
        return None;
    };
    match elsewhere(&upstream, listen) {
        Ok(upstream) => {
            let route = Route {
                prefix: String::new(),
                upstream,
                stage: usual.stage.clone(),
                methods: None,
                paths: None,
                egress: None,
                auth: Auth {
                    mode: usual.auth,
                    credentials: 0,
                },
                large_body: usual.large_body,
            };
            Some((route, judge.place("upstream")))
        }
        Err(message) => {
            judge.report("upstream", message);
            None
        }
    }
}

fn route(
    said: &RawRoute,
    judge: &mut Judge<'_>,
    usual: &Usual,
    listen: &[Listen],
    sets: &[CredentialsConfig],
) -> Option<Route> {
    unknown_keys(said, judge);
    let mut table = Table { said, judge };
    let prefix = table.required("path", |value| prefix(&text(value)?));
    let upstream = table.required("upstream", |value| elsewhere(&text(value)?, listen));
    let methods = table.optional("methods", |value| methods_named(&list(value)?));
    let within = prefix.clone().unwrap_or_default();
    let paths = table.optional("paths", |value| path_rules(&list(value)?, &within));
    let stage = table.optional("stage", header_value);
    let mode = table.optional("auth", |value| word(value, &MODES, EXPECTED_MODE));
    let set = table.optional("credentials", |value| set_named(&text(value)?, sets));
    let large_body = table.optional("large_body", |value| {
        let wanted = word(value, &LARGE_BODY, EXPECTED_LARGE_BODY)?;
        // Said of the route itself, it is meant for all that may be long.
        Ok(if wanted {
            LargeBody::Token { unknown: true }
        } else {
            LargeBody::Reject
        })
    });
    let route = Route {
        prefix: prefix?,
        upstream: upstream?,
        stage: stage.unwrap_or_else(|| usual.stage.clone()),
        methods,
        paths,
        egress: None,
        auth: Auth {
            mode: mode.unwrap_or(usual.auth),
            credentials: set.unwrap_or(0),
        },
        large_body: large_body.unwrap_or(usual.large_body),
    };
    if let Some((_, message)) = lack(&route, &sets[route.auth.credentials]) {
        let says = ["credentials", "auth", "large_body"].map(|key| said.values.get(key));
        let place = says.into_iter().flatten().next().map(|(_, place)| place);
        let place = place.unwrap_or(&said.place).clone();
        table.report(place, "auth", message);
    }
    Some(route)
}

/// What a set of credentials lacks for a route that uses it: the key, and what to do.
fn lack(route: &Route, set: &CredentialsConfig) -> Option<(&'static str, &'static str)> {
    let wants_token = route.auth.mode == AuthMode::Token;
    let may_want_token = route.auth.mode == AuthMode::AkSk && route.large_body != LargeBody::Reject;
    match route.auth.mode {
        _ if (wants_token || may_want_token) && set.token.is_none() => Some((
            "token_file",
            "requests with a token need one: set token_file of its credentials, or iam_user_file, \
             iam_password_file and iam_domain_file",
        )),
        AuthMode::AppCode if set.app_code.is_none() => Some((
            "app_code_file",
            "requests with an app code need one: set app_code_file of its credentials",
        )),
        AuthMode::ApiKey if set.api_key.is_none() => Some((
            "api_key_file",
            "requests with an api key need one: set api_key_file of its credentials",
        )),
        AuthMode::AkSk | AuthMode::Token | AuthMode::AppCode | AuthMode::ApiKey => None,
    }
}

/// The number of the set with this name.
fn set_named(name: &str, sets: &[CredentialsConfig]) -> Result<usize, &'static str> {
    let found = sets
        .iter()
        .position(|set| set.name.as_deref() == Some(name));
    found.ok_or("there is no such set of credentials; expected the NAME of a [credentials.NAME]")
}

/// One of several words.
fn word<T: Copy>(
    value: &Value,
    words: &[(&str, T)],
    expected: &'static str,
) -> Result<T, &'static str> {
    let said = text(value)?;
    let found = words.iter().find(|(word, _)| *word == said);
    found.map(|(_, value)| *value).ok_or(expected)
}

/// Reads the URL of an upstream that is not the proxy itself.
fn elsewhere(text: &str, listen: &[Listen]) -> Result<UpstreamUrl, &'static str> {
    const LOOP: &str = "this is the proxy's own address, so requests would come back for ever; \
         give the address of the gateway, or listen on another port";
    let url = address::upstream(text)?;
    let ip = url.host.parse::<IpAddr>().ok();
    let is_own = |own: &SocketAddr| {
        let is_localhost = url.host == "localhost" && own.ip().is_loopback();
        own.port() == url.port && (Some(own.ip()) == ip || is_localhost)
    };
    if listen
        .iter()
        .filter_map(Listen::address)
        .any(|own| is_own(&own))
    {
        return Err(LOOP);
    }
    Ok(url)
}

/// One table whose keys are read.
struct Table<'a, 'b> {
    said: &'a RawRoute,
    judge: &'a mut Judge<'b>,
}

impl Table<'_, '_> {
    fn required<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&Value) -> Result<T, &'static str>,
    ) -> Option<T> {
        if !self.said.values.contains_key(key) {
            self.report(self.said.place.clone(), key, "the route needs this key");
        }
        self.optional(key, read)
    }

    fn optional<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&Value) -> Result<T, &'static str>,
    ) -> Option<T> {
        let (value, place) = self.said.values.get(key)?;
        read(value)
            .map_err(|message| self.report(place.clone(), key, message))
            .ok()
    }

    fn report(&mut self, place: Place, key: &str, message: &str) {
        self.judge.problems.push(Problem {
            place,
            key: format!("route.{key}"),
            message: message.to_owned(),
        });
    }
}

fn unknown_keys(said: &RawRoute, judge: &mut Judge<'_>) {
    for (name, (_, place)) in &said.values {
        if ROUTE_KEYS.iter().any(|key| key.name == name) {
            continue;
        }
        let message = match nearest(name, ROUTE_KEYS) {
            Some(key) => format!("a route has no such key; did you mean {key}?"),
            None => "a route has no such key; it has path, upstream, stage, auth, credentials, methods, \
                     paths and large_body"
                .to_owned(),
        };
        judge.problems.push(Problem {
            place: place.clone(),
            key: "route".to_owned(),
            message,
        });
    }
}

/// Reads the paths that callers may use, which have to be the route's own.
fn path_rules(paths: &[String], prefix: &str) -> Result<Vec<PathRule>, &'static str> {
    const EXPECTED: &str = "expected paths of this route as callers write them, like [\"/flowers/predict\", \"/flowers/models/*\"]";
    let rule = |text: &String| {
        let (path, rule): (_, fn(String) -> PathRule) = match text.strip_suffix('*') {
            Some(start) if start.ends_with('/') => (start, PathRule::Below),
            _ => (text.as_str(), PathRule::Exact),
        };
        let target = Target::parse(path).ok()?;
        let is_own = path
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        (is_own && target.query().is_none() && !path.contains('*')).then(|| rule(path.to_owned()))
    };
    let rules: Option<Vec<PathRule>> = paths.iter().map(rule).collect();
    rules.filter(|rules| !rules.is_empty()).ok_or(EXPECTED)
}

fn prefix(path: &str) -> Result<String, &'static str> {
    const EXPECTED: &str =
        "expected a path that starts with \"/\", like \"/flowers\", without query and dot segments";
    let target = Target::parse(path).map_err(|_| EXPECTED)?;
    if target.query().is_some() {
        Err(EXPECTED)
    } else {
        Ok(path.trim_end_matches('/').to_owned())
    }
}
