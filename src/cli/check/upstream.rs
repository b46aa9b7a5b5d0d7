//! `apig-proxy check upstream`: tests each step of the connection to the gateway, and reports each on
//! one line. The first step that fails is the last one.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::header::{DATE, SERVER};
use http::uri::PathAndQuery;
use http::{Request, Response};
use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::super::admin_client::exchange;
use super::super::load::load;
use super::super::serve::ServeArguments;
use super::super::startup_log::upstream_url;
use super::super::{Exit, Failure, Outcome, block_on, print};
use super::{Status, Step};
use crate::clock::{self, Moment};
use crate::config::{Access, ActivatedSockets, Callers, Config, Environment, Methods, Route};
use crate::credentials::{self, Source};
use crate::error::Error;
use crate::gateway;
use crate::server::{Server, network};
use crate::upstream::{Network, Probe};

/// A clock difference that is worth a note, in seconds.
const NOTABLE_SKEW: i64 = 5;

/// A clock difference for which signatures are refused, in seconds: 15 minutes.
const REFUSED_SKEW: i64 = 15 * 60;

/// The longest wait for the response. A proxy that serves waits for `timeouts.response`, which is too
/// long for a check.
const RESPONSE_LIMIT: Duration = Duration::from_secs(60);

#[derive(Clone, Debug, Args)]
pub(super) struct UpstreamArguments {
    /// Path of an API that takes GET, as callers of the proxy use it; the gateway checks the key only there
    /// [default: the path of each route, and of one cloud service].
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    #[command(flatten)]
    serve: ServeArguments,
}

/// Checks the upstream of each route, or of the one that serves the path.
pub(super) fn run(arguments: &UpstreamArguments, environment: &Environment) -> Outcome {
    let (loaded, mut sources) = load(&arguments.serve.overrides(), environment)?;
    let config = &loaded.config;
    let network = network(config).map_err(Failure::configuration)?;
    let path = arguments.path.as_deref();
    let routes = chosen(config, path)?;
    block_on(async {
        credentials::start(&mut sources, &network)
            .await
            .map_err(Failure::no_credentials)?;
        let mut exit = Exit::Ok;
        for route in routes {
            print(format_args!("{}/ to {}", route.prefix, upstream_url(route)))?;
            if !check_route(config, &sources, &network, route, path).await? {
                exit = Exit::Failed;
            }
        }
        Ok(exit)
    })?
}

/// The route that serves the path; without one all routes, and of cloud services, which may be thousands,
/// the first.
fn chosen<'c>(config: &'c Config, path: Option<&str>) -> Result<Vec<&'c Route>, Failure> {
    let routes = config.routes.iter();
    let (services, mut others): (Vec<_>, Vec<_>) =
        routes.partition(|route| route.service.is_some());
    others.extend(services.first());
    let Some(path) = path else {
        return Ok(others);
    };
    if !path.starts_with('/') || path.parse::<PathAndQuery>().is_err() {
        return Err(Failure::usage(
            "`--path` is not a path\nhint: begin it with `/`, percent-encode blanks, and write values in place of what is in `<>`",
        ));
    }
    let path = path.split('?').next().unwrap_or_default();
    let is_below = |route: &&Route| {
        let rest = path.strip_prefix(&*route.prefix);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let route = config.routes.iter().find(is_below);
    route.map(|route| vec![route]).ok_or_else(|| {
        let prefixes: Vec<&str> = others.iter().map(|route| &*route.prefix).collect();
        Failure::usage(format_args!(
            "no route serves the path of `--path`\nhint: begin it with the path of a route: {}",
            prefixes.join(", ")
        ))
    })
}

/// Prints all steps for one route; true if none failed.
async fn check_route(
    config: &Config,
    sources: &[Source],
    network: &Network,
    route: &Route,
    path: Option<&str>,
) -> Result<bool, Failure> {
    let mut of_route = sources.iter().filter(|source| source.auth == route.auth);
    let missing = of_route.find_map(|source| source.failure.as_ref());
    let steps = match (connect(network, route, config).await, missing) {
        (Err(step), _) => vec![step],
        (Ok(()), Some(reason)) => vec![Step::new(route.auth.mode.name(), Status::Failed, reason)],
        (Ok(()), None) => match send(config, sources, network, route, path).await {
            Ok(steps) => steps.into(),
            Err(error) => vec![Step::failed("request", &error)],
        },
    };
    for step in &steps {
        print(step)?;
    }
    Ok(steps.iter().all(|step| step.status != Status::Failed))
}

/// Prints the steps of connecting, up to the one that fails, which is returned.
async fn connect(network: &Network, route: &Route, config: &Config) -> Result<(), Step> {
    // The steps after these report if the output is closed.
    let done = |name, text| drop(print(Step::new(name, Status::Ok, text)));
    let probe = Probe::new(network.clone(), route, config.timeouts.connect);
    let addresses = probe.addresses().await;
    let addresses = addresses.map_err(|error| Step::failed("dns", &error))?;
    let ips = addresses.iter().map(|address| address.ip().to_string());
    let ips = ips.collect::<Vec<_>>().join(", ");
    let [what, through] = match &route.upstream.egress {
        Some(_) => ["the egress proxy ", " through the one of `HTTPS_PROXY`"],
        None => [""; 2],
    };
    done("dns", format!("{what}{} resolves to {ips}", probe.host()));
    let start = Instant::now();
    let tcp = probe.connect(&addresses).await;
    let tcp = tcp.map_err(|error| Step::failed("connect", &error))?;
    let took = start.elapsed().as_millis();
    done("connect", format!("connected in {took} ms{through}"));
    match probe.secure(tcp).await {
        Ok(Some(version)) => done("tls", format!("{version}, trusted")),
        Ok(None) => done("tls", "plain HTTP, to this machine".to_owned()),
        Err(error) => return Err(Step::failed("tls", &error)),
    }
    Ok(())
}

