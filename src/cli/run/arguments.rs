//! The arguments of `run`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;

use super::endpoints::configured_services;
use crate::cli::Failure;
use crate::cli::serve::ServeArguments;
use crate::config::{self, Environment, Overrides};

/// The option of `serve` that has another default here.
const ADMIN: &str =
    "Address of health and metrics, unix:/path, or \"off\" [default: any free port]";

/// Arguments of `run`.
#[derive(Clone, Debug, Args)]
#[command(mut_arg("listen", |listen| listen.hide(true)))]
#[command(mut_arg("admin", |admin| admin.help(ADMIN)))]
pub(in crate::cli) struct RunArguments {
    #[command(flatten)]
    pub(super) serve: ServeArguments,
    /// Service of Huawei Cloud that official SDKs reach through the proxy, like vpc.cn-north-4; may be given
    /// several times [env: APIG_PROXY_RUN__SERVICES].
    #[arg(long = "service", value_name = "SERVICE.REGION")]
    services: Vec<String>,
    /// Path of the API that OpenAI clients call, like /v1/infers/1234/v1 [env: APIG_PROXY_RUN__OPENAI].
    #[arg(long, value_name = "PATH")]
    openai: Option<String>,
    /// Variable for the program, like BASE={url}/flowers; {url}, {port}, {token}, {ak} and {sk} are
    /// expanded; may be given several times [env: APIG_PROXY_RUN__ENV].
    #[arg(long = "set", value_name = "NAME=TEMPLATE")]
    variables: Vec<String>,
    /// Variable that the program keeps although it may hold a secret; may be given several times.
    #[arg(long = "keep", value_name = "NAME")]
    pub(super) kept: Vec<String>,
    /// Serve requests that only read: GET, HEAD and OPTIONS, and those of `reads`.
    #[arg(long)]
    read_only: bool,
    /// Serve everybody who reaches the ports, without credentials.
    #[arg(long)]
    pub(super) bare: bool,
    /// Do not start if the program could read files with secrets.
    #[arg(long)]
    pub(super) strict: bool,
    /// File to append the log to, like /dev/stderr [default: warnings are printed on a terminal when the program has
    /// ended].
    #[arg(long, value_name = "FILE")]
    pub(super) log_file: Option<PathBuf>,
    /// Start no program: print the variables, and serve until a signal.
    #[arg(long, conflicts_with = "command")]
    pub(super) print_env: bool,
    /// The program and its arguments.
    #[arg(
        last = true,
        value_name = "COMMAND",
        required_unless_present = "print_env"
    )]
    pub(super) command: Vec<OsString>,
}

impl RunArguments {
    /// The options as overrides of the configuration, with the services that need a route.
    pub(super) fn overrides(&self, environment: &Environment) -> Result<Overrides, Failure> {
        if !self.serve.listen.is_empty() {
            return Err(Failure::usage(
                "`run` chooses free ports itself\nhint: leave `--listen` out; the program finds the URL in `APIG_PROXY_URL`",
            ));
        }
        let overrides = self.serve.overrides();
        let overrides = overrides
            .list("listen", "--listen", &["127.0.0.1:0".to_owned()])
            .list("run.services", "--service", &self.services)
            .text("run.openai", "--openai", self.openai.as_deref())
            .list("run.env", "--set", &self.variables)
            .text("read_only", "--read-only", self.read_only.then_some("true"));
        // Services with a port need a route, as those of `[cloud]` have one.
        let part = |name| config::load_part(&overrides, environment, name, |config| config);
        let mut services = part("run")?.run.services;
        if !services.is_empty() {
            services.extend(configured_services(&part("cloud")?));
        }
        Ok(overrides.list("cloud.services", "--service", &services))
    }
}
