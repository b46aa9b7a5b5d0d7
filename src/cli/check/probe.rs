//! One signed request through a proxy that is started for it alone, so that the check has the same
//! signature, retries and hints as the proxy that serves later.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, DATE, HOST};
use http::{Request, Response};
use http_body_util::Full;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::super::admin_client::exchange;
use super::{Status, Step};
use crate::clock::{self, Moment};
use crate::config::{Access, ActivatedSockets, Config, Methods, Route};
use crate::credentials::Source;
use crate::error::Error;
use crate::gateway;
use crate::server::Server;
use crate::upstream::Network;

/// A clock difference that is worth a note, in seconds.
const NOTABLE_SKEW: i64 = 5;

/// A clock difference for which signatures are refused, in seconds: 15 minutes.
const REFUSED_SKEW: i64 = 15 * 60;

/// The longest wait for the response. A proxy that serves waits for `timeouts.response`, which is too
/// long for a check.
const RESPONSE_LIMIT: Duration = Duration::from_secs(60);

/// Sends a GET for `path`, or for the route's own path: what the response says of the clock and of the
/// request.
pub(super) async fn send(
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
        let request = Request::get(path.unwrap_or(&own))
            .header(HOST, "localhost")
            .header(CONNECTION, "close")
            .body(Full::default())?;
        let sent = Moment::now();
        let response = exchange(TcpStream::connect(address).await?, request).await?;
        anyhow::Ok((response, sent, Moment::now()))
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
    let separator = if code.is_empty() { "" } else { ": " };
    let reason = hint.as_deref().or(message);
    let reason = reason.map(|reason| format!("{status} {code}{separator}{reason}"));
    let (result, text) = match (status, reason) {
        // The default path is hardly ever an API of its own.
        (404, _) if !is_api && code.ends_with(".0101") => (
            Status::Note,
            "the gateway answers, but this path is no API, so the key was not checked; hint: give the path of one with --path".to_owned(),
        ),
        (429, Some(reason)) => (Status::Note, reason),
        (400.., Some(reason)) => (Status::Failed, reason),
        (500.., None) => (
            Status::Failed,
            format!("{status}: the gateway accepted the signature, but the service behind it fails"),
        ),
        _ => (Status::Ok, format!("{status}, the gateway accepted the signature")),
    };
    Step::new("request", result, text)
}
