//! From an answer to its meaning: the shape of the body, the code, the words of the message.

use serde_json::{Map, Value};

use super::{Echo, GatewayError, Meaning};
use crate::signature::SigningDate;

/// Where the SDKs find a code, and where they find a message.
const CODES: [&str; 3] = ["error_code", "errorCode", "code"];
const MESSAGES: [&str; 3] = ["error_msg", "errorMsg", "message"];

/// Length of the longest code.
const LONGEST_CODE: usize = 40;

/// Who numbers the codes.
#[derive(Clone, Copy)]
enum Family {
    /// API Gateway, under each of its names.
    Gateway,
    /// ModelArts, whose inference gateway has its own codes.
    ModelArts,
}

const FAMILIES: [(&str, Family); 4] = [
    ("APIG.", Family::Gateway),
    ("APIGW.", Family::Gateway),
    ("APIC.", Family::Gateway),
    ("ModelArts.", Family::ModelArts),
];

pub(super) fn read(status: u16, body: &[u8]) -> Option<GatewayError> {
    if status < 400 || body.len() > GatewayError::LONGEST_BODY {
        return None;
    }
    let root: Value = serde_json::from_slice(body).ok()?;
    let root = root.as_object()?;
    let nested = || {
        root.values()
            .filter_map(Value::as_object)
            .find_map(Said::find)
    };
    let said = Said::find(root).or_else(nested)?;
    let message = Message::parse(said.message);
    Some(GatewayError {
        code: said.code.to_owned(),
        meaning: match said.family {
            Family::Gateway => gateway(status, said.number, &message),
            Family::ModelArts => model_arts(status, said.number, &message),
        },
    })
}

/// What an object of the body says.
struct Said<'a> {
    code: &'a str,
    family: Family,
    number: &'a str,
    message: &'a str,
}

impl<'a> Said<'a> {
    fn find(object: &'a Map<String, Value>) -> Option<Self> {
        let texts = |names: [&str; 3]| names.map(|name| object.get(name).and_then(Value::as_str));
        let (code, (family, number)) = texts(CODES)
            .into_iter()
            .flatten()
            .find_map(|code| Some((code, numbered(code)?)))?;
        let message = texts(MESSAGES).into_iter().flatten().next();
        Some(Self {
            code,
            family,
            number,
            message: message.unwrap_or_default(),
        })
    }
}

fn numbered(code: &str) -> Option<(Family, &str)> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if code.len() > LONGEST_CODE || !code.bytes().all(is_plain) {
        return None;
    }
    FAMILIES
        .iter()
        .find_map(|(prefix, family)| Some((*family, code.strip_prefix(prefix)?)))
        .filter(|(_, number)| !number.is_empty())
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

/// The codes of ModelArts (API reference, "Error Codes"). A status of 403 means little without a known
/// code: the guard against harmful content answers with it too.
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

/// The one code that stands for everything that fails while a request is passed on.
fn transfer(status: u16, message: &Message<'_>) -> Meaning {
    let words = [
        (413, "entity too large", Meaning::BodyTooLarge),
        (414, "uri too large", Meaning::TargetTooLong),
        (494, "headers too large", Meaning::HeadersTooLarge),
        (431, "header too large", Meaning::HeadersTooLarge),
        (502, "backend unavailable", Meaning::BackendUnavailable),
        (504, "backend timeout", Meaning::BackendTimeout),
    ];
    let by_status = words.iter().find(|(known, ..)| *known == status);
    by_status
        .or_else(|| words.iter().find(|(_, words, _)| message.says(words)))
        .map_or(Meaning::Other, |(.., meaning)| meaning.clone())
}

/// What a status alone says, where the code is not known.
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
    if ["arrear", "frozen", "suspended", "restricted"]
        .into_iter()
        .any(says)
    {
        return Meaning::Arrears;
    }
    let echoed = message.echoed.map(|text| Echo(text.to_owned()));
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
        let found = ["canonicalrequest", "canonical request"]
            .iter()
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

    /// The date that stands after `name`.
    fn date(&self, name: &str) -> Option<SigningDate> {
        let after = &self.text[self.words.find(name)? + name.len()..];
        let date = after.trim_start_matches([':', '=', ' ']).get(..16)?;
        SigningDate::parse(date).ok()
    }
}

/// The echo in what follows its name. A quote ends it, because an error can be wrapped in another one
/// as text, and nothing that the proxy signs holds a quote.
fn echo(after: &str) -> Option<&str> {
    let text = after.trim_start_matches([':', '=', ' ']);
    let text = text.split('"').next().unwrap_or_default();
    let text = text.trim_end_matches([' ', '\\', '\r', '\n']);
    (!text.is_empty()).then_some(text)
}
