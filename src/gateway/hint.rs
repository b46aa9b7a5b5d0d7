//! One line of advice for each meaning: what is wrong, a colon, what to do.

use super::{AuthKind, Change, Context, Difference, Echo, Meaning, compare};
use crate::signature::SigningDate;

/// The maximum length of a hint, in bytes.
const MAX_HINT: usize = 400;

/// How far the date of a signature may be off, in seconds.
const WINDOW: i64 = 15 * 60;

/// The clock difference, in seconds, from which on the clock is named as the cause: far below
/// [`WINDOW`], because the difference is an estimate, and far above what a slow network adds.
const NOTABLE: u64 = 5 * 60;

const WRONG_SECRET: &str = "the secret key does not belong to the access key: download the key pair \
     again (a changed file is reloaded automatically, a variable needs a restart)";

const LIKELY_WRONG_SECRET: &str = "the gateway computed another signature, most likely because the \
     secret key does not belong to the access key: download the key pair again (a changed file is reloaded \
     automatically, a variable needs a restart)";

const EXPIRED_KEY: &str = "the temporary key has expired, or the clock of this machine is wrong: get a \
     new temporary key (a changed file is reloaded automatically, a variable needs a restart), and set the clock \
     with NTP";

const EXPIRED: &str = "the signature is too old for the gateway, so the clock of this machine is wrong \
     or the key has expired: set the clock with NTP; if it is right, get a new key (a changed file is reloaded \
     automatically, a variable needs a restart)";

/// The advice that depends on nothing but the meaning.
static ADVICE: [(Meaning, &str); 17] = [
    (
        Meaning::KeyLocked,
        "the gateway has locked the access key for five minutes after too many wrong signatures: \
         correct the secret key (a changed file is reloaded automatically, a variable needs a restart), then wait \
         five minutes without sending",
    ),
    (
        Meaning::UnknownKey,
        "the gateway does not know the access key: it was deleted, is of another account site (Chinese \
         or International) or another cloud, or is a temporary key without its security token; check \
         it under My Credentials in the console, set the right key (a changed file is reloaded automatically, a \
         variable needs a restart)",
    ),
    (
        Meaning::InvalidToken,
        "the gateway found no signature that it takes, and no valid token: check that the API is \
         published with IAM or app authentication, which take signatures; a token that has expired or \
         is of another region has to be replaced",
    ),
    (
        Meaning::UnknownApp,
        "the gateway does not know the app: check that the key pair is that of an app which the owner \
         of the API has authorised, and wait two minutes if that is new",
    ),
    (
        Meaning::Unauthorized,
        "the gateway does not accept the key and does not say why: check that the API takes signatures \
         (IAM or app authentication), and that the key is active and of this account and region",
    ),
    (
        Meaning::Forbidden,
        "the key may not call this API: ask the owner of the API to authorise the account or app, and \
         check IAM permissions, project, region and the address rules of the API",
    ),
    (
        Meaning::Arrears,
        "the account or the resource is in arrears, frozen or restricted: top up the account in the \
         billing center, then send the request again",
    ),
    (
        Meaning::Throttled,
        "too many calls: slow down and try again later; the gateway's own host name (debug sub-domain) \
         allows 1000 calls a day, so bind a domain of your own or have the quota raised",
    ),
    (
        Meaning::MethodNotAllowed,
        "the API does not take this method: send the one it is published with, which for model services \
         is POST",
    ),
    (
        Meaning::BodyTooLarge,
        "the body is larger than the gateway takes (12 MB unless it is set otherwise): send a smaller \
         one or a link to the data, or have the limit of the gateway raised",
    ),
    (
        Meaning::TargetTooLong,
        "path and query are longer than the gateway takes (32 KB): send the data in the body",
    ),
    (
        Meaning::HeadersTooLarge,
        "the headers are larger than the gateway takes (32 KB each, 128 KB together): send fewer or \
         shorter headers, cookies above all",
    ),
    (
        Meaning::BackendUnavailable,
        "the gateway cannot reach the service behind the API: check in the console that the service is \
         running and healthy, then try again",
    ),
    (
        Meaning::BackendTimeout,
        "the service behind the API did not answer in time (often 40 to 60 seconds): ask for less at \
         once or for a streamed answer, or have the timeout of the API raised",
    ),
    (
        Meaning::TlsVersion,
        "the gateway does not take the TLS version of the connection: if a device between opens TLS, \
         have it use version 1.2; otherwise ask the owner of the API to allow 1.2",
    ),
    (
        Meaning::ClientCertificate,
        "the gateway's domain asks for a client certificate, which the proxy does not send: use a \
         domain without client authentication, or ask the owner of the API to switch it off",
    ),
    (
        Meaning::IamUnavailable,
        "the service that checks keys is down for the moment: try again in a minute",
    ),
];

pub(super) fn hint(meaning: &Meaning, context: &Context<'_>) -> Option<String> {
    let text = match meaning {
        Meaning::SignatureMismatch { echoed } => mismatch(echoed.as_ref(), context),
        Meaning::Expired { signed, server } => expired(*signed, *server, context),
        Meaning::ApiNotFound => api_not_found(context),
        _ => {
            let fixed = || ADVICE.iter().find(|(known, _)| known == meaning);
            let advice = refused_credential(meaning, context);
            advice.or_else(|| Some(fixed()?.1))?.to_owned()
        }
    };
    // The last guard of what goes into a header.
    let printable = |c: char| if matches!(c, ' '..='~') { c } else { '?' };
    Some(text.chars().map(printable).take(MAX_HINT).collect())
}

