//! Routes: the `[[route]]` tables, and the top-level `upstream` as the route for everything else.

use std::cmp::Reverse;
use std::net::{IpAddr, SocketAddr};

use http::HeaderValue;

use super::address;
use super::credentials::CredentialsConfig;
use super::layers::Setting;
use super::limits::{Methods, large_body};
use super::listen::Listen;
use super::reader::Reader;
use super::value::{Parsed, header_value, optional, text, texts, word};
use super::{Auth, AuthMode, LargeBody, PathRule, Route, UpstreamUrl};
use crate::signature::Target;

const MODES: [(&str, AuthMode); 4] = [
    ("aksk", AuthMode::AkSk),
    ("token", AuthMode::Token),
    ("app-code", AuthMode::AppCode),
    ("api-key", AuthMode::ApiKey),
];

/// What routes are checked against, and the values for those that do not set them.
struct RouteDefaults<'a> {
    listen: &'a [Listen],
    sets: &'a [CredentialsConfig],
    stage: HeaderValue,
    auth: AuthMode,
    large_body: LargeBody,
}

impl RouteDefaults<'_> {
    fn route(&self, prefix: String, upstream: UpstreamUrl) -> Route {
        Route {
            prefix,
            upstream,
            stage: self.stage.clone(),
            methods: None,
            paths: None,
            egress: None,
            auth: Auth {
                mode: self.auth,
                credentials: 0,
            },
            large_body: self.large_body,
        }
    }
}

/// All routes, longest prefix first.
pub(super) fn routes(
    reader: &mut Reader,
    listen: &[Listen],
    sets: &[CredentialsConfig],
) -> Vec<Route> {
    const SAME: &str = "another route takes the same path, decoded and with merged slashes; keep one of them (the top-level \
                        upstream is the route for \"/\")";
    let defaults = RouteDefaults {
        listen,
        sets,
        stage: reader.get("stage", stage),
        auth: reader.get("auth.mode", word(MODES)),
        large_body: reader.get("limits.large_body", large_body(false)),
    };
    let count = reader.count_of_routes();
    let mut routes: Vec<Route> = Vec::new();
    routes.extend(top_level(reader, &defaults, count > 0));
    for number in 0..count {
        let Some(route) = route(reader, number, &defaults) else {
            continue;
        };
        let prefix = route.normalized_prefix();
        if routes
            .iter()
            .any(|other| other.normalized_prefix() == prefix)
        {
            reader.report(&format!("route.{number}.path"), SAME);
        }
        routes.push(route);
    }
    routes.sort_by_key(|route| Reverse(route.prefix.len()));
    routes
}

/// The route of the top-level `upstream`, which takes every path that no other route takes.
fn top_level(reader: &mut Reader, defaults: &RouteDefaults<'_>, has_others: bool) -> Option<Route> {
    const MISSING: &str = "it is not said where requests go; give --upstream https://<id>.apig.<region>.huaweicloudapis.com, \
                           or upstream in a configuration file, or try \"apig-proxy demo\"";
    let elsewhere = optional(text(|text| elsewhere(text, defaults.listen)));
    let upstream = reader.find("upstream", elsewhere).flatten();
    if upstream.is_none() && !has_others && !reader.is_wrong("upstream") {
        reader.report("upstream", MISSING);
    }
    let route = defaults.route(String::new(), upstream?);
    if let Some((key, message)) = missing_credential(&route, &defaults.sets[0]) {
        reader.report(&format!("credentials.{key}"), message);
    }
    Some(route)
}

