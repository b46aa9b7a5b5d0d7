//! Sends a request again, after a question if its method may change something.

use std::io::{self, IsTerminal};

use super::super::say;
use super::Error;
use super::client::{ApiError, Client};
use super::style::text;

/// Sends the request again; the id of the new one.
pub(super) async fn send_again(
    client: &Client,
    id: &str,
    is_confirmed: bool,
) -> Result<String, Error> {
    let target = format!("requests/{id}/replay");
    let mut sent = post(client, &target, is_confirmed).await;
    if let Err(error) = &sent
        && error.code() == "needs_confirmation"
        && may_send(client, id).await?
    {
        sent = post(client, &target, true).await;
    }
    Ok(sent?["id"].as_str().unwrap_or_default().to_owned())
}

async fn post(
    client: &Client,
    target: &str,
    is_confirmed: bool,
) -> Result<serde_json::Value, ApiError> {
    client
        .post(target, &format!("{{\"confirm\":{is_confirmed}}}"))
        .await
}

/// Asks whoever sits at the terminal.
///
/// # Errors
///
/// If there is no terminal to ask on, or the answer is no.
async fn may_send(client: &Client, id: &str) -> Result<bool, Error> {
    let detail = client.get(&format!("requests/{id}")).await?;
    let line = text(&detail["received"]["line"]);
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Error::Request(format!(
            "`{line}` may change something at the gateway, so it is not sent again unasked\nhint: give `--yes`"
        )));
    }
    say(format_args!(
        "`{line}` may change something at the gateway. Send it again? [y/N]"
    ));
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(true),
        _ => Err(Error::Request("nothing was sent".to_owned())),
    }
}
