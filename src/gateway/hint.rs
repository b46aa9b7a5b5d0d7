//! One line of advice for each meaning: what is wrong, a colon, what to do.

use super::compare::{Comparison, compare};
use super::{CanonicalText, Context, DATE_WINDOW, GatewayError, Meaning};
use crate::config::AuthMode;
use crate::signature::SigningDate;

/// The maximum length of a hint, in bytes.
const MAX_HINT: usize = 400;

/// The clock difference, in seconds, from which on the clock is named as the cause: far below
/// [`DATE_WINDOW`], because the difference is an estimate, and far above what a slow network adds.
const NOTABLE: u64 = 5 * 60;

const WRONG_SECRET: &str = "the secret key does not belong to the access key: check both, or \
     create a new access key in the console";

const LIKELY_WRONG_SECRET: &str = "the gateway computed another signature, most likely because \
     the secret key does not belong to the access key: check both, or create a new access key in \
     the console";

const LEARNED_PATH: &str = "the gateway merges the slashes of a path (//), which the proxy has \
     learned from this refusal: send the request again";

const AMBIGUOUS_PATH: &str = "the path has several slashes in a row, which the gateway may read \
     as one: send it without // (a base URL that ends in / makes it); if that is refused too, \
     check the secret key";

const MANY_PAIRS: &str = "the query has more than 100 pairs, and the gateway may ignore the \
     others: send fewer, or put them into the body; if that is refused too, check the secret key";

const EXPIRED_KEY: &str = "the temporary key has expired, or the clock of this machine is wrong: \
     get a new temporary key, and set the clock with NTP";

const EXPIRED: &str = "the signature is too old for the gateway, so the clock of this machine is \
     wrong or the key has expired: set the clock with NTP; if it is right, get a new key";

const ISSUED_TOKEN: &str = "the gateway does not take the token, and the proxy asks for another \
     one: send the request again, and check iam_project if it is refused too";

const TOKEN_FILE: &str = "the gateway does not take the token of token_file: write a new one into \
     it, of the region, project and account of the API";

const APP_CODE: &str = "the gateway does not take the app code: check app_code_file, and that the \
     API takes app codes and its owner has authorised the app; a new code needs two minutes";

const API_KEY: &str = "the gateway does not take the api key: check api_key_file, and that the \
     key is of this region and allowed for this service";

const TEMPORARY_KEY: &str = "the gateway does not take the temporary key: it has expired, or the \
     security token belongs to another key; get a new key with its token";

const UNKNOWN_KEY: &str = "the gateway does not know the access key: it was deleted, is of \
     another account site (Chinese or International), or is a temporary key without its security \
     token; set the right key";

const NO_SIGNATURE: &str = "the gateway found no signature that it takes, and no valid token: \
     check that the API is published with IAM or app authentication; a token that has expired has \
     to be replaced";

const UNKNOWN_APP: &str = "the gateway does not know the app: check that the key pair is that of \
     an app which the owner of the API has authorised, and wait two minutes if that is new";

const UNAUTHORIZED: &str = "the gateway does not accept the key and does not say why: check that \
     the API takes signatures, and that the key is active and of this account and region";

const ADVICE: &[(Meaning, &str)] = &[
    (
        Meaning::KeyLocked,
        "the gateway has locked the access key after too many wrong signatures: correct the secret key, then \
         wait five minutes without sending",
    ),
    (
        Meaning::Forbidden,
        "the key may not call this API: ask the owner of the API to authorise the account or app, and check IAM \
         permissions, project, region and the address rules of the API",
    ),
    (
        Meaning::Arrears,
        "the account is in arrears, frozen or restricted: top up the account in the billing center",
    ),
    (
        Meaning::Throttled,
        "too many calls: slow down; the gateway's own host name allows 1000 calls a day, so bind a domain of \
         your own or have the quota raised",
    ),
    (
        Meaning::MethodNotAllowed,
        "the API does not take this method: send the one it is published with, which for model services is POST",
    ),
    (
        Meaning::BodyTooLarge,
        "the body is larger than the gateway takes (12 MB by default): send a smaller one or a link to the data",
    ),
    (
        Meaning::TargetTooLong,
        "path and query are longer than the gateway takes (32 KB): send the data in the body",
    ),
    (
        Meaning::HeadersTooLarge,
        "the headers are larger than the gateway takes (32 KB each, 128 KB together): send fewer or shorter \
         headers, cookies above all",
    ),
    (
        Meaning::BackendUnavailable,
        "the gateway cannot reach the service behind the API: check in the console that it is running and healthy",
    ),
    (
        Meaning::BackendTimeout,
        "the service behind the API did not answer in time (often 40 to 60 seconds): ask for less at once or for \
         a streamed answer, or have the timeout of the API raised",
    ),
    (
        Meaning::TlsVersion,
        "the gateway does not take the TLS version of the connection: have a device between, or the API, use \
         version 1.2",
    ),
    (
        Meaning::ClientCertificate,
        "the gateway's domain asks for a client certificate that it trusts: set `upstream_tls.cert_file` and \
         `upstream_tls.key_file` to one that the owner of the API has registered",
    ),
    (
        Meaning::IamUnavailable,
        "the service that checks keys is down for the moment: try again in a minute",
    ),
];

