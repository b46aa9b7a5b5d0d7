//! Routes: the `[[route]]` tables, and the top-level `upstream` as the route for everything else.

use std::cmp::Reverse;
use std::net::{IpAddr, SocketAddr};

use http::{HeaderName, HeaderValue};

use super::address::{self, Listen};
use super::credentials::CredentialsConfig;
use super::layers::Setting;
use super::limits::{Methods, large_body};
use super::owned_headers::{header_list, header_name};
use super::reader::Reader;
use super::value::{Parsed, duration, header_value, optional, text, texts, word};
use super::{Auth, AuthMode, LargeBody, PathRule, Route, RouteSigning, Scheme, UpstreamUrl};
use crate::signature::{Target, normalize_path};

const MODES: [(&str, AuthMode); 4] = [
    ("aksk", AuthMode::AkSk),
    ("token", AuthMode::Token),
    ("app-code", AuthMode::AppCode),
    ("api-key", AuthMode::ApiKey),
];

/// What happens to the origin of the proxy's own pages; `true` if it stays.
const ORIGINS: [(&str, bool); 2] = [("upstream", false), ("keep", true)];

/// What routes are checked against, and the values for those that do not set them.
struct RouteDefaults<'a> {
    listen: &'a [Listen],
    sets: &'a [CredentialsConfig],
    stage: HeaderValue,
    auth: AuthMode,
    large_body: LargeBody,
    headers: Vec<(HeaderName, HeaderValue)>,
    forward_authorization_as: Option<HeaderName>,
    signing: RouteSigning,
}

/// All routes, longest prefix first.
pub(super) fn routes(
    reader: &mut Reader,
    listen: &[Listen],
    sets: &[CredentialsConfig],
) -> Vec<Route> {
    const SAME: &str = "another route takes the same path, decoded and with merged slashes\n\
        hint: keep one of them (the top-level `upstream` is the route for \"/\")";
    const MISSING: &str = "it is not said where requests go\n\
        hint: give `--upstream https://<id>.apig.<region>.huaweicloudapis.com`, or `upstream` in a configuration file, \
        or try `apig-proxy demo`";
    let defaults = RouteDefaults {
        listen,
        sets,
        stage: reader.get("stage", stage),
        auth: reader.get("auth.mode", word(MODES)),
        large_body: reader.get("limits.large_body", large_body(false)),
        headers: reader.get("headers", header_list),
        forward_authorization_as: reader.get("forward_authorization_as", optional(header_name)),
        signing: RouteSigning::read(reader, "signing.", &RouteSigning::default()),
    };
    let count = reader.count_of_routes();
    let elsewhere = optional(|text| elsewhere(text, listen));
    let upstream = reader.find("upstream", elsewhere).flatten();
    if upstream.is_none() && count == 0 && !reader.is_wrong("upstream") {
        reader.report("upstream", MISSING);
    }
    let top_level = upstream
        .and_then(|upstream| defaults.route(reader, "", Some(String::new()), Some(upstream)));
    let mut routes: Vec<Route> = top_level.into_iter().collect();
    for number in 0..count {
        let Some(route) = route(reader, &format!("route.{number}."), &defaults) else {
            continue;
        };
        let prefix = route.normalized_prefix();
        let mut others = routes.iter();
        if others.any(|other| other.normalized_prefix() == prefix) {
            reader.report(&format!("route.{number}.path"), SAME);
        }
        routes.push(route);
    }
    routes.sort_by_key(|route| Reverse(route.prefix.len()));
    routes
}

/// The route of a `[[route]]`, whose keys begin with `table`.
fn route(reader: &mut Reader, table: &str, defaults: &RouteDefaults<'_>) -> Option<Route> {
    for required in ["path", "upstream"].map(|key| format!("{table}{key}")) {
        if !reader.is_set(&required) {
            reader.report(&required, "the route needs this key");
        }
    }
    let prefix = reader.find(&format!("{table}path"), text(prefix));
    let elsewhere = text(|text| elsewhere(text, defaults.listen));
    let upstream = reader.find(&format!("{table}upstream"), elsewhere);
    defaults.route(reader, table, prefix, upstream)
}

impl RouteDefaults<'_> {
    /// A route with the keys that begin with `table`; the top-level route has no such keys.
    fn route(
        &self,
        reader: &mut Reader,
        table: &str,
        prefix: Option<String>,
        upstream: Option<UpstreamUrl>,
    ) -> Option<Route> {
        let key = |key: &str| {
            if table.is_empty() {
                String::new()
            } else {
                format!("{table}{key}")
            }
        };
        let within = prefix.as_deref().unwrap_or_default();
        let named = text(|name| set_named(name, self.sets));
        let methods = reader.find(&key("methods"), Methods::parse);
        let paths = reader.find(&key("paths"), |setting| path_rules(setting, within));
        let stage = reader.find(&key("stage"), stage);
        let mode = reader.find(&key("auth"), word(MODES)).unwrap_or(self.auth);
        let credentials = reader.find(&key("credentials"), named).unwrap_or(0);
        // Set for the route itself, it is meant for all bodies that may be large.
        let large_body = reader.find(&key("large_body"), large_body(true));
        let large_body = large_body.unwrap_or(self.large_body);
        if let Some((file, message)) = missing_credential(mode, large_body, &self.sets[credentials])
        {
            let causes = ["credentials", "auth", "large_body"].map(key);
            let of_set = format!("credentials.{file}");
            let cause = causes.iter().find(|key| reader.is_set(key));
            let cause = if table.is_empty() {
                &of_set
            } else {
                cause.unwrap_or(&causes[1])
            };
            reader.report(cause, message);
        }
        let headers = reader.find(&key("headers"), header_list);
        let forward = optional(header_name);
        let forward = reader.find(&key("forward_authorization_as"), forward);
        let mut upstream = upstream?;
        upstream.connect_to = self.connect_to(reader, table, &upstream);
        Some(Route {
            prefix: prefix?,
            upstream,
            stage: stage.unwrap_or_else(|| self.stage.clone()),
            methods,
            paths,
            egress: None,
            auth: Auth { mode, credentials },
            large_body,
            headers: headers.unwrap_or_else(|| self.headers.clone()),
            forward_authorization_as: forward
                .unwrap_or_else(|| self.forward_authorization_as.clone()),
            response_timeout: reader.find(&key("timeouts.response"), duration),
            idle_timeout: reader.find(&key("timeouts.idle"), duration),
            keeps_origin: reader.find(&key("origin"), word(ORIGINS)).unwrap_or(false),
            signing: match table {
                "" => self.signing.clone(),
                table => RouteSigning::read(reader, table, &self.signing),
            },
        })
    }
}

