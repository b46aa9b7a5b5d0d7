//! `apig-proxy inspect`: what the inspector of a running proxy keeps, in the terminal.
//!
//! It uses the same API as the page, so it works wherever the admin listener can be reached, over SSH
//! as well.

mod client;
mod detail;
mod list;
mod text;

use std::fs::OpenOptions;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;

use super::admin_client::AdminArguments;
use super::{Exit, Failure, Outcome, block_on, say};
use crate::config::Environment;
use client::{Client, Error, Token, query};
use list::{List, MAX_ROWS};

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
    let named = arguments.token_file.as_deref();
    let token = Token::find(named, &arguments.admin, &address, environment)?;
    let client = Client { address, token };
    match block_on(Box::pin(act(arguments, &client)))? {
        // The reader, like `head`, has closed the pipe.
        Err(Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Ok),
        Err(error) => Err(Failure::failed(error)),
        Ok(()) => Ok(Exit::Ok),
    }
}

async fn act(arguments: &InspectArguments, client: &Client) -> Result<(), Error> {
    let mut list = List::new(client, &arguments.filter, arguments.json);
    if arguments.har.is_some() || arguments.clear {
        // Fails if this is no inspector.
        list.ask(1).await?;
    }
    if let Some(prefix) = &arguments.id {
        let id = find(client, prefix).await?;
        let detail = client.get(&format!("requests/{id}")).await?;
        let text = match arguments.json {
            true => text::json(&detail),
            false => detail::text_of(&detail),
        };
        Ok(writeln!(io::stdout(), "{}", text.trim_end())?)
    } else if let Some(file) = &arguments.har {
        write_har(client, &arguments.filter, file).await
    } else if let Some(prefix) = &arguments.replay {
        let id = find(client, prefix).await?;
        let new = replay(client, &id, arguments.yes).await?;
        list.when_done(&new).await
    } else if arguments.clear {
        client.open("POST", "clear", "").await.map(drop)
    } else if arguments.once {
        list.update(MAX_ROWS).await
    } else {
        list.follow().await
    }
}

/// The id that begins with these digits.
async fn find(client: &Client, prefix: &str) -> Result<String, Error> {
    let is_id = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_id {
        return Err(Error::Failed(
            "an id has hexadecimal digits only\nhint: take it from the list, `apig-proxy inspect --once`".to_owned(),
        ));
    }
    let prefix = prefix.to_ascii_lowercase();
    let target = format!("requests?filter={}&limit=2", query(&format!("id:{prefix}")));
    let found = client.get(&target).await?;
    match found["requests"].as_array().map_or(&[][..], Vec::as_slice) {
        [one] => Ok(one["id"].as_str().unwrap_or_default().to_owned()),
        [] => Err(Error::Failed(format!(
            "no request is kept whose id begins with `{prefix}`\nhint: see the list, `apig-proxy inspect --once`; the oldest are forgotten first (`inspect.requests`)"
        ))),
        _ => Err(Error::Failed(format!(
            "several ids begin with `{prefix}`\nhint: give more of its digits"
        ))),
    }
}

/// Writes the archive piece by piece, because it may be long.
async fn write_har(client: &Client, filter: &str, file: &Path) -> Result<(), Error> {
    let target = format!("har?filter={}", query(filter));
    let mut body = client.open("GET", &target, "").await?.into_body();
    let named = |error: io::Error| {
        let file = file.display();
        Error::Failed(format!(
            "{file}: {error}\nhint: choose another file with `--har`"
        ))
    };
    let mut out: Box<dyn Write> = if file == Path::new("-") {
        Box::new(io::stdout())
    } else {
        let mut options = OpenOptions::new();
        // Requests are private, although they contain no secrets.
        let options = options.write(true).create(true).truncate(true).mode(0o600);
        Box::new(options.open(file).map_err(named)?)
    };
    while let Some(bytes) = client.next(&mut body).await? {
        out.write_all(&bytes)?;
    }
    Ok(out.flush()?)
}

/// Sends a request again, after a confirmation if its method may change something; returns the new
/// id.
async fn replay(client: &Client, id: &str, is_confirmed: bool) -> Result<String, Error> {
    let target = format!("requests/{id}/replay");
    let send = async |is_confirmed: bool| {
        let order = format!("{{\"confirm\":{is_confirmed}}}");
        client.open("POST", &target, &order).await
    };
    let sent = match send(is_confirmed).await {
        Err(Error::Refused { code, .. }) if code == "needs_confirmation" => {
            confirm(client, id).await?;
            send(true).await
        }
        sent => sent,
    };
    let answer = client.json(sent?).await?;
    Ok(answer["id"].as_str().unwrap_or_default().to_owned())
}

/// Asks the user at the terminal. Without a terminal, or if the answer is no, it is an error.
async fn confirm(client: &Client, id: &str) -> Result<(), Error> {
    let detail = client.get(&format!("requests/{id}")).await?;
    let line = text::text(&detail["received"]["line"]);
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Error::Failed(format!(
            "`{line}` may change something at the gateway, so it is not sent again unasked\nhint: give `--yes`"
        )));
    }
    say(format_args!(
        "`{line}` may change something at the gateway. Send it again? [y/N]"
    ));
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Error::Failed("nothing was sent".to_owned())),
    }
}
