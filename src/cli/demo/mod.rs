//! `apig-proxy demo`: the main job on this machine, without an account.

mod auth;
mod calls;
mod setting;

use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::thread;

use clap::Args;

use super::gateway::Folder;
use super::signals::Signals;
use super::{Exit, fail};
use crate::config::{ActivatedSockets, Environment};
use crate::credentials;
use crate::emulator::{Accounts, Clock, Emulator};
use crate::server::{Server, SetupError, network};
use auth::Auth;
use calls::calls;
use setting::Setting;

/// Where the proxy listens unless told otherwise, or any free port if that one is taken.
const USUAL: &str = "127.0.0.1:8080";

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct DemoArguments {
    /// Send the requests, say whether all went well, and end.
    #[arg(long)]
    once: bool,
    /// What requests show the gateway.
    #[arg(long, value_enum, default_value_t = Auth::Aksk)]
    auth: Auth,
    /// Loopback address of the proxy [default: 127.0.0.1:8080, or any free port].
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
}

/// Runs the demo.
#[must_use]
pub fn run(arguments: &DemoArguments, environment: &Environment) -> Exit {
    if arguments
        .listen
        .is_some_and(|address| !address.ip().is_loopback())
    {
        return fail(
            Exit::Usage,
            "--listen: the demo is for this machine only; give a loopback address",
        );
    }
    match Demo::start(arguments, environment) {
        Ok(demo) => demo.run(arguments.once),
        Err(error) => fail(Exit::Failed, error),
    }
}

/// A gateway and a proxy before it, on threads of their own, which end with the process.
#[derive(Debug)]
struct Demo {
    auth: Auth,
    gateway: SocketAddr,
    proxy: SocketAddr,
    /// Held for its drop, which removes it.
    _folder: Option<Folder>,
}

impl Demo {
    fn start(arguments: &DemoArguments, environment: &Environment) -> anyhow::Result<Self> {
        let auth = arguments.auth;
        let accounts = Accounts::throw_away();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let emulator = Emulator::bind(any, accounts.clone(), Clock::machine())?;
        let gateway = emulator.address();
        let mut setting = Setting::new(auth, &emulator, &accounts, environment)?;
        spawn("gateway", || {
            runtime()?.block_on(emulator.serve(std::future::pending()))
        })?;
        let network = network(&setting.config)?;
        // Where a token is issued by IAM, which has to be there before.
        let started = credentials::start(&mut setting.supplies, &network, environment);
        runtime()?
            .block_on(started)
            .map_err(|_| anyhow::anyhow!("the demo found no key"))?;
        let server = bind(&mut setting, arguments)?;
        let proxy = server.addresses()[0];
        spawn("proxy", || {
            let ended = runtime()?.block_on(server.serve(std::future::pending()));
            ended.map(drop).map_err(io::Error::other)
        })?;
        Ok(Self {
            auth,
            gateway,
            proxy,
            _folder: setting.folder,
        })
    }

    fn run(&self, once: bool) -> Exit {
        match self.show(once, &mut io::stdout()) {
            Ok(true) => Exit::Ok,
            Ok(false) => fail(
                Exit::Failed,
                "the demo did not go as it should; see the lines above",
            ),
            Err(error) => fail(Exit::Failed, error),
        }
    }

    /// Sends the requests, and says whether all went well.
    fn show(&self, once: bool, out: &mut impl Write) -> anyhow::Result<bool> {
        let runtime = runtime()?;
        self.introduce(out)?;
        let mut all_well = true;
        for call in calls(self.auth) {
            let report = runtime.block_on(call.run(self.proxy));
            all_well &= report.is_well;
            writeln!(out, "  {:<38} {}", call.title, report.text)?;
        }
        if !once {
            write!(out, "{}", self.suggestions())?;
            out.flush()?;
            runtime.block_on(async {
                Signals::new()?.next().await;
                anyhow::Ok(())
            })?;
        }
        Ok(all_well)
    }

    fn introduce(&self, out: &mut impl Write) -> io::Result<()> {
        let Self {
            auth,
            gateway,
            proxy,
            ..
        } = self;
        let (verifies, signs) = (auth.gateway(), auth.proxy());
        writeln!(
            out,
            "gateway  https://{gateway}  embedded; {verifies} as API Gateway does\n\
             proxy    http://{proxy}   {signs}\n\n\
             Plain requests to the proxy, and what the gateway says of them:"
        )
    }

    /// Command lines to try, each of which works as it is.
    fn suggestions(&self) -> String {
        let mut text = "\nTry it from another terminal:\n".to_owned();
        let url = format!("http://{}/v1/infers/demo", self.proxy);
        let lines = [
            format!("curl -sS {url} -H 'content-type: application/json' -d '{{\"a\": 1}}'"),
            format!("head -c 11534336 /dev/zero | curl -sS {url} -F 'file=@-;filename=zeros.bin'"),
            format!("curl -sS -g '{url}/a%2Fb?q=x+y;z&a[]=1&a[]=2&name=caf%C3%A9'"),
            format!(
                "head -c 13631488 /dev/zero | curl -sS {url} -H 'content-type: application/json' --data-binary @-"
            ),
            format!(
                "curl -sS -k https://{}/v1/infers/demo -H 'x-stage: RELEASE'",
                self.gateway
            ),
        ];
        for line in lines {
            writeln!(text, "  {line}").expect("writing to a string cannot fail");
        }
        let lack = self.auth.lack();
        writeln!(
            text,
            "\nThe last one goes past the proxy, {lack}. Stop with Ctrl-C."
        )
        .expect("writing to a string cannot fail");
        text
    }
}

/// Binds the proxy: to the address that is asked for, or to the usual one, or to any.
fn bind(setting: &mut Setting, arguments: &DemoArguments) -> Result<Server, SetupError> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let usual = USUAL.parse().unwrap_or(any);
    let usual = if arguments.once { any } else { usual };
    let bind = |setting: &mut Setting, address: SocketAddr| {
        setting.config.listen = vec![address.into()];
        let network = network(&setting.config)?;
        let passed = ActivatedSockets::default();
        Server::bind(network, passed, &setting.config, setting.supplies.clone())
    };
    match bind(setting, arguments.listen.unwrap_or(usual)) {
        Err(SetupError::Bind(_)) if arguments.listen.is_none() => bind(setting, any),
        bound => bound,
    }
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
}

fn spawn(name: &str, work: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    let reported = move || {
        if let Err(error) = work() {
            fail(Exit::Failed, error);
        }
    };
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(reported)
        .map(drop)
}