impl RouteDefaults<'_> {
    /// The address that connections to an upstream go to, if it is another one.
    fn connect_to(
        &self,
        reader: &mut Reader,
        table: &str,
        upstream: &UpstreamUrl,
    ) -> Option<(String, u16)> {
        let parse = |text: &str| {
            let (host, port) = address::host_and_port(text)?;
            if upstream.scheme == Scheme::Http && !address::is_loopback(&host) {
                return Err(address::PLAIN);
            }
            check_own((&host, port), self.listen)?;
            Ok((host, port))
        };
        let key = format!("{table}upstream_address");
        reader.find(&key, optional(parse)).flatten()
    }
}

/// The key of a set of credentials that a route needs and that is not set, and what to do.
fn missing_credential(
    mode: AuthMode,
    large_body: LargeBody,
    set: &CredentialsConfig,
) -> Option<(&'static str, &'static str)> {
    const TOKEN: &str = "requests with a token need one\n\
        hint: set `token_file` of its credentials, or `iam_user_file`, `iam_password_file` and `iam_domain_file`";
    const APP_CODE: &str =
        "requests with an app code need one\nhint: set `app_code_file` of its credentials";
    const API_KEY: &str =
        "requests with an API key need one\nhint: set `api_key_file` of its credentials";
    match mode {
        AuthMode::AkSk if large_body == LargeBody::Reject => None,
        AuthMode::AkSk | AuthMode::Token if set.token.is_none() => Some(("token_file", TOKEN)),
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
    found.ok_or("there is no such set of credentials; expected the NAME of a `[credentials.NAME]`")
}

fn stage(setting: &Setting) -> Parsed<HeaderValue> {
    let stage = header_value(setting)?;
    Ok(stage.ok_or("expected the name of an environment, like \"RELEASE\"")?)
}

/// The URL of an upstream that is not the proxy itself.
fn elsewhere(text: &str, listen: &[Listen]) -> Result<UpstreamUrl, &'static str> {
    let url = address::upstream(text)?;
    check_own((&url.host, url.port), listen)?;
    Ok(url)
}

/// Refuses the proxy's own addresses.
fn check_own((host, port): (&str, u16), listen: &[Listen]) -> Result<(), &'static str> {
    const LOOP: &str = "this is the proxy's own address, so requests would loop\n\
        hint: give the address of the gateway, or listen on another port";
    let ip = host.parse::<IpAddr>().ok();
    let is_own = |own: SocketAddr| {
        let is_localhost = host == "localhost" && own.ip().is_loopback();
        own.port() == port && (Some(own.ip()) == ip || is_localhost)
    };
    let is_own = listen.iter().filter_map(Listen::address).any(is_own);
    if is_own { Err(LOOP) } else { Ok(()) }
}

/// The paths that clients may use, which belong to the route.
fn path_rules(setting: &Setting, prefix: &str) -> Parsed<Vec<PathRule>> {
    const EXPECTED: &str = "expected paths of this route as callers write them, like [\"/flowers/predict\", \"/flowers/models/*\"]";
    let rule = |text: &String| {
        let (path, rule): (_, fn(String) -> PathRule) = match text.strip_suffix('*') {
            Some(start) if start.ends_with('/') => (start, PathRule::Below),
            _ => (text.as_str(), PathRule::Exact),
        };
        let path = &*normalize_path(path);
        let has_query = Target::parse(path).ok()?.query().is_some();
        let rest = path.strip_prefix(prefix)?;
        let is_own = rest.is_empty() || rest.starts_with('/');
        (is_own && !has_query && !path.contains('*')).then(|| rule(path.to_owned()))
    };
    let rules: Option<Vec<PathRule>> = texts(setting)?.iter().map(rule).collect();
    Ok(rules.filter(|rules| !rules.is_empty()).ok_or(EXPECTED)?)
}

fn prefix(path: &str) -> Result<String, &'static str> {
    const EXPECTED: &str =
        "expected a path that starts with \"/\", like \"/flowers\", without query and dot segments";
    let path = normalize_path(path);
    match Target::parse(&path) {
        Ok(target) if target.query().is_none() => Ok(path.trim_end_matches('/').to_owned()),
        _ => Err(EXPECTED),
    }
}