impl GatewayError {
    /// One line that says what is wrong and what to do: printable ASCII, at most 400 bytes. `None`
    /// if there is no advice.
    ///
    /// It never holds a secret or a value of the caller's, except the name of a header or query
    /// pair.
    #[must_use]
    pub fn hint(&self, context: &Context<'_>) -> Option<String> {
        let text = match &self.meaning {
            Meaning::SignatureMismatch { echoed } => mismatch(echoed.as_ref(), context),
            Meaning::Expired { signed, server } => expired(*signed, *server, context),
            Meaning::ApiNotFound => api_not_found(context),
            meaning => {
                let of_all = || Some(ADVICE.iter().find(|(of, _)| of == meaning)?.1);
                credential_advice(meaning, context)
                    .or_else(of_all)?
                    .to_owned()
            }
        };
        // The last guard of what goes into a header.
        let printable = |c: char| if matches!(c, ' '..='~') { c } else { '?' };
        Some(text.chars().map(printable).take(MAX_HINT).collect())
    }
}

fn credential_advice(meaning: &Meaning, context: &Context<'_>) -> Option<&'static str> {
    use Meaning::{InvalidToken, Unauthorized, UnknownApp, UnknownKey};
    let about_key = match meaning {
        UnknownKey | InvalidToken if context.is_temporary => TEMPORARY_KEY,
        UnknownKey => UNKNOWN_KEY,
        InvalidToken => NO_SIGNATURE,
        UnknownApp => UNKNOWN_APP,
        Unauthorized => UNAUTHORIZED,
        _ => return None,
    };
    Some(match context.auth {
        AuthMode::AkSk => about_key,
        AuthMode::Token if context.is_temporary => ISSUED_TOKEN,
        AuthMode::Token => TOKEN_FILE,
        AuthMode::AppCode => APP_CODE,
        AuthMode::ApiKey => API_KEY,
    })
}

fn mismatch(echoed: Option<&CanonicalText>, context: &Context<'_>) -> String {
    if context.has_learned_path {
        return LEARNED_PATH.to_owned();
    }
    let ours = context.canonical_request.map_or("", |ours| &ours.0);
    let query = ours.lines().nth(2).unwrap_or_default();
    match echoed.map(|echoed| compare(ours, &echoed.0)) {
        Some(Comparison::Equal) => WRONG_SECRET.to_owned(),
        _ if context.has_ambiguous_path => AMBIGUOUS_PATH.to_owned(),
        _ if query.split('&').count() > 100 => MANY_PAIRS.to_owned(),
        Some(Comparison::Different(what)) => format!(
            "{what} by a device between the proxy and the gateway (egress proxy, firewall), or is read differently \
             there: switch the rewriting off or connect without the device; if there is none, check that upstream \
             names the gateway itself, and use plain characters in path and query"
        ),
        Some(Comparison::Unknown) | None => LIKELY_WRONG_SECRET.to_owned(),
    }
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
        (Some(_), None) if context.corrects_clock && context.is_temporary => EXPIRED_KEY.to_owned(),
        (Some(offset), _) => wrong_clock(offset, context),
        (None, Some(late)) if context.clock_offset.is_some() && late > DATE_WINDOW => format!(
            "the gateway got the request {late} seconds after it was signed, more than the {DATE_WINDOW} it allows, \
             though the clock is right: send it again, and look for what holds requests back between the proxy and \
             the gateway"
        ),
        (None, Some(offset)) if is_notable(&offset) => wrong_clock(offset, context),
        _ if context.is_temporary => EXPIRED_KEY.to_owned(),
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
        "the clock of this machine is {seconds} seconds {side} the gateway's, and a signature may be {DATE_WINDOW} off: \
         {remedy}"
    )
}

fn api_not_found(context: &Context<'_>) -> String {
    let [host, stage] = [context.host, context.stage].map(|value| {
        let is_plain = value.bytes().all(|byte| byte.is_ascii_graphic());
        match is_plain && (1..=80).contains(&value.len()) {
            true => format!(" (now {value})"),
            false => String::new(),
        }
    });
    format!(
        "no API is published under this host, stage, path and method: check path and method, the configuration key \
         upstream{host}, and the key stage{stage}, which must be the environment that the API is published in"
    )
}
