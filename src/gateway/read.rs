//! From a response to its meaning: the shape of the body, the code, the words of the message.

use serde_json::{Map, Value};

use super::{CanonicalText, GatewayError, Meaning};
use crate::signature::SigningDate;

/// Where the SDKs look for a code, and where for a message.
const CODES: [&str; 3] = ["error_code", "errorCode", "code"];
const MESSAGES: [&str; 3] = ["error_msg", "errorMsg", "message"];

const MAX_CODE: usize = 40;

type Classify = fn(u16, &str, &Message<'_>) -> Meaning;

impl GatewayError {
    /// Parses a response. `None` if it is not an error of the gateway: another status, another
    /// shape, or a code that starts with none of `APIG.`, `APIGW.`, `APIC.` and `ModelArts.`.
    #[must_use]
    pub fn read(status: u16, body: &[u8]) -> Option<Self> {
        if status < 400 || body.len() > Self::LONGEST_BODY {
            return None;
        }
        let root: Value = serde_json::from_slice(body).ok()?;
        let root = root.as_object()?;
        let mut objects = root.values().filter_map(Value::as_object);
        let found = find_error(root).or_else(|| objects.find_map(find_error));
        let (code, message) = found?;
        let (classify, number) = split_code(code)?;
        Some(Self {
            code: code.to_owned(),
            meaning: classify(status, number, &Message::parse(message)),
        })
    }
}

/// The code and the message of an object in the body.
fn find_error(object: &Map<String, Value>) -> Option<(&str, &str)> {
    let texts = |names: [&'static str; 3]| {
        names
            .into_iter()
            .filter_map(|name| object.get(name).and_then(Value::as_str))
    };
    let code = texts(CODES).find(|code| split_code(code).is_some())?;
    Some((code, texts(MESSAGES).next().unwrap_or_default()))
}

/// The namespace of a code, and its number within that.
fn split_code(code: &str) -> Option<(Classify, &str)> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let (namespace, number) = code.split_once('.')?;
    if code.len() > MAX_CODE || number.is_empty() || !code.bytes().all(is_plain) {
        return None;
    }
    match namespace {
        "APIG" | "APIGW" | "APIC" => Some((gateway, number)),
        "ModelArts" => Some((model_arts, number)),
        _ => None,
    }
}

/// The codes of API Gateway (user manual, "Error Codes").
fn gateway(status: u16, number: &str, message: &Message<'_>) -> Meaning {
    match number {
        "0101" if status == 405 || message.says("method not allowed") => Meaning::MethodNotAllowed,
        "0101" => Meaning::ApiNotFound,
        "0201" => transfer(status, message),
        "0202" | "0610" => Meaning::BackendUnavailable,
        "0203" => Meaning::BackendTimeout,
        "0204" => Meaning::TlsVersion,
        "0205" => Meaning::ClientCertificate,
        "0301" | "0303" | "0305" | "0311" | "0312" | "0313" => authentication(message),
        "0307" => Meaning::InvalidToken,
        "0308" | "0501" => Meaning::Throttled,
        "0502" => Meaning::Forbidden,
        "0613" => Meaning::IamUnavailable,
        "2201" => Meaning::UnknownApp,
        _ if status == 403 => Meaning::Forbidden,
        _ => by_status(status, message),
    }
}

/// The codes of ModelArts (API reference, "Error Codes"). A status of 403 means little without a
/// known code: the guard against harmful content answers with it too.
fn model_arts(status: u16, number: &str, message: &Message<'_>) -> Meaning {
    match number {
        "0108" | "0112" => Meaning::Forbidden,
        "0206" => Meaning::UnknownKey,
        "4104" => Meaning::BodyTooLarge,
        "4116" | "4118" => Meaning::Arrears,
        "4204" | "4901" if status == 404 => Meaning::ApiNotFound,
        "4205" => Meaning::BackendTimeout,
        "4206" => Meaning::Throttled,
        "4302" | "4503" if status == 504 => Meaning::BackendTimeout,
        "4302" | "4503" | "4505" | "4700" => Meaning::BackendUnavailable,
        _ => by_status(status, message),
    }
}

