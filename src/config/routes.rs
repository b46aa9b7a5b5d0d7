//! Routes: the `[[route]]` tables, and the top-level `upstream` as the route for everything else.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use http::HeaderValue;

use super::address::{self, Listen};
use super::credentials::CredentialsConfig;
use super::layers::Setting;
use super::limits::{Methods, large_body};
use super::owned_headers::{header_list, header_name};
use super::reader::Reader;
use super::value::{Parsed, boolean, duration, header_value, list, optional, text, texts, word};
use super::{
    Auth, AuthMode, LargeBody, PathPattern, ReadOnly, ReadRule, Route, RouteSigning, Scheme,
    UpstreamUrl, upstream_url,
};
use crate::signature::{Target, normalize_path};

pub(super) const MODES: [(&str, AuthMode); 4] = [
    ("aksk", AuthMode::AkSk),
    ("token", AuthMode::Token),
    ("app-code", AuthMode::AppCode),
    ("api-key", AuthMode::ApiKey),
];

const FORWARD: &str = "forward_authorization_as";

/// What happens to the origin of the proxy's own pages; `true` if it stays.
const ORIGINS: [(&str, bool); 2] = [("upstream", false), ("keep", true)];

/// All routes, longest prefix first, with those that lead to cloud services.
pub(super) fn routes(
    reader: &mut Reader,
    listen: &[Listen],
    sets: &[CredentialsConfig],
    services: Vec<Route>,
) -> Vec<Route> {
    const MISSING: &str = "there is no upstream, no `[[route]]` and no service in `[cloud]`\n\
        hint: give `--upstream https://<id>.apig.<region>.huaweicloudapis.com`, or `upstream` in a configuration file, \
        or try `apig-proxy demo`";
    let is_table = |number: &usize| reader.settings.contains_key(&format!("route.{number}"));
    let count = (0..).take_while(is_table).count();
    let tables = (0..count).map(|number| format!("route.{number}."));
    // Each with the key that a problem with its path is about.
    let mut routes: Vec<(String, Route)> = Vec::new();
    for table in [String::new()].into_iter().chain(tables) {
        let table_reader = RouteReader {
            reader,
            table: &table,
            listen,
            sets,
        };
        let route = table_reader.read();
        routes.extend(route.map(|route| (format!("{table}path"), route)));
    }
    let of_service = |service| ("cloud.services".to_owned(), service);
    routes.extend(services.into_iter().map(of_service));
    if routes.is_empty() && count == 0 && !reader.is_wrong("upstream") {
        reader.report("upstream", MISSING);
    }
    report_conflicts(reader, &routes);
    let mut routes: Vec<Route> = routes.into_iter().map(|(_, route)| route).collect();
    routes.sort_by_key(|route| Reverse(route.prefix.len()));
    routes
}

/// Reports routes with the same path, and headers that a route sets twice.
fn report_conflicts(reader: &mut Reader, routes: &[(String, Route)]) {
    const SAME: &str = "another route has the same path, after decoding and merging slashes\n\
        hint: keep one of them (the top-level `upstream` is the route for \"/\")";
    const TWICE: &str = "`headers` sets this header too\nhint: use another name in one of them";
    let mut prefixes = HashSet::new();
    for (key, route) in routes {
        if !prefixes.insert(route.normalized_prefix()) {
            reader.report(key, SAME);
        }
        let forwarded = route.forward_authorization_as.as_ref();
        let mut names = route.headers.iter().map(|(name, _)| name);
        if names.any(|name| Some(name) == forwarded) {
            let own = key.replace("path", FORWARD);
            reader.report(if reader.is_set(&own) { &own } else { FORWARD }, TWICE);
        }
    }
}

/// Reads the keys of one route.
struct RouteReader<'a> {
    reader: &'a mut Reader,
    /// The beginning of its keys; empty for the top-level route, which has no keys of its own.
    table: &'a str,
    listen: &'a [Listen],
    sets: &'a [CredentialsConfig],
}