/// Sends one signed GET for `path`, or for the route's own path: what the response says of the clock and of
/// the request. It passes a proxy that is started for it alone, so that the check has the same signature,
/// retries and hints as the proxy that serves later.
async fn send(
    config: &Config,
    sources: &[Source],
    network: &Network,
    route: &Route,
    path: Option<&str>,
) -> Result<[Step; 2], Error> {
    let config = unrestricted(config);
    let sockets = ActivatedSockets::default();
    let server = Server::bind(network.clone(), sockets, &config, sources.to_vec())
        .map_err(|_| Error::Internal("a proxy for the check cannot be started"))?;
    let address = server.addresses()[0];
    let own = format!("{}/", route.prefix);
    let request = async {
        let (request, sent) = (Request::get(path.unwrap_or(&own)), Moment::now());
        let response = exchange(&address.into(), request, Bytes::new()).await?;
        io::Result::Ok((response, sent, Moment::now()))
    };
    let limit = config.timeouts.response.min(RESPONSE_LIMIT);
    let (response, sent, received) = tokio::select! {
        result = timeout(limit, request) => result
            .map_err(|_| Error::ResponseTimeout)?
            .map_err(|_| Error::Internal("the proxy for the check did not answer"))?,
        _ = server.serve(std::future::pending()) => {
            return Err(Error::Internal("a proxy for the check cannot be run"));
        }
    };
    let date = response.headers().get(DATE);
    let date = date.and_then(|date| clock::parse_http_date(date.as_bytes()));
    let ahead = date.map(|date| gateway::ahead_between(date, sent, received));
    let clock = clock_step(ahead, config.corrects_clock);
    Ok([clock, request_step(&response, path.is_some())])
}

/// The configuration without restrictions of callers, on a free port: only this program calls, and
/// another proxy with the same configuration may be running.
fn unrestricted(config: &Config) -> Config {
    let routes = config.routes.iter().map(|route| Route {
        methods: None,
        paths: None,
        ..route.clone()
    });
    Config {
        listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()],
        tls: None,
        admin: None,
        access: Access::default(),
        callers: Callers::default(),
        methods: Methods::Any,
        routes: routes.collect(),
        ..config.clone()
    }
}

/// Compares the clocks: `ahead` are the least and the most seconds by which that of the gateway is ahead.
fn clock_step(ahead: Option<(i64, i64)>, corrects_clock: bool) -> Step {
    let step = |status, text: &str| Step::new("clock", status, text);
    let Some((least, most)) = ahead else {
        return step(Status::Note, "the response has no date");
    };
    if least <= NOTABLE_SKEW && most >= -NOTABLE_SKEW {
        return step(Status::Ok, "agrees with the gateway's");
    }
    let ahead = (least + most) / 2;
    let (seconds, direction) = (ahead.abs(), if ahead > 0 { "behind" } else { "ahead of" });
    let (status, consequence, also) = if seconds < REFUSED_SKEW {
        (Status::Note, "and 15 minutes are allowed", "")
    } else if corrects_clock {
        (Status::Note, "and the proxy corrects it", "")
    } else {
        let also = ", or `clock.correct = true`";
        (Status::Failed, "so signatures are refused", also)
    };
    let text = format!(
        "{seconds} s {direction} the gateway's, {consequence}; hint: set the clock (NTP){also}"
    );
    step(status, &text)
}

/// Judges the response. The gateway checks the key only if the path is one of an API.
fn request_step(response: &Response<Bytes>, is_api: bool) -> Step {
    let status = response.status().as_u16();
    let body: Value = serde_json::from_slice(response.body()).unwrap_or_default();
    let code = body["error_code"].as_str().unwrap_or_default();
    let is_own = code.starts_with("PROXY.");
    let message = body["error_msg"].as_str().filter(|_| is_own);
    let hint = response.headers().get("x-apig-proxy-hint");
    let hint = hint.map(|hint| String::from_utf8_lossy(hint.as_bytes()));
    let server = response.headers().get(SERVER);
    let names_gateway = response.headers().contains_key("x-request-id")
        || server.is_some_and(|name| name == "api-gateway");
    let separator = if code.is_empty() { "" } else { ": " };
    let reason = hint.as_deref().or(message);
    let reason = reason.map(|reason| format!("{status} {code}{separator}{reason}"));
    let (result, text) = match (status, reason) {
        // The default path is hardly ever an API of its own.
        (404, _) if !is_api && code.ends_with(".0101") => (
            Status::Note,
            "the gateway answers, but this path is no API, so the key was not checked; hint: give the path of one with `--path`".to_owned(),
        ),
        (429, Some(reason)) => (Status::Note, reason),
        (400.., Some(reason)) => (Status::Failed, reason),
        (_, None) if !names_gateway => (
            if status < 500 { Status::Note } else { Status::Failed },
            format!("{status}, but nothing in the response shows that API Gateway sent it, so the key may not have been checked; hint: check the host of `upstream`"),
        ),
        (500.., None) => (
            Status::Failed,
            format!("{status}: the gateway accepted the signature, but the service behind it fails"),
        ),
        _ => (Status::Ok, format!("{status}, the gateway accepted the signature")),
    };
    Step::new("request", result, text)
}
