//! `apig-proxy demo`: runs the emulated gateway and the proxy in front of it, and sends requests through
//! both. Needs no account.

mod calls;

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};
use secrecy::ExposeSecret;
use tokio::time::{Instant, timeout};

use super::gateway::{Folder, check_loopback};
use super::load::load;
use super::signals::StopSignals;
use super::{Exit, Failure, Outcome, block_on, log_requests};
use crate::config::{self, ActivatedSockets, Config, Environment, Listen, Methods, Overrides};
use crate::credentials::{self, Source, requirements};
use crate::emulator::{Accounts, Clock, Emulator};
use crate::inspect::token::{Token, TokenFile, file_for};
use crate::server::{Server, SetupError, network};
use crate::upstream::Network;
use calls::{PATH, calls};

/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub(super) struct DemoArguments {
    /// Send the requests, report whether all went well, and exit.
    #[arg(long)]
    once: bool,
    /// How requests authenticate at the gateway.
    #[arg(long, value_enum, default_value_t = Auth::Aksk)]
    auth: Auth,
    /// Loopback address of the proxy [default: 127.0.0.1:8080, or any free port].
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
}

/// A way to authenticate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Auth {
    /// A signature with an access key.
    Aksk,
    /// A token that the emulated IAM issues.
    Token,
    /// The code of an app.
    AppCode,
    /// An API key of ModelArts.
    ApiKey,
}

impl Auth {
    /// Its name in the configuration, and in the gateway's responses.
    fn name(self) -> String {
        let value = self.to_possible_value().expect("no mode is hidden");
        value.get_name().to_owned()
    }

    /// What the gateway made of it.
    fn accepted(self) -> &'static str {
        match self {
            Self::Aksk => "signature verified",
            Self::Token => "token accepted",
            Self::AppCode => "app code accepted",
            Self::ApiKey => "API key accepted",
        }
    }
}

/// Runs the demo.
pub(super) fn run(arguments: &DemoArguments, environment: &Environment) -> Outcome {
    arguments.listen.map_or(Ok(()), check_loopback)?;
    let shown = block_on(Box::pin(serve(arguments, environment)))?;
    if shown.map_err(Failure::failed)? {
        return Ok(Exit::Ok);
    }
    Err(Failure::failed("the demo failed; see the lines above"))
}

/// Runs the gateway and the proxy as long as the demo lasts.
async fn serve(arguments: &DemoArguments, environment: &Environment) -> anyhow::Result<bool> {
    let accounts = Accounts::throw_away();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let emulator = Emulator::bind(any, accounts.clone(), Clock::machine())?;
    let gateway = emulator.address();
    let folder = match arguments.auth {
        Auth::Aksk => None,
        _ => Some(Folder::create(None, environment).context("a folder cannot be made")?),
    };
    let (mut config, mut sources) = setup(arguments, &emulator, &accounts, folder.as_ref())?;
    let network = network(&config)?;
    let demo = async {
        // Asks the gateway's IAM for a token.
        let started = credentials::start(&mut sources, &network, environment).await;
        started.map_err(|_| anyhow::anyhow!("the demo found no key"))?;
        let token = (!arguments.once).then(Token::random);
        if let Some(token) = &token {
            // The usual port is left to a proxy that is here to stay.
            config.admin = Some(any.into());
            config.inspect.enabled = true;
            config.inspect.token = Some(token.text().clone());
        }
        let server = bind(arguments, config, &sources, &network)?;
        let proxy = server.addresses()[0];
        let admin = server.admin_address().and_then(|admin| admin.address());
        let inspector = token
            .zip(admin)
            .map(|(token, admin)| Inspector::new(token, admin, environment));
        tokio::select! {
            shown = show(arguments, gateway, proxy, inspector.as_ref()) => shown,
            ended = server.serve(std::future::pending()) => {
                Err(anyhow::anyhow!("the proxy ended: {ended:?}"))
            }
        }
    };
    tokio::select! {
        shown = demo => shown,
        ended = emulator.serve(std::future::pending()) => {
            Err(anyhow::anyhow!("the gateway ended: {ended:?}"))
        }
    }
}