/// The one code for everything that fails while a request is forwarded.
fn transfer(status: u16, message: &Message<'_>) -> Meaning {
    let known = [
        (413, "entity too large", Meaning::BodyTooLarge),
        (414, "uri too large", Meaning::TargetTooLong),
        (494, "headers too large", Meaning::HeadersTooLarge),
        (431, "header too large", Meaning::HeadersTooLarge),
        (502, "backend unavailable", Meaning::BackendUnavailable),
        (504, "backend timeout", Meaning::BackendTimeout),
    ];
    let by_status = known.iter().find(|known| known.0 == status);
    let found = by_status.or_else(|| known.iter().find(|known| message.says(known.1)));
    found.map_or(Meaning::Other, |(.., meaning)| meaning.clone())
}

/// The meaning of a status, where the code is not known.
fn by_status(status: u16, message: &Message<'_>) -> Meaning {
    match status {
        401 => authentication(message),
        405 => Meaning::MethodNotAllowed,
        413 => Meaning::BodyTooLarge,
        414 => Meaning::TargetTooLong,
        429 => Meaning::Throttled,
        431 | 494 => Meaning::HeadersTooLarge,
        _ => Meaning::Other,
    }
}

/// The many things that "incorrect authentication information" stands for (APIG FAQ).
fn authentication(message: &Message<'_>) -> Meaning {
    let says = |words| message.says(words);
    if says("reach the limit") {
        return Meaning::KeyLocked;
    }
    if says("signature") && says("expire") {
        return Meaning::Expired {
            signed: message.date("signature time"),
            server: message.date("server time"),
        };
    }
    if says("secretkey fail") || (message.has_word("ak") && says("not exist")) {
        return Meaning::UnknownKey;
    }
    let is_unknown = says("not found") || says("not exist") || says("invalid");
    if is_unknown && (message.has_word("app") || says("appkey") || says("appcode")) {
        return Meaning::UnknownApp;
    }
    if says("arrear") || says("frozen") || says("suspended") || says("restricted") {
        return Meaning::Arrears;
    }
    let echoed = message.echoed.map(|text| CanonicalText(text.to_owned()));
    if echoed.is_some() || (says("signature") && says("fail")) {
        return Meaning::SignatureMismatch { echoed };
    }
    if says("token") {
        return Meaning::InvalidToken;
    }
    Meaning::Unauthorized
}

/// The text of a refusal, apart from what it echoes: a path can hold any words.
struct Message<'a> {
    text: &'a str,
    words: String,
    echoed: Option<&'a str>,
}

impl<'a> Message<'a> {
    fn parse(message: &'a str) -> Self {
        // Folding ASCII alone keeps every byte in its place.
        let lower = message.to_ascii_lowercase();
        let names = ["canonicalrequest", "canonical request"].into_iter();
        let found = names
            .filter_map(|name| Some((lower.find(name)?, name.len())))
            .min();
        let (text, echoed) = found.map_or((message, None), |(at, length)| {
            (&message[..at], echo(&message[at + length..]))
        });
        Self {
            text,
            words: lower[..text.len()].to_owned(),
            echoed,
        }
    }

    fn says(&self, words: &str) -> bool {
        self.words.contains(words)
    }

    fn has_word(&self, word: &str) -> bool {
        self.words
            .split(|letter: char| !letter.is_ascii_alphanumeric())
            .any(|found| found == word)
    }

    fn date(&self, name: &str) -> Option<SigningDate> {
        let after = &self.text[self.words.find(name)? + name.len()..];
        let date = after.trim_start_matches([':', '=', ' ']).get(..16)?;
        SigningDate::parse(date).ok()
    }
}

/// The echo in what follows its name. A quote ends it, because an error can be wrapped in another
/// one as text, and nothing that the proxy signs holds a quote.
fn echo(after: &str) -> Option<&str> {
    let text = after.trim_start_matches([':', '=', ' ']);
    let text = text.split('"').next().unwrap_or_default();
    let text = text.trim_end_matches([' ', '\\', '\r', '\n']);
    (!text.is_empty()).then_some(text)
}
