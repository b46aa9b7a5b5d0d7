//! One line of advice for each meaning: what is wrong, a colon, what to do.

use std::borrow::Cow;

use super::{Change, Context, Difference, Echo, Meaning, Shows, compare};
use crate::signature::SigningDate;

/// The longest hint, in bytes.
const LONGEST: usize = 400;

/// How far a signature's date may be off for the gateway, in seconds.
const WINDOW: i64 = 15 * 60;

/// Beyond this many seconds a clock is named as the cause. Far below [`WINDOW`], because the offset is
/// an estimate, and far above what a slow network adds.
const NOTABLE: u64 = 5 * 60;

const WRONG_SECRET: &str = "the secret key does not belong to the access key: \
     download the key pair again (a file is read \
     anew by itself, a variable needs a restart)";

const LIKELY_WRONG_SECRET: &str = "the gateway computed another signature, most likely because the \
     secret key does not belong to the access key: download the key pair again (a file is read \
     anew by itself, a variable needs a restart)";

const EXPIRED_KEY: &str = "the temporary key has expired, or the clock of this machine is wrong: get a \
     new temporary key (a file is read anew by itself, a variable needs a restart), and set the clock with NTP";

pub(super) fn hint(meaning: &Meaning, context: &Context<'_>) -> Option<String> {
    if let Some(text) = about_secret(meaning, context.shows) {
        return Some(text.to_owned());
    }
    let text = match meaning {
        Meaning::SignatureMismatch { echoed } => mismatch(echoed.as_ref(), context),
        Meaning::Expired { signed, server } => expired(*signed, *server, context),
        Meaning::UnknownKey => unknown_key(context).into(),
        Meaning::InvalidToken => invalid_token(context).into(),
        Meaning::ApiNotFound => api_not_found(context),
        _ => about_access(meaning)
            .or_else(|| about_transfer(meaning))?
            .into(),
    };
    Some(presentable(&text))
}

/// The advice about what is sent in the place of a signature.
fn about_secret(meaning: &Meaning, shows: Shows) -> Option<&'static str> {
    let is_refused = matches!(
        meaning,
        Meaning::InvalidToken | Meaning::UnknownApp | Meaning::UnknownKey | Meaning::Unauthorized
    );
    match shows {
        _ if !is_refused => None,
        Shows::Signature => None,
        Shows::Token => Some(
            "the gateway does not take the token: it has ended or was withdrawn, or is of another region, \
             project or account; the proxy has asked for another one, or write a new one into token_file, \
             and check iam_project",
        ),
        Shows::AppCode => Some(
            "the gateway does not take the app code: check app_code_file, that the app is authorised for \
             this API, and that the API takes app codes (simple authentication); a new one needs two minutes",
        ),
        Shows::ApiKey => Some(
            "the gateway does not take the api key: check api_key_file, and that the key is active, of this \
             region, and allowed for this service",
        ),
    }
}

fn mismatch(echoed: Option<&Echo>, context: &Context<'_>) -> Cow<'static, str> {
    let (Some(ours), Some(echoed)) = (context.canonical_request, echoed) else {
        return LIKELY_WRONG_SECRET.into();
    };
    let (what, change) = match compare(ours, echoed.as_str()) {
        Difference::None => return WRONG_SECRET.into(),
        Difference::CutOff | Difference::Unreadable => return LIKELY_WRONG_SECRET.into(),
        Difference::Method => ("the method".to_owned(), Change::Altered),
        Difference::Path => ("the path".to_owned(), Change::Altered),
        Difference::Payload => ("the body or its hash".to_owned(), Change::Altered),
        Difference::SignedHeaders => ("the list of signed headers".to_owned(), Change::Altered),
        Difference::QueryPair {
            position,
            name: Some(name),
            change,
        } => (format!("query pair {position} ({name})"), change),
        Difference::QueryPair {
            position, change, ..
        } => (format!("query pair {position}"), change),
        Difference::Header { name, change } => {
            let name = name.map_or_else(|| "a signed header".to_owned(), |n| format!("header {n}"));
            (name, change)
        }
    };
    changed(&what, change)
}

/// Says that something between the proxy and the gateway did it.
fn changed(what: &str, change: Change) -> Cow<'static, str> {
    let did = match change {
        Change::Altered => "changed",
        Change::Missing => "removed or renamed",
        Change::Added => "added",
        Change::Moved => "moved",
    };
    format!(
        "{what} was {did} by a device between the proxy and the gateway (egress proxy, firewall), or is \
         read differently there: switch the rewriting off or connect without the device; if there is \
         none, check that upstream names the gateway itself, and use plain characters in path and query"
    )
    .into()
}

fn expired(
    signed: Option<SigningDate>,
    server: Option<SigningDate>,
    context: &Context<'_>,
) -> Cow<'static, str> {
    let stated = signed
        .zip(server)
        .map(|(signed, server)| server.unix_seconds() - signed.unix_seconds());
    let is_notable = |offset: &i64| offset.unsigned_abs() >= NOTABLE;
    // A known offset is of this machine's clock; the stated one is of the signature, which may have
    // been made with a corrected clock.
    match (context.clock_offset.filter(is_notable), stated) {
        // With the gateway's time in the signature, only the key can be what has expired.
        (Some(_), None) if context.corrects_clock && context.has_security_token => {
            EXPIRED_KEY.into()
        }
        (Some(offset), _) => wrong_clock(offset, context),
        (None, Some(late)) if context.clock_offset.is_some() && late > WINDOW => too_late(late),
        (None, Some(offset)) if is_notable(&offset) => wrong_clock(offset, context),
        _ if context.has_security_token => EXPIRED_KEY.into(),
        _ => "the signature is too old for the gateway, so the clock of this machine is wrong or the \
              key has expired: set the clock with NTP; if it is right, get a new key (a file is read anew by \
              itself, a variable needs a restart)"
            .into(),
    }
}