fn route(reader: &mut Reader, number: usize, defaults: &RouteDefaults<'_>) -> Option<Route> {
    let key = |key: &str| format!("route.{number}.{key}");
    for required in ["path", "upstream"] {
        if !reader.is_set(&key(required)) {
            reader.report(&key(required), "the route needs this key");
        }
    }
    let prefix = reader.find(&key("path"), text(prefix));
    let elsewhere = text(|text| elsewhere(text, defaults.listen));
    let upstream = reader.find(&key("upstream"), elsewhere);
    let methods = reader.find(&key("methods"), Methods::parse);
    let within = prefix.as_deref().unwrap_or_default();
    let paths = reader.find(&key("paths"), |setting| path_rules(setting, within));
    let stage = reader.find(&key("stage"), stage);
    let mode = reader.find(&key("auth"), word(MODES));
    let set = reader.find(
        &key("credentials"),
        text(|name| set_named(name, defaults.sets)),
    );
    // Set for the route itself, it is meant for all bodies that may be large.
    let large_body = reader.find(&key("large_body"), large_body(true));
    let mut route = defaults.route(prefix?, upstream?);
    route.methods = methods;
    route.paths = paths;
    route.stage = stage.unwrap_or(route.stage);
    route.auth.mode = mode.unwrap_or(route.auth.mode);
    route.auth.credentials = set.unwrap_or(0);
    route.large_body = large_body.unwrap_or(route.large_body);
    if let Some((_, message)) = missing_credential(&route, &defaults.sets[route.auth.credentials]) {
        let causes = ["credentials", "auth", "large_body"].map(key);
        let cause = causes.iter().find(|key| reader.is_set(key));
        reader.report(cause.unwrap_or(&causes[1]), message);
    }
    Some(route)
}

/// The key of a set of credentials that a route needs and that is not set, and what to do.
fn missing_credential(
    route: &Route,
    set: &CredentialsConfig,
) -> Option<(&'static str, &'static str)> {
    const TOKEN: &str = "requests with a token need one: set token_file of its credentials, or iam_user_file, \
                         iam_password_file and iam_domain_file";
    const APP_CODE: &str =
        "requests with an app code need one: set app_code_file of its credentials";
    const API_KEY: &str = "requests with an api key need one: set api_key_file of its credentials";
    let may_be_large = route.large_body != LargeBody::Reject;
    match route.auth.mode {
        AuthMode::Token if set.token.is_none() => Some(("token_file", TOKEN)),
        AuthMode::AkSk if may_be_large && set.token.is_none() => Some(("token_file", TOKEN)),
        AuthMode::AppCode if set.app_code.is_none() => Some(("app_code_file", APP_CODE)),
        AuthMode::ApiKey if set.api_key.is_none() => Some(("api_key_file", API_KEY)),
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

fn stage(setting: &Setting) -> Parsed<HeaderValue> {
    let stage = header_value(setting)?;
    Ok(stage.ok_or("expected the name of an environment, like \"RELEASE\"")?)
}

/// The URL of an upstream that is not the proxy itself.
fn elsewhere(text: &str, listen: &[Listen]) -> Result<UpstreamUrl, &'static str> {
    const LOOP: &str = "this is the proxy's own address, so requests would loop; give the address of the gateway, \
                        or listen on another port";
    let url = address::upstream(text)?;
    let ip = url.host.parse::<IpAddr>().ok();
    let is_own = |own: SocketAddr| {
        let is_localhost = url.host == "localhost" && own.ip().is_loopback();
        own.port() == url.port && (Some(own.ip()) == ip || is_localhost)
    };
    if listen.iter().filter_map(Listen::address).any(is_own) {
        Err(LOOP)
    } else {
        Ok(url)
    }
}

/// The paths that clients may use, which belong to the route.
fn path_rules(setting: &Setting, prefix: &str) -> Parsed<Vec<PathRule>> {
    const EXPECTED: &str = "expected paths of this route as callers write them, like [\"/flowers/predict\", \"/flowers/models/*\"]";
    let rule = |text: &String| {
        let (path, rule): (_, fn(String) -> PathRule) = match text.strip_suffix('*') {
            Some(start) if start.ends_with('/') => (start, PathRule::Below),
            _ => (text.as_str(), PathRule::Exact),
        };
        let has_query = Target::parse(path).ok()?.query().is_some();
        let rest = path.strip_prefix(prefix)?;
        let is_own = rest.is_empty() || rest.starts_with('/');
        (is_own && !has_query && !path.contains('*')).then(|| rule(path.to_owned()))
    };
    let rules: Option<Vec<PathRule>> = texts(setting)?.iter().map(rule).collect();
    let rules = rules.filter(|rules| !rules.is_empty());
    Ok(rules.ok_or(EXPECTED)?)
}

fn prefix(path: &str) -> Result<String, &'static str> {
    const EXPECTED: &str =
        "expected a path that starts with \"/\", like \"/flowers\", without query and dot segments";
    match Target::parse(path) {
        Ok(target) if target.query().is_none() => Ok(path.trim_end_matches('/').to_owned()),
        _ => Err(EXPECTED),
    }
}