impl RouteReader<'_> {
    /// The value of a key of the route itself.
    fn own<T>(&mut self, key: &str, parse: impl Fn(&Setting) -> Parsed<T>) -> Option<T> {
        let key = (!self.table.is_empty()).then(|| format!("{}{key}", self.table))?;
        self.reader.find(&key, parse)
    }

    /// The value of a key of the route, or else of the top-level key.
    fn inherited<T>(&mut self, key: &str, top: &str, parse: impl Fn(&Setting) -> Parsed<T>) -> T {
        let own = self.own(key, &parse);
        own.unwrap_or_else(|| self.reader.get(top, parse))
    }

    fn read(mut self) -> Option<Route> {
        let (prefix, mut upstream) = self.path_and_upstream();
        let within = prefix.as_deref().unwrap_or_default();
        let paths = self.own("paths", |setting| path_rules(setting, within));
        let signing = RouteSigning::read(self.reader, self.table, upstream.is_some());
        let (auth, large_body) = self.auth(upstream.is_some());
        if let Some(upstream) = &mut upstream {
            upstream.connect_to = self.connect_to(upstream);
        }
        Some(Route {
            stage: self.inherited("stage", "stage", stage),
            methods: self.own("methods", Methods::parse),
            paths,
            auth,
            large_body,
            headers: self.inherited("headers", "headers", header_list),
            forward_authorization_as: self.inherited(FORWARD, FORWARD, optional(header_name)),
            response_timeout: self.own("timeouts.response", duration),
            idle_timeout: self.own("timeouts.idle", duration),
            keeps_origin: self.own("origin", word(ORIGINS)).unwrap_or(false),
            signing,
            read_only: ReadOnly {
                enabled: self.own("read_only", boolean).unwrap_or(false),
                reads: self.own("reads", list(ReadRule::parse)).unwrap_or_default(),
            },
            service: None,
            // Last, so that all keys of a route without them are read.
            prefix: prefix?,
            upstream: upstream?,
        })
    }

    fn path_and_upstream(&mut self) -> (Option<String>, Option<UpstreamUrl>) {
        const STAR: &str = "`*` stands for itself in a prefix\n\
            hint: leave it out, since a prefix takes all paths below it";
        let listen = self.listen;
        let elsewhere = |text: &str| elsewhere(text, listen);
        if self.table.is_empty() {
            let upstream = self.reader.find("upstream", optional(elsewhere));
            return (Some(String::new()), upstream.flatten());
        }
        for required in ["path", "upstream"].map(|key| format!("{}{key}", self.table)) {
            if !self.reader.is_set(&required) {
                self.reader
                    .report(&required, "a `[[route]]` needs this key");
            }
        }
        let path = format!("{}path", self.table);
        let setting = self.reader.settings.get(&path);
        let given = setting.and_then(|setting| setting.value.as_str());
        if given.is_some_and(|path| path.contains('*')) {
            self.reader.warn(&path, STAR);
        }
        let prefix = self.own("path", text(prefix));
        (prefix, self.own("upstream", text(elsewhere)))
    }

    /// How requests authenticate. What that needs has to be there, unless there is no route at all.
    fn auth(&mut self, has_upstream: bool) -> (Auth, LargeBody) {
        let sets = self.sets;
        let mode = self.inherited("auth", "auth.mode", word(MODES));
        let credentials = self.own("credentials", text(|name| set_named(name, sets)));
        let credentials = credentials.unwrap_or(0);
        // Set for the route itself, it is meant for all bodies that may be large.
        let large_body_here = self.own("large_body", large_body(true));
        let default = self.reader.get("limits.large_body", large_body(false));
        let large_body = large_body_here.unwrap_or(default);
        let missing = missing_credential(mode, large_body, &sets[credentials]);
        let (table, reader) = (self.table, &mut *self.reader);
        match missing {
            Some((file, message)) if table.is_empty() && has_upstream => {
                reader.report(&format!("credentials.{file}"), message);
            }
            Some((_, message)) if !table.is_empty() => {
                let causes = ["credentials", "auth", "large_body"];
                let causes = causes.map(|key| format!("{table}{key}"));
                let cause = causes.iter().find(|key| reader.is_set(key));
                reader.report(cause.unwrap_or(&causes[1]), message);
            }
            _ => {}
        }
        (Auth { mode, credentials }, large_body)
    }

    /// The address that connections to an upstream go to, if it is another one.
    fn connect_to(&mut self, upstream: &UpstreamUrl) -> Option<(String, u16)> {
        let listen = self.listen;
        let parse = |text: &str| {
            let (host, port) = address::host_and_port(text)?;
            if upstream.scheme == Scheme::Http && !address::is_loopback(&host) {
                return Err(upstream_url::PLAIN);
            }
            check_own((&host, port), listen)?;
            Ok((host, port))
        };
        let key = format!("{}upstream_address", self.table);
        self.reader.find(&key, optional(parse)).flatten()
    }
}

