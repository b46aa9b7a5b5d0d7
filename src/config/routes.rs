//! Routes: the `[[route]]` tables, and the top-level `upstream` as the route for everything.

use std::net::{IpAddr, SocketAddr};

use figment::value::Value;
use http::HeaderValue;

use super::judge::{Judge, header_value, list, text};
use super::keys::{NOT_SERVED, ROUTE_KEYS, nearest};
use super::problem::{Place, Problem};
use super::raw::{Raw, RawRoute};
use super::resolve::methods_named;
use super::{Listen, PathRule, Route, UpstreamUrl, address};
use crate::signature::Target;

pub(super) const LATER_MODES: [&str; 3] = ["token", "app-code", "api-key"];
pub(super) const EXPECTED_MODE: &str = "expected \"aksk\"";

/// All routes, longest prefix first.
pub(super) fn routes(
    raw: &Raw,
    judge: &mut Judge<'_>,
    stage: &HeaderValue,
    listen: &[Listen],
) -> Vec<Route> {
    let mut routes: Vec<(Route, Place)> = Vec::new();
    routes.extend(top_level(raw, judge, stage, listen));
    for said in &raw.routes {
        let Some(route) = route(said, judge, stage, listen) else {
            continue;
        };
        if routes.iter().any(|(other, _)| other.prefix == route.prefix) {
            let message = "another route takes the same path; keep one of them (the top-level upstream is the route for \"/\")";
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
    stage: &HeaderValue,
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
                stage: stage.clone(),
                methods: None,
                paths: None,
                egress: None,
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
    stage: &HeaderValue,
    listen: &[Listen],
) -> Option<Route> {
    unknown_keys(said, judge);
    let mut table = Table { said, judge };
    let prefix = table.required("path", |value| prefix(&text(value)?));
    let upstream = table.required("upstream", |value| elsewhere(&text(value)?, listen));
    let methods = table.optional("methods", |value| methods_named(&list(value)?));
    let within = prefix.clone().unwrap_or_default();
    let paths = table.optional("paths", |value| path_rules(&list(value)?, &within));
    let stage = table
        .optional("stage", header_value)
        .unwrap_or_else(|| stage.clone());
    if let Some(problem) = table
        .optional("auth", text)
        .and_then(|mode| mode_problem(&mode))
    {
        let place = said
            .values
            .get("auth")
            .map_or(Place::Nowhere, |(_, place)| place.clone());
        table.report(place, "auth", &problem);
    }
    Some(Route {
        prefix: prefix?,
        upstream: upstream?,
        stage,
        methods,
        paths,
        egress: None,
    })
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
            None => {
                "a route has no such key; it has path, upstream, stage, auth, methods and paths"
                    .to_owned()
            }
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

/// What is wrong with a way to authenticate, if anything is.
fn mode_problem(mode: &str) -> Option<String> {
    match mode {
        "aksk" => None,
        later if LATER_MODES.contains(&later) => Some(format!(
            "this way to authenticate {NOT_SERVED}; {EXPECTED_MODE}"
        )),
        _ => Some(EXPECTED_MODE.to_owned()),
    }
}
