//! `apig-proxy demo`: the main job on this machine, without an account.

mod calls;

use std::fmt::Write as _;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::thread;

use clap::Args;

use super::gateway::{now, throw_away_key};
use super::signals::Signals;
use super::{Exit, fail};
use crate::config::{self, Config, Methods};
use crate::credentials::Credentials;
use crate::emulator::Emulator;
use crate::listener::{Server, SetupError};
use calls::calls;

/// Where the proxy listens unless told otherwise, or any free port if that one is taken.
const USUAL: &str = "127.0.0.1:8080";

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct DemoArguments {
    /// Send the requests, say whether all went well, and end.
    #[arg(long)]
    once: bool,
    /// Loopback address of the proxy [default: 127.0.0.1:8080, or any free port].
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
}

/// Runs the demo.
#[must_use]
pub fn run(arguments: &DemoArguments) -> Exit {
    if arguments
        .listen
        .is_some_and(|address| !address.ip().is_loopback())
    {
        return fail(
            Exit::Usage,
            "--listen: the demo is for this machine only; give a loopback address",
        );
    }
    match Demo::start(arguments) {
        Ok(demo) => demo.run(arguments.once),
        Err(error) => fail(Exit::Failed, error),
    }
}

/// A gateway and a proxy before it, on threads of their own, which end with the process.
#[derive(Debug)]
struct Demo {
    gateway: SocketAddr,
    proxy: SocketAddr,
}

impl Demo {
    fn start(arguments: &DemoArguments) -> anyhow::Result<Self> {
        let key = throw_away_key();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let emulator = Emulator::bind(any, std::slice::from_ref(&key), now())?;
        let gateway = emulator.address();
        let mut config = config::with_upstream(&format!("https://{gateway}"))?;
        config.upstream_tls.extra_roots = vec![emulator.root()];
        config.methods = Methods::Any;
        // Its port is for a proxy that is meant to stay.
        config.admin = None;
        let server = bind(&mut config, arguments, &key)?;
        let proxy = server.addresses()[0];
        spawn("gateway", || {
            runtime()?.block_on(emulator.serve(std::future::pending()))
        })?;
        spawn("proxy", || {
            let ended = runtime()?.block_on(server.serve(std::future::pending()));
            ended.map(drop).map_err(io::Error::other)
        })?;
        Ok(Self { gateway, proxy })
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
        for call in calls() {
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
        let Self { gateway, proxy } = self;
        writeln!(
            out,
            "gateway  https://{gateway}  embedded; verifies signatures as API Gateway does\n\
             proxy    http://{proxy}   signs with a key made for this run\n\n\
             Unsigned requests to the proxy, and what the gateway says of them:"
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
        text.push_str("\nThe last one goes past the proxy, unsigned. Stop with Ctrl-C.\n");
        text
    }
}

/// Binds the proxy: to the address that is asked for, or to the usual one, or to any.
fn bind(
    config: &mut Config,
    arguments: &DemoArguments,
    key: &Credentials,
) -> Result<Server, SetupError> {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let usual = USUAL.parse().unwrap_or(any);
    let usual = if arguments.once { any } else { usual };
    config.listen = vec![arguments.listen.unwrap_or(usual).into()];
    match Server::bind(config, key) {
        Err(SetupError::Bind(_)) if arguments.listen.is_none() => {
            config.listen = vec![any.into()];
            Server::bind(config, key)
        }
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