/// The configuration of the proxy and its credentials. The access key is passed in memory, so that
/// nothing is written; other secrets are read from files, as in a production setup.
fn setup(
    arguments: &DemoArguments,
    emulator: &Emulator,
    accounts: &Accounts,
    folder: Option<&Folder>,
) -> anyhow::Result<(Config, Vec<Source>)> {
    let (mut config, sources) = if let Some(folder) = folder {
        folder.write(emulator, accounts)?;
        let overrides = Overrides::new(Some(folder.path.join("apig-proxy.toml")));
        let overrides = overrides.text("auth.mode", "--auth", Some(&arguments.auth.name()));
        // The user's own variables do not apply.
        let (loaded, sources) = load(&overrides, &Environment::default())?;
        (loaded.config, sources)
    } else {
        let config = config::with_upstream(&format!("https://{}", emulator.address()))?;
        let key = accounts.keys.first().context("the demo has no key")?;
        let source = |requirement| Source::fixed(requirement, "default", key);
        let sources = requirements(&config).into_iter().map(source).collect();
        (config, sources)
    };
    config.upstream_tls.extra_roots = vec![emulator.root()];
    config.methods = Methods::Any;
    config.admin = None;
    Ok((config, sources))
}

/// Binds the given address, or else the default one, or else any.
fn bind(
    arguments: &DemoArguments,
    mut config: Config,
    sources: &[Source],
    network: &Network,
) -> Result<Server, SetupError> {
    let default = if arguments.once { 0 } else { 8080 };
    let loopback = |port| SocketAddr::from(([127, 0, 0, 1], port));
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
    arguments: &DemoArguments,
    gateway: SocketAddr,
    proxy: SocketAddr,
    inspector: Option<&Inspector>,
) -> anyhow::Result<bool> {
    let out = &mut std::io::stdout();
    writeln!(
        out,
        "gateway  https://{gateway}  (embedded)\nproxy    http://{proxy}\n"
    )?;
    let mut is_well = true;
    for call in calls() {
        let start = Instant::now();
        let response = timeout(REQUEST_TIMEOUT, call.send(proxy)).await;
        let checked = response.map_err(anyhow::Error::from).flatten();
        let checked = checked.and_then(|response| call.check(&response, arguments.auth));
        is_well &= checked.is_ok();
        let text = checked.unwrap_or_else(|error| format!("FAILED: {error}"));
        writeln!(
            out,
            "  {:<22} {text}, {} ms",
            call.title,
            start.elapsed().as_millis()
        )?;
    }
    if let Some(inspector) = inspector {
        write!(
            out,
            "{}{}",
            inspector.next_steps(),
            next_steps(gateway, proxy)
        )?;
        out.flush()?;
        log_requests().map_err(|failure| anyhow::anyhow!(failure.message))?;
        StopSignals::new()?.recv().await;
    }
    Ok(is_well)
}

/// Where the inspector of the proxy is read.
struct Inspector {
    token: Token,
    admin: SocketAddr,
    /// For `apig-proxy inspect`, until the end.
    _file: Option<TokenFile>,
}

impl Inspector {
    fn new(token: Token, admin: SocketAddr, environment: &Environment) -> Self {
        let path = file_for(&Listen::Tcp(admin), environment);
        Self {
            // Without it, the page still works.
            _file: TokenFile::write(&path, &token).ok(),
            token,
            admin,
        }
    }

    /// How to read it. The address has the token: it opens what the demo itself has sent.
    fn next_steps(&self) -> String {
        let page = self.token.page(self.admin);
        format!(
            "\nSee each request, what was changed and what was signed, in a browser or a terminal:\n  \
             {}\n  apig-proxy inspect --admin {}\n",
            page.expose_secret(),
            self.admin
        )
    }
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
         apig-proxy check upstream --credentials credentials.csv \\\n    \
         --upstream https://<id>.apig.<region>.huaweicloudapis.com\n\n\
         Stop with Ctrl-C.\n"
    )
}