/// The key of a set of credentials that a route needs and that is not set, and what to do.
fn missing_credential(
    mode: AuthMode,
    large_body: LargeBody,
    set: &CredentialsConfig,
) -> Option<(&'static str, &'static str)> {
    const TOKEN: &str = "requests are sent with a token, but none is configured\n\
        hint: set `token_file` of its credentials, or `iam_user_file`, `iam_password_file` and `iam_domain_file`";
    const APP_CODE: &str = "requests are sent with an app code, but none is configured\nhint: set `app_code_file` of its credentials";
    const API_KEY: &str = "requests are sent with an API key, but none is configured\nhint: set `api_key_file` of its credentials";
    match mode {
        AuthMode::AkSk if large_body == LargeBody::Reject => None,
        AuthMode::AkSk | AuthMode::Token if set.token.is_none() => Some(("token_file", TOKEN)),
        AuthMode::AppCode if set.app_code.is_none() => Some(("app_code_file", APP_CODE)),
        AuthMode::ApiKey if set.api_key.is_none() => Some(("api_key_file", API_KEY)),
        AuthMode::AkSk | AuthMode::Token | AuthMode::AppCode | AuthMode::ApiKey => None,
    }
}

fn set_named(name: &str, sets: &[CredentialsConfig]) -> Result<usize, &'static str> {
    let mut sets = sets.iter();
    let found = sets.position(|set| set.name.as_deref() == Some(name));
    found
        .ok_or("there are no credentials of this name; expected the NAME of a `[credentials.NAME]`")
}

fn stage(setting: &Setting) -> Parsed<HeaderValue> {
    let stage = header_value(setting)?;
    Ok(stage.ok_or("expected the name of an environment, like \"RELEASE\"")?)
}

/// The URL of an upstream that is not the proxy itself.
pub(super) fn elsewhere(text: &str, listen: &[Listen]) -> Result<UpstreamUrl, &'static str> {
    let url = upstream_url::upstream(text)?;
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
        let is_any = own.ip().is_unspecified() && address::is_loopback(host);
        own.port() == port && (Some(own.ip()) == ip || is_localhost || is_any)
    };
    let is_own = listen.iter().filter_map(Listen::address).any(is_own);
    if is_own { Err(LOOP) } else { Ok(()) }
}

/// The paths that clients may use, which belong to the route.
fn path_rules(setting: &Setting, prefix: &str) -> Parsed<Vec<PathPattern>> {
    const EXPECTED: &str = "expected paths of this route as callers write them, like [\"/flowers/predict\", \"/flowers/models/*\"]";
    let rule = |text: &String| {
        let rest = |pattern: &PathPattern| Some(pattern.as_str().strip_prefix(prefix)?.to_owned());
        let is_own = |rest: String| rest.is_empty() || rest.starts_with('/');
        PathPattern::new(text).filter(|pattern| rest(pattern).is_some_and(is_own))
    };
    let rules: Option<Vec<PathPattern>> = texts(setting)?.iter().map(rule).collect();
    Ok(rules.filter(|rules| !rules.is_empty()).ok_or(EXPECTED)?)
}

/// The prefix of a route, without a slash at its end.
pub(crate) fn prefix(path: &str) -> Result<String, &'static str> {
    const EXPECTED: &str =
        "expected a path that starts with \"/\", like \"/flowers\", without query and dot segments";
    let path = normalize_path(path);
    match Target::parse(&path) {
        Ok(target) if target.query().is_none() => Ok(path.trim_end_matches('/').to_owned()),
        _ => Err(EXPECTED),
    }
}
