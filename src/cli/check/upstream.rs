//! `apig-proxy check upstream`: walks the way of a request, and says at each step how it went.

use std::fmt;
use std::io::{self, Write};
use std::net::SocketAddr;

use clap::Args;
use tokio::time::Instant;

use super::super::serve::{ServeArguments, start_supplies};
use super::super::{Exit, fail};
use super::probe::{self, Outcome};
use crate::cli::load::load;
use crate::clock;
use crate::config::{Config, Environment, Loaded, Route, Scheme};
use crate::credentials::Supply;
use crate::error::Error;
use crate::escape::Escaped;
use crate::server::network;
use crate::upstream::{Network, Probe, Secured};

/// From how many days before its end on a certificate is worth a note.
const SOON: i64 = 14;

const DAY: i64 = 24 * 60 * 60;

/// Arguments of `check upstream`.
#[derive(Clone, Debug, Args)]
pub(super) struct UpstreamArguments {
    /// Path of an API that takes GET, as callers of the proxy would name it; so that the key is judged
    /// [default: the path of each route].
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    #[command(flatten)]
    serve: ServeArguments,
}

/// How a step went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Good,
    /// It is good, or cannot be told, and there is something to know.
    Note,
    Bad,
}

/// One line of the report.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) step: &'static str,
    pub(super) verdict: Verdict,
    pub(super) text: String,
}

impl Line {
    pub(super) fn new(step: &'static str, verdict: Verdict, text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            step,
            verdict,
            text,
        }
    }

    fn failed(step: &'static str, error: &Error) -> Self {
        let cause = error.cause();
        let cause = if cause.is_empty() {
            cause
        } else {
            format!(" ({cause})")
        };
        Self::new(step, Verdict::Bad, format!("{error}{cause}"))
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Good => "ok",
            Verdict::Note => "note",
            Verdict::Bad => "FAILED",
        };
        // Errors quote what a peer said.
        let text = Escaped(&self.text);
        write!(f, "  {:<8} {verdict:<7} {text}", self.step)
    }
}

/// Checks all upstreams.
pub(super) fn run(arguments: &UpstreamArguments, environment: &Environment) -> Exit {
    let (Loaded { config, .. }, mut supplies) =
        match load(&arguments.serve.overrides(), environment) {
            Ok(loaded) => loaded,
            Err(problems) => return fail(Exit::Configuration, problems),
        };
    let network = match network(&config) {
        Ok(network) => network,
        Err(error) => return fail(Exit::Configuration, error),
    };
    if let Err(exit) = start_supplies(&mut supplies, &network, environment) {
        return exit;
    }
    let runtime = match tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(Exit::Failed, format_args!("cannot start: {error}")),
    };
    let checking = check(&config, &supplies, &network, arguments);
    let checked = runtime.block_on(checking);
    // A name lookup that hangs must not hold up the end.
    runtime.shutdown_background();
    match checked {
        Ok(true) => Exit::Ok,
        Ok(false) => Exit::Failed,
        Err(error) => fail(
            Exit::Failed,
            format_args!("the result cannot be written: {error}"),
        ),
    }
}

/// Checks the upstream of each route, and says whether all is well.
async fn check(
    config: &Config,
    supplies: &[Supply],
    network: &Network,
    arguments: &UpstreamArguments,
) -> io::Result<bool> {
    let mut is_well = true;
    for route in &config.routes {
        if let Some(path) = &arguments.path
            && !takes(config, route, path)
        {
            continue;
        }
        writeln!(io::stdout(), "{}/ to {}", route.prefix, url(route))?;
        let mut say = |line: Line| {
            is_well &= line.verdict != Verdict::Bad;
            writeln!(io::stdout(), "{line}")
        };
        if !check_way(network, route, config, &mut say).await? {
            continue;
        }
        let path = arguments.path.as_deref();
        let outcome = probe::send(config, supplies, network, route, path).await;
        for line in judged(outcome, path.is_some()) {
            say(line)?;
        }
    }
    Ok(is_well)
}

/// Whether a path is this route's, and not that of one with a longer prefix.
fn takes(config: &Config, route: &Route, path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    let is_below = |prefix: &str| {
        path.strip_prefix(prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let first = config.routes.iter().find(|route| is_below(&route.prefix));
    first.is_some_and(|first| first.prefix == route.prefix)
}

fn url(route: &Route) -> String {
    let scheme = match route.upstream.scheme {
        Scheme::Http => "http",
        Scheme::Https => "https",
    };
    let authority = route.upstream.authority.to_str().unwrap_or_default();
    format!("{scheme}://{authority}{}", route.upstream.base_path)
}

/// Name, connection and TLS. Whether the way is open.
async fn check_way(
    network: &Network,
    route: &Route,
    config: &Config,
    say: &mut impl FnMut(Line) -> io::Result<()>,
) -> io::Result<bool> {
    let probe = match Probe::new(network.clone(), route, config.timeouts.connect) {
        Ok(probe) => probe,
        Err(error) => {
            say(Line::new("dns", Verdict::Bad, error.to_string()))?;
            return Ok(false);
        }
    };
    let addresses = match probe.addresses().await {
        Ok(addresses) => addresses,
        Err(error) => {
            say(Line::failed("dns", &error))?;
            return Ok(false);
        }
    };
    say(dns_line(probe.host(), &addresses))?;
    let started = Instant::now();
    let tcp = match probe.connect(&addresses).await {
        Ok(tcp) => tcp,
        Err(error) => {
            let mut line = Line::failed("connect", &error);
            if route.egress.is_some() {
                line.text
                    .push_str("; the way leads through the proxy that HTTPS_PROXY names");
            }
            say(line)?;
            return Ok(false);
        }
    };
    let took = started.elapsed().as_millis();
    let through = if route.egress.is_some() {
        " through the proxy of the network"
    } else {
        ""
    };
    let text = format!("connected in {took} ms{through}");
    say(Line::new("connect", Verdict::Good, text))?;
    match probe.secure(tcp).await {
        Ok(secured) => say(tls_line(secured.as_ref()))?,
        Err(error) => {
            say(Line::failed("tls", &error))?;
            return Ok(false);
        }
    }
    Ok(true)
}

fn dns_line(host: &str, addresses: &[SocketAddr]) -> Line {
    let listed: Vec<String> = addresses.iter().map(|at| at.ip().to_string()).collect();
    let listed = listed.join(", ");
    let found = if listed == host {
        format!("{host} is an address")
    } else {
        format!("{host} has {listed}")
    };
    Line::new("dns", Verdict::Good, found)
}

fn tls_line(secured: Option<&Secured>) -> Line {
    let Some(Secured {
        version,
        valid_until,
    }) = secured
    else {
        return Line::new("tls", Verdict::Note, "plain HTTP, to this machine");
    };
    let days = valid_until.map(|until| (until - clock::unix_seconds()) / DAY);
    match days {
        Some(days) if days < SOON => Line::new(
            "tls",
            Verdict::Note,
            format!("{version}; the certificate ends in {days} days: its owner has to renew it"),
        ),
        Some(days) => Line::new(
            "tls",
            Verdict::Good,
            format!("{version}, trusted; the certificate is valid for {days} days"),
        ),
        None => Line::new("tls", Verdict::Good, format!("{version}, trusted")),
    }
}

/// What a signed request came to: the clock, and the request itself.
fn judged(outcome: Result<Outcome, Error>, is_named: bool) -> Vec<Line> {
    match outcome {
        Ok(outcome) => vec![outcome.clock_line(), outcome.request_line(is_named)],
        Err(error) => vec![Line::failed("request", &error)],
    }
}