/// The advice about a refused credential that is no permanent key pair.
fn refused_credential(meaning: &Meaning, context: &Context<'_>) -> Option<&'static str> {
    use Meaning::{InvalidToken, Unauthorized, UnknownApp, UnknownKey};
    if !matches!(
        meaning,
        InvalidToken | UnknownApp | UnknownKey | Unauthorized
    ) {
        return None;
    }
    Some(match (context.auth, meaning) {
        (AuthKind::Token, _) => {
            "the gateway does not take the token: it has ended or was withdrawn, or is of another \
             region, project or account; the proxy has asked for another one, or write a new one into \
             token_file, and check iam_project"
        }
        (AuthKind::AppCode, _) => {
            "the gateway does not take the app code: check app_code_file, that the app is authorised \
             for this API, and that the API takes app codes (simple authentication); a new one needs \
             two minutes"
        }
        (AuthKind::ApiKey, _) => {
            "the gateway does not take the api key: check api_key_file, and that the key is active, of \
             this region, and allowed for this service"
        }
        (AuthKind::Signature, UnknownKey) if context.has_security_token => {
            "the gateway does not know the temporary key: it has expired, or the security token belongs \
             to another key; get a new key with its token (a changed file is reloaded automatically, a variable \
             needs a restart)"
        }
        (AuthKind::Signature, InvalidToken) if context.has_security_token => {
            "the security token of the temporary key is wrong or has expired: get a new temporary key \
             with its token (a changed file is reloaded automatically, a variable needs a restart)"
        }
        (AuthKind::Signature, _) => return None,
    })
}

fn mismatch(echoed: Option<&Echo>, context: &Context<'_>) -> String {
    let (Some(ours), Some(echoed)) = (context.canonical_request, echoed) else {
        return LIKELY_WRONG_SECRET.to_owned();
    };
    let (what, change) = match compare(ours, echoed.as_str()) {
        Difference::None => return WRONG_SECRET.to_owned(),
        Difference::CutOff | Difference::Unreadable => return LIKELY_WRONG_SECRET.to_owned(),
        Difference::Method => ("the method".to_owned(), Change::Altered),
        Difference::Path => ("the path".to_owned(), Change::Altered),
        Difference::Payload => ("the body or its hash".to_owned(), Change::Altered),
        Difference::SignedHeaders => ("the list of signed headers".to_owned(), Change::Altered),
        Difference::QueryPair {
            position,
            name,
            change,
        } => {
            let name = name.map(|name| format!(" ({name})")).unwrap_or_default();
            (format!("query pair {position}{name}"), change)
        }
        Difference::Header { name, change } => {
            let name = name.map(|name| format!("header {name}"));
            (name.unwrap_or_else(|| "a signed header".to_owned()), change)
        }
    };
    let done = match change {
        Change::Altered => "changed",
        Change::Missing => "removed or renamed",
        Change::Added => "added",
        Change::Moved => "moved",
    };
    format!(
        "{what} was {done} by a device between the proxy and the gateway (egress proxy, firewall), or is \
         read differently there: switch the rewriting off or connect without the device; if there is \
         none, check that upstream names the gateway itself, and use plain characters in path and query"
    )
}

fn expired(
    signed: Option<SigningDate>,
    server: Option<SigningDate>,
    context: &Context<'_>,
) -> String {
    let stated = signed.zip(server);
    let stated = stated.map(|(signed, server)| server.unix_seconds() - signed.unix_seconds());
    let is_notable = |offset: &i64| offset.unsigned_abs() >= NOTABLE;
    // A known offset is of this machine's clock; the stated one is of the signature, which may have
    // been made with a corrected clock.
    match (context.clock_offset.filter(is_notable), stated) {
        // With the gateway's time in the signature, only the key can have expired.
        (Some(_), None) if context.corrects_clock && context.has_security_token => {
            EXPIRED_KEY.to_owned()
        }
        (Some(offset), _) => wrong_clock(offset, context),
        (None, Some(late)) if context.clock_offset.is_some() && late > WINDOW => format!(
            "the gateway got the request {late} seconds after it was signed, more than the {WINDOW} it \
             allows, though the clock is right: send it again, and look for what holds requests back \
             between the proxy and the gateway"
        ),
        (None, Some(offset)) if is_notable(&offset) => wrong_clock(offset, context),
        _ if context.has_security_token => EXPIRED_KEY.to_owned(),
        _ => EXPIRED.to_owned(),
    }
}

fn wrong_clock(offset: i64, context: &Context<'_>) -> String {
    let seconds = offset.unsigned_abs();
    let side = if offset > 0 { "behind" } else { "ahead of" };
    let remedy = if context.corrects_clock {
        "set it with NTP, and send the request again, which is then signed with the gateway's time"
    } else {
        "set it with NTP, or set clock.correct = true in the configuration of the proxy"
    };
    format!(
        "the clock of this machine is {seconds} seconds {side} the gateway's, and a signature may be \
         {WINDOW} off: {remedy}"
    )
}

fn api_not_found(context: &Context<'_>) -> String {
    let [host, stage] = [context.host, context.stage].map(|value| {
        let is_shown =
            (1..=80).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_graphic());
        if is_shown {
            format!(" (now {value})")
        } else {
            String::new()
        }
    });
    format!(
        "no API is published under this host, stage, path and method: check path and method, the \
         configuration key upstream{host}, and the key stage{stage}, which must be the environment that \
         the API is published in"
    )
}