fn too_late(seconds: i64) -> Cow<'static, str> {
    format!(
        "the gateway got the request {seconds} seconds after it was signed, more than the 900 it \
         allows, though the clock is right: send it again, and look for what holds requests back \
         between the proxy and the gateway"
    )
    .into()
}

fn wrong_clock(offset: i64, context: &Context<'_>) -> Cow<'static, str> {
    let seconds = offset.unsigned_abs();
    let side = if offset > 0 { "behind" } else { "ahead of" };
    let remedy = if context.corrects_clock {
        "set it with NTP, and send the request again, which is then signed with the gateway's time"
    } else {
        "set it with NTP, or set clock.correct = true in the configuration of the proxy"
    };
    format!(
        "the clock of this machine is {seconds} seconds {side} the gateway's, and a signature may be \
         900 off: {remedy}"
    )
    .into()
}

fn unknown_key(context: &Context<'_>) -> &'static str {
    if context.has_security_token {
        "the gateway does not know the temporary key: it has expired, or the security token belongs \
         to another key; get a new key with its token (a file is read anew by itself, a variable needs a restart)"
    } else {
        "the gateway does not know the access key: it was deleted, is of another account site (Chinese \
         or International) or another cloud, or is a temporary key without its security token; check \
         it under My Credentials in the console, set the right key (a file is read \
         anew by itself, a variable needs a restart)"
    }
}

fn invalid_token(context: &Context<'_>) -> &'static str {
    if context.has_security_token {
        "the security token of the temporary key is wrong or has expired: get a new temporary key with \
         its token (a file is read anew by itself, a variable needs a restart)"
    } else {
        "the gateway found no signature that it takes, and no valid token: check that the API is \
         published with IAM or app authentication, which take signatures; a token that has expired or \
         is of another region must be got anew"
    }
}

fn api_not_found(context: &Context<'_>) -> Cow<'static, str> {
    let now = |value: &str| {
        let is_shown = (1..=80).contains(&value.len()) && value.bytes().all(is_visible);
        if is_shown {
            format!(" (now {value})")
        } else {
            String::new()
        }
    };
    format!(
        "no API is published under this host, stage, path and method: check path and method, the \
         configuration key upstream{}, and the key stage{}, which must be the environment that the API \
         is published in",
        now(context.host),
        now(context.stage)
    )
    .into()
}

/// The advice about keys, rights and quotas.
fn about_access(meaning: &Meaning) -> Option<&'static str> {
    Some(match meaning {
        Meaning::KeyLocked => {
            "the gateway has locked the access key for five minutes after too many wrong signatures: \
             correct the secret key (a file is read anew by itself, a variable \
             needs a restart), then wait five minutes without sending"
        }
        Meaning::UnknownApp => {
            "the gateway does not know the app: check that the key pair is that of an app which the \
             owner of the API has authorised, and wait two minutes if that is new"
        }
        Meaning::Unauthorized => {
            "the gateway does not accept the key and does not say why: check that the API takes \
             signatures (IAM or app authentication), and that the key is active and of this account \
             and region"
        }
        Meaning::Forbidden => {
            "the key may not call this API: ask the owner of the API to authorise the account or app, \
             and check IAM permissions, project, region and the address rules of the API"
        }
        Meaning::Arrears => {
            "the account or the resource is in arrears, frozen or restricted: top up the account in \
             the billing center, then send the request again"
        }
        Meaning::Throttled => {
            "too many calls: slow down and try again later; the gateway's own host name (debug \
             sub-domain) allows 1000 calls a day, so bind a domain of your own or have the quota raised"
        }
        _ => return None,
    })
}

/// The advice about requests and answers on their way.
fn about_transfer(meaning: &Meaning) -> Option<&'static str> {
    Some(match meaning {
        Meaning::MethodNotAllowed => {
            "the API does not take this method: send the one it is published with, which for model \
             services is POST"
        }
        Meaning::BodyTooLarge => {
            "the body is larger than the gateway takes (12 MB unless it is set otherwise): send a \
             smaller one or a link to the data, or have the limit of the gateway raised"
        }
        Meaning::TargetTooLong => {
            "path and query are longer than the gateway takes (32 KB): send the data in the body"
        }
        Meaning::HeadersTooLarge => {
            "the headers are larger than the gateway takes (32 KB each, 128 KB together): send fewer \
             or shorter headers, cookies above all"
        }
        Meaning::BackendUnavailable => {
            "the gateway cannot reach the service behind the API: check in the console that the \
             service is running and healthy, then try again"
        }
        Meaning::BackendTimeout => {
            "the service behind the API did not answer in time (often 40 to 60 seconds): ask for less \
             at once or for a streamed answer, or have the timeout of the API raised"
        }
        Meaning::TlsVersion => {
            "the gateway does not take the TLS version of the connection: if a device between opens \
             TLS, have it use version 1.2; otherwise ask the owner of the API to allow 1.2"
        }
        Meaning::ClientCertificate => {
            "the gateway's domain asks for a client certificate, which the proxy does not send: use \
             a domain without client authentication, or ask the owner of the API to switch it off"
        }
        Meaning::IamUnavailable => {
            "the service that checks keys is down for the moment: try again in a minute"
        }
        _ => return None,
    })
}

fn is_visible(byte: u8) -> bool {
    byte.is_ascii_graphic()
}

/// Last guard of what goes into a header.
fn presentable(text: &str) -> String {
    text.chars()
        .map(|letter| match letter {
            ' '..='~' => letter,
            _ => '?',
        })
        .take(LONGEST)
        .collect()
}
