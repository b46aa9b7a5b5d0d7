//! `apig-proxy demo`: runs the emulated gateway and the proxy in front of it, and sends requests through
//! both. Needs no account, and writes no key to a file.

use std::io::{Stdout, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use http::Request;
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::admin_client::exchange;
use super::gateway::loopback_address;
use super::{Exit, Failure, Outcome, StopSignals, block_on, log_requests};
use crate::config::{self, ActivatedSockets, Config, Environment, Listen, Methods};
use crate::credentials::{Source, requirements};
use crate::emulator::{Accounts, Emulator};
use crate::inspect::token::{Token, TokenFile, file_for};
use crate::server::{Server, SetupError, network};
use crate::signature::PayloadHash;
use crate::upstream::Network;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

const MIB: usize = 1024 * 1024;

/// The path of the demo API, as ModelArts has it.
const PATH: &str = "/v1/infers/demo";

/// A query with everything that decoders disagree on: as it is sent, and as the gateway receives it.
const QUERY: [&str; 2] = [
    "q=x+y;z&a[]=2&a[]=1&empty=&bare&name=caf%C3%A9&~=%2F",
    "q=x%20y%3Bz&a[]=2&a[]=1&empty=&bare&name=caf%C3%A9&~=%2F",
];

#[derive(Debug, Args)]
pub(super) struct DemoArguments {
    /// Send the requests, report whether all went well, and exit.
    #[arg(long)]
    once: bool,
    /// Loopback address of the proxy [default: 127.0.0.1:8080, or any free port].
    #[arg(long, value_name = "ADDR", value_parser = loopback_address)]
    listen: Option<SocketAddr>,
}

pub(super) fn run(arguments: &DemoArguments, environment: &Environment) -> Outcome {
    let shown = block_on(Box::pin(serve(arguments, environment)))?;
    if shown.map_err(Failure::failed)? {
        return Ok(Exit::Ok);
    }
    Err(Failure::failed("the demo failed; see the lines above"))
}

/// Runs the gateway and the proxy as long as the demo lasts.
async fn serve(arguments: &DemoArguments, environment: &Environment) -> anyhow::Result<bool> {
    let accounts = Accounts::throw_away();
    let key = accounts.keys.first().context("the demo has no key")?;
    let emulator = Emulator::bind(loopback(0), accounts.clone())?;
    let gateway = emulator.address;
    let token = (!arguments.once).then(Token::random);
    let config = config(&emulator, token.as_ref())?;
    let source = |requirement| Source::fixed(requirement, "default", key);
    let sources: Vec<_> = requirements(&config).into_iter().map(source).collect();
    let network = network(&config)?;
    let server = bind(arguments, config, &sources, &network)?;
    let proxy = server.addresses()[0];
    let admin = server.admin_address().and_then(|admin| admin.address());
    let inspector = token.zip(admin).map(|(token, admin)| {
        // For `apig-proxy inspect`, until the end. Without it, the page still works.
        let file = TokenFile::write(&file_for(&Listen::Tcp(admin), environment), &token);
        (inspector_text(&token, admin), file)
    });
    let inspector = inspector.as_ref().map(|(text, _file)| text.as_str());
    tokio::select! {
        shown = show(gateway, proxy, inspector) => shown,
        ended = server.serve(std::future::pending()) => Err(anyhow::anyhow!("the proxy ended: {ended:?}")),
        ended = emulator.serve(std::future::pending()) => Err(anyhow::anyhow!("the gateway ended: {ended:?}")),
    }
}

fn loopback(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// The configuration of the proxy, which has an inspector if there is a token.
fn config(emulator: &Emulator, token: Option<&Token>) -> anyhow::Result<Config> {
    let mut config = config::with_upstream(&format!("https://{}", emulator.address))?;
    config.upstream_tls.extra_roots = vec![emulator.authority.root()];
    config.methods = Methods::Any;
    // The usual port is left to a proxy that is here to stay.
    config.admin = token.map(|_| loopback(0).into());
    config.inspect.enabled = token.is_some();
    config.inspect.token = token.map(|token| token.text.clone());
    Ok(config)
}

/// Binds the given address, or else the default one, or else any.
fn bind(
    arguments: &DemoArguments,
    mut config: Config,
    sources: &[Source],
    network: &Network,
) -> Result<Server, SetupError> {
    let default = if arguments.once { 0 } else { 8080 };
    let mut bind = |address: SocketAddr| {
        config.listen = vec![address.into()];
        let sockets = ActivatedSockets::default();
        Server::bind(network.clone(), sockets, &config, sources.to_vec())
    };
    match bind(arguments.listen.unwrap_or_else(|| loopback(default))) {
        Err(SetupError::Bind(_)) if arguments.listen.is_none() => bind(loopback(0)),
        bound => bound,
    }
}

/// Sends the requests, and reports whether all went well.
async fn show(
    gateway: SocketAddr,
    proxy: SocketAddr,
    inspector: Option<&str>,
) -> anyhow::Result<bool> {
    let out = &mut std::io::stdout();
    writeln!(
        out,
        "gateway  https://{gateway}  (embedded)\nproxy    http://{proxy}\n"
    )?;
    let is_well = send_all(proxy, out).await?;
    if let Some(inspector) = inspector {
        write!(out, "{inspector}{}", next_steps(gateway, proxy))?;
        out.flush()?;
        log_requests().map_err(|failure| anyhow::anyhow!(failure.message))?;
        StopSignals::new()?.recv().await;
    }
    Ok(is_well)
}

/// Sends each request, and prints what became of it; true if all went well.
async fn send_all(proxy: SocketAddr, out: &mut Stdout) -> anyhow::Result<bool> {
    let zeros = vec![0; 11 * MIB];
    let file = [b"--demo\r\n\r\n", &*zeros, b"\r\n--demo--\r\n"].concat();
    let form = "multipart/form-data; boundary=demo";
    let json = "application/json";
    let mut is_well = true;
    for (title, content_type, body) in [
        ("POST, JSON", json, b"{\"a\": 1}".to_vec()),
        ("POST, file of 11 MiB", form, file),
        ("GET, difficult query", json, Vec::new()),
        ("POST, JSON of 13 MiB", json, vec![b' '; 13 * MIB]),
    ] {
        let start = Instant::now();
        let called = timeout(REQUEST_TIMEOUT, call(proxy, content_type, body.into())).await;
        let called = called.map_err(anyhow::Error::from).flatten();
        is_well &= called.is_ok();
        let text = called.unwrap_or_else(|error| format!("FAILED: {error}"));
        let took = start.elapsed().as_millis();
        writeln!(out, "  {title:<22} {text}, {took} ms")?;
    }
    Ok(is_well)
}

/// Where the inspector is. The address has the token: it opens what the demo itself has sent.
fn inspector_text(token: &Token, admin: SocketAddr) -> String {
    let page = token.page(admin);
    format!(
        "\nSee each request, what was changed and what was signed, in a browser or a terminal:\n  \
         {}\n  apig-proxy inspect --admin {admin}\n",
        page.expose_secret()
    )
}

/// Sends a request to the proxy: what the response says, if it is the expected one.
async fn call(proxy: SocketAddr, content_type: &str, body: Bytes) -> anyhow::Result<String> {
    let length = body.len();
    let (method, [sent, received]) = if body.is_empty() {
        ("GET", QUERY)
    } else {
        ("POST", ["", ""])
    };
    let request = Request::builder()
        .method(method)
        .uri(format!("{PATH}?{sent}"))
        .header("content-type", content_type);
    let response = exchange(&Listen::Tcp(proxy), request, body.clone()).await?;
    let status = response.status().as_u16();
    let answer: Value = serde_json::from_slice(response.body())?;
    // Bodies that are signed are limited as the gateway limits them.
    let is_signed = content_type == "application/json";
    if is_signed && length > 12 * MIB {
        let is_expected = status == 413 && answer["error_code"] == "PROXY.body_too_large";
        anyhow::ensure!(is_expected, "{status} {answer}");
        return Ok("413 PROXY.body_too_large, as the gateway would refuse it".to_owned());
    }
    let is_expected = status == 200
        && answer["verified"] == true
        && answer["path"] == PATH
        && answer["query"] == received
        && answer["body_signed"] == is_signed
        && answer["body_sha256"] == PayloadHash::new(&body).as_str();
    anyhow::ensure!(is_expected, "{status} {answer}");
    let body = if is_signed { "signed" } else { "unsigned" };
    Ok(format!("200 signature verified, {length} bytes {body}"))
}

/// Commands to try, each of which works as it is, and how to go on.
fn next_steps(gateway: SocketAddr, proxy: SocketAddr) -> String {
    let url = format!("http://{proxy}{PATH}");
    format!(
        "\nTry it from another terminal; the last line bypasses the proxy and is refused:\n  \
         curl -sS {url} -H 'content-type: application/json' -d '{{\"a\": 1}}'\n  \
         head -c 11534336 /dev/zero | curl -sS {url} -F 'file=@-;filename=zeros.bin'\n  \
         curl -sS -k https://{gateway}{PATH} -H 'x-stage: RELEASE'\n\n\
         Next, with your own gateway and the credentials.csv of the console:\n  \
         apig-proxy check upstream --credentials credentials.csv --path /<path of an API> \\\n    \
         --upstream https://<id>.apig.<region>.huaweicloudapis.com\n\n\
         Stop with Ctrl-C.\n"
    )
}
