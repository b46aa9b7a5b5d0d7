//! `apig-proxy inspect`: what the inspector of a running proxy keeps, in the terminal.
//!
//! The same API as that of the page, and nothing of the proxy's memory: it works wherever the admin
//! listener can be reached, over SSH as well.

mod client;
mod detail;
mod live;
mod replay;
mod row;
mod style;
mod waterfall;

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use http_body_util::BodyExt;

use super::admin_client::AdminArguments;
use super::{Exit, Failure, Outcome, block_on};
use crate::config::Environment;
use client::{Client, Token, query};
use style::Style;

/// Requests that a list shows before it follows new ones.
const FIRST_ROWS: usize = 20;

/// The most requests that one response of the API lists.
const MAX_ROWS: usize = 10_000;

/// Arguments of `inspect`.
#[derive(Clone, Debug, Args)]
pub(super) struct InspectArguments {
    /// Show this request: why it was refused, what was changed, what was signed, and where the time went. The
    /// beginning of its id is enough [default: list requests as they end].
    #[arg(value_name = "ID", group = "action")]
    id: Option<String>,
    /// List these requests only, such as 'status:4xx route:/flowers'. Keys are status, method, route, path, code,
    /// is and id; -key:value excludes.
    #[arg(
        long,
        value_name = "FILTER",
        default_value = "",
        hide_default_value = true
    )]
    filter: String,
    /// Print JSON: one object a line for each request.
    #[arg(long)]
    json: bool,
    /// List the requests that are kept, and exit.
    #[arg(long, group = "action")]
    once: bool,
    /// Write the requests that are kept to this file as an HTTP archive (HAR); "-" is standard output.
    #[arg(long, value_name = "FILE", group = "action")]
    har: Option<PathBuf>,
    /// Send the request with this id again.
    #[arg(long, value_name = "ID", group = "action")]
    replay: Option<String>,
    /// Send it again without asking, also if its method may change something.
    #[arg(long, requires = "replay")]
    yes: bool,
    /// Forget all requests that are kept.
    #[arg(long, group = "action")]
    clear: bool,
    /// File with the inspector's token [default: `inspect.token_file` of the configuration, or the file that the
    /// proxy writes when it starts].
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    #[command(flatten)]
    admin: AdminArguments,
}

/// Shows what the inspector keeps.
pub(super) fn run(arguments: &InspectArguments, environment: &Environment) -> Outcome {
    let address = arguments.admin.address(environment)?;
    let token = Token::find(
        arguments.token_file.as_deref(),
        &arguments.admin,
        &address,
        environment,
    )?;
    let client = Client::new(address, token);
    match block_on(Box::pin(act(
        arguments,
        &client,
        Style::of_output(environment),
    )))? {
        // Whoever reads has seen enough, such as `head`.
        Err(Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Ok),
        Err(error) => Err(Failure::failed(error)),
        Ok(()) => Ok(Exit::Ok),
    }
}

/// Why the command failed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Api(#[from] client::ApiError),
    #[error("the result cannot be written: {0}")]
    Output(#[from] io::Error),
    #[error("{0}")]
    Request(String),
}

async fn act(arguments: &InspectArguments, client: &Client, style: Style) -> Result<(), Error> {
    let mut list = live::List::new(arguments.json, style);
    if let Some(prefix) = &arguments.id {
        let id = find(client, prefix).await?;
        let detail = client.get(&format!("requests/{id}")).await?;
        return put(&if arguments.json {
            style::json(&detail)
        } else {
            detail::text_of(&detail, style)
        });
    }
    if let Some(file) = &arguments.har {
        return write_har(client, &arguments.filter, file).await;
    }
    if let Some(prefix) = &arguments.replay {
        let id = find(client, prefix).await?;
        let new = replay::send_again(client, &id, arguments.yes).await?;
        return list.when_done(client, &new).await;
    }
    if arguments.clear {
        return Ok(client.post("clear", "").await.map(drop)?);
    }
    if arguments.once {
        list.update(client, &arguments.filter, MAX_ROWS).await?;
        return Ok(());
    }
    list.follow(client, &arguments.filter).await
}

/// The id that begins with these digits.
async fn find(client: &Client, prefix: &str) -> Result<String, Error> {
    let is_id = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_id {
        return Err(Error::Request(
            "an id has hexadecimal digits only\nhint: take it from the list, `apig-proxy inspect --once`".to_owned(),
        ));
    }
    let prefix = prefix.to_ascii_lowercase();
    let target = format!("requests?filter={}&limit=2", query(&format!("id:{prefix}")));
    let found = client.get(&target).await?;
    let found = found["requests"].as_array().map_or(&[][..], Vec::as_slice);
    match found {
        [one] => Ok(one["id"].as_str().unwrap_or_default().to_owned()),
        [] => Err(Error::Request(format!(
            "no request is kept whose id begins with `{prefix}`\nhint: see the list, `apig-proxy inspect --once`; the oldest are forgotten first (`inspect.requests`)"
        ))),
        _ => Err(Error::Request(format!(
            "several ids begin with `{prefix}`\nhint: give more of its digits"
        ))),
    }
}

/// Writes the archive piece by piece: it may be longer than what is kept in memory elsewhere.
async fn write_har(client: &Client, filter: &str, file: &Path) -> Result<(), Error> {
    let target = format!("har?filter={}", query(filter));
    let mut body = client.open("GET", &target, "").await?.into_body();
    let named = |error: io::Error| {
        let file = file.display();
        Error::Request(format!(
            "{file}: {error}\nhint: choose another file with --har"
        ))
    };
    let mut out: Box<dyn Write> = if file == Path::new("-") {
        Box::new(io::stdout())
    } else {
        let mut options = OpenOptions::new();
        // Requests are their owner's business, although no secret is in them.
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        Box::new(options.open(file).map_err(named)?)
    };
    while let Some(frame) = client.within_limit(body.frame()).await? {
        let frame = frame.map_err(|_| client.broken_off())?;
        if let Some(bytes) = frame.data_ref() {
            out.write_all(bytes)?;
        }
    }
    Ok(out.flush()?)
}

/// Writes text to standard output.
fn put(text: &str) -> Result<(), Error> {
    Ok(writeln!(io::stdout(), "{}", text.trim_end())?)
}
