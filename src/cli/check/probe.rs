//! One signed request through a proxy that is started for it alone, so that what is checked is what
//! serves later: the same signature, the same retries, the same hints.

use std::net::{Ipv4Addr, SocketAddr};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::upstream::{Line, Verdict};
use crate::clock::{self, Moment};
use crate::config::{Access, Config, Methods, Route};
use crate::credentials::Supply;
use crate::error::Error;
use crate::http1::{ResponseHead, Scanner};
use crate::listener::Server;
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
    let server = Server::bind_with(network.clone(), &config, supplies.to_vec())
        .map_err(|_| Error::Internal("a proxy for the check cannot be started"))?;
    let address = server.addresses()[0];
    let own = format!("{}/", route.prefix);
    let request = format!(
        "GET {} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        path.unwrap_or(&own)
    );
    let exchange = timeout(config.timeouts.response, exchange(address, &request));
    let (answered, serving) = tokio::select! {
        answered = exchange => (Some(answered), None),
        ended = server.serve(std::future::pending()) => (None, Some(ended)),
    };
    match (answered, serving) {
        (Some(Ok(Ok((answer, sent, received)))), _) => {
            Outcome::read(&answer, sent, received, config.clock.correct)
                .ok_or(Error::Internal("the proxy for the check did not answer"))
        }
        (Some(Err(_)), _) => Err(Error::ResponseTimeout),
        _ => Err(Error::Internal("a proxy for the check cannot be run")),
    }
}

async fn exchange(
    address: SocketAddr,
    request: &str,
) -> std::io::Result<(Vec<u8>, Moment, Moment)> {
    let mut stream = TcpStream::connect(address).await?;
    let sent = Moment::now();
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    let mut received = None;
    while answer.len() < READ && stream.read_buf(&mut answer).await? > 0 {
        received.get_or_insert_with(Moment::now);
    }
    Ok((answer, sent, received.unwrap_or_else(Moment::now)))
}

impl Outcome {
    fn read(answer: &[u8], sent: Moment, received: Moment, corrects: bool) -> Option<Self> {
        let span = Scanner::default().find(answer, READ).ok()??;
        let head = bytes::Bytes::copy_from_slice(&answer[span.start..span.end]);
        let head = ResponseHead::parse(&head).ok()?;
        let body = &answer[span.end..];
        // In chunks or not, an error of the gateway's is one object.
        let start = body.iter().position(|byte| *byte == b'{').unwrap_or(0);
        let mut values = serde_json::Deserializer::from_slice(&body[start..]).into_iter::<Value>();
        let value = values.next().and_then(Result::ok);
        let text = |key: &str| Some(value.as_ref()?.get(key)?.as_str()?.to_owned());
        let told = head.fields.first("date").and_then(clock::parse_http_date);
        let hint = head.fields.first("x-apig-proxy-hint");
        Some(Self {
            status: head.status,
            code: text("error_code"),
            message: text("error_msg"),
            hint: hint.map(|hint| String::from_utf8_lossy(hint).into_owned()),
            ahead: told.map(|told| clock::ahead_between(told, sent, received)),
            corrects,
        })
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
