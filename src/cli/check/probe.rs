//! One signed request through a proxy that is started for it alone, so that what is checked is what
//! serves later: the same signature, the same retries, the same hints.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http::header::{CONNECTION, DATE, HOST};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::upstream::{Line, Verdict};
use crate::clock::{self, Moment};
use crate::config::{Access, ActivatedSockets, Config, Methods, Route};
use crate::credentials::Supply;
use crate::error::Error;
use crate::gateway;
use crate::server::Server;
use crate::upstream::Network;

/// The most that is read of an answer, in bytes.
const READ: usize = 512 * 1024;

/// A difference between the clocks that is worth a note, in seconds.
const NOTABLE: i64 = 5;

/// A difference that has signatures refused: 15 minutes, in seconds.
const REFUSED: i64 = 15 * 60;

/// What an answer tells.
#[derive(Debug)]
pub(super) struct Outcome {
    status: u16,
    code: Option<String>,
    message: Option<String>,
    hint: Option<String>,
    /// By how many seconds the gateway's clock is ahead, at least and at most.
    ahead: Option<(i64, i64)>,
    corrects: bool,
}

/// Sends a GET for `path`, or for the route's own path.
pub(super) async fn send(
    config: &Config,
    supplies: &[Supply],
    network: &Network,
    route: &Route,
    path: Option<&str>,
) -> Result<Outcome, Error> {
    // Nobody but this program calls, while another proxy with the same configuration may be running.
    let unlimited = |route: &Route| Route {
        methods: None,
        paths: None,
        ..route.clone()
    };
    let config = Config {
        listen: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()],
        tls: None,
        admin: None,
        access: Access::default(),
        methods: Methods::Any,
        routes: config.routes.iter().map(unlimited).collect(),
        ..config.clone()
    };
    let server = Server::bind(
        network.clone(),
        ActivatedSockets::default(),
        &config,
        supplies.to_vec(),
    )
    .map_err(|_| Error::Internal("a proxy for the check cannot be started"))?;
    let address = server.addresses()[0];
    let own = format!("{}/", route.prefix);
    let path = path.unwrap_or(&own);
    let exchange = timeout(config.timeouts.response, exchange(address, path));
    let (answered, serving) = tokio::select! {
        answered = exchange => (Some(answered), None),
        ended = server.serve(std::future::pending()) => (None, Some(ended)),
    };
    match (answered, serving) {
        (Some(Ok(Ok((answer, sent, received)))), _) => {
            Ok(Outcome::read(&answer, sent, received, config.clock.correct))
        }
        (Some(Ok(Err(_))), _) => Err(Error::Internal("the proxy for the check did not answer")),
        (Some(Err(_)), _) => Err(Error::ResponseTimeout),
        _ => Err(Error::Internal("a proxy for the check cannot be run")),
    }
}

/// The answer to a GET, as far as its body is read, and when it was asked for and came.
async fn exchange(
    address: SocketAddr,
    path: &str,
) -> Result<(Response<Bytes>, Moment, Moment), Box<dyn std::error::Error + Send + Sync>> {
    let request = Request::get(path)
        .header(HOST, "localhost")
        .header(CONNECTION, "close")
        .body(Empty::<Bytes>::new())?;
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let sent = Moment::now();
    let answered = async {
        let (parts, body) = sender.send_request(request).await?.into_parts();
        let received = Moment::now();
        let body = Limited::new(body, READ).collect().await?.to_bytes();
        Ok((Response::from_parts(parts, body), sent, received))
    };
    // The connection only moves while it is driven.
    let (answered, _) = tokio::join!(answered, connection);
    answered
}

impl Outcome {
    fn read(answer: &Response<Bytes>, sent: Moment, received: Moment, corrects: bool) -> Self {
        let value: Option<Value> = serde_json::from_slice(answer.body()).ok();
        let text = |key: &str| Some(value.as_ref()?.get(key)?.as_str()?.to_owned());
        let date = answer.headers().get(DATE);
        let told = date.and_then(|date| clock::parse_http_date(date.as_bytes()));
        let hint = answer.headers().get("x-apig-proxy-hint");
        Self {
            status: answer.status().as_u16(),
            code: text("error_code"),
            message: text("error_msg"),
            hint: hint.map(|hint| String::from_utf8_lossy(hint.as_bytes()).into_owned()),
            ahead: told.map(|told| gateway::ahead_between(told, sent, received)),
            corrects,
        }
    }

    pub(super) fn clock_line(&self) -> Line {
        let Some((least, most)) = self.ahead else {
            return Line::new("clock", Verdict::Note, "the answer does not tell the time");
        };
        if least <= NOTABLE && most >= -NOTABLE {
            return Line::new("clock", Verdict::Good, "agrees with the gateway's");
        }
        let ahead = (least + most) / 2;
        let (seconds, direction) = (ahead.abs(), if ahead > 0 { "behind" } else { "ahead of" });
        let (verdict, what) = match (seconds >= REFUSED, self.corrects) {
            (true, false) => (
                Verdict::Bad,
                "so signatures are refused: set the clock (NTP), or clock.correct = true",
            ),
            (true, true) => (
                Verdict::Note,
                "and the proxy corrects it: set the clock all the same (NTP)",
            ),
            (false, _) => (
                Verdict::Note,
                "which is within the 15 minutes that are allowed: set the clock (NTP)",
            ),
        };
        let text = format!("{seconds} s {direction} the gateway's, {what}");
        Line::new("clock", verdict, text)
    }

    pub(super) fn request_line(&self, is_named: bool) -> Line {
        let status = self.status;
        let code = self.code.as_deref().unwrap_or_default();
        let said = match (code, &self.hint, &self.message) {
            ("", Some(hint), _) => hint.clone(),
            (code, Some(hint), _) => format!("{code}: {hint}"),
            (code, None, Some(message)) if code.starts_with("PROXY.") => {
                format!("{code}: {message}")
            }
            _ => String::new(),
        };
        match status {
            // The default path is hardly ever an API of its own.
            404 if !is_named && code.ends_with(".0101") => Line::new(
                "request",
                Verdict::Note,
                "the gateway answers, but this path is no API, so the key was not judged: give the path of one with --path",
            ),
            400.. if !said.is_empty() => {
                let verdict = if status == 429 {
                    Verdict::Note
                } else {
                    Verdict::Bad
                };
                Line::new("request", verdict, format!("{status} {said}"))
            }
            500.. => Line::new(
                "request",
                Verdict::Bad,
                format!(
                    "{status}: the gateway took the signature, but the service behind it fails"
                ),
            ),
            _ => Line::new(
                "request",
                Verdict::Good,
                format!("{status}, the gateway took the signature"),
            ),
        }
    }
}
