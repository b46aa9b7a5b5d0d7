//! Keys of simple values: `[limits]`, `[timeouts]`, `[pool]` and `[log]`, and methods and media
//! ranges.

use std::time::Duration;

use http::Method;
use tracing::level_filters::LevelFilter;

use super::LargeBody;
use super::layers::Setting;
use super::reader::Reader;
use super::value::{Parsed, boolean, count, delay, duration, size, texts, word};

/// Limits of the resources that clients can use (`[limits]`). Sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the reference describes the keys")]
pub struct Limits {
    pub body: u64,
    /// `large_body_max`.
    pub large_body: u64,
    pub buffered: u64,
    pub connections: usize,
    pub header: usize,
    pub answer_header: usize,
}

/// How long each phase may take (`[timeouts]`). A route may have its own `response` and `idle`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the reference describes the keys")]
pub struct Timeouts {
    pub connect: Duration,
    pub header_read: Duration,
    pub keep_alive: Duration,
    pub body_idle: Duration,
    pub response: Duration,
    pub idle: Duration,
    pub write_idle: Duration,
    /// May be zero.
    pub drain_delay: Duration,
    pub shutdown: Duration,
}

/// How connections to an upstream are kept (`[pool]`), over all workers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the reference describes the keys")]
pub struct PoolConfig {
    pub connections: usize,
    pub idle: Duration,
    pub age: Duration,
    /// Small requests may share HTTP/2 connections.
    pub http2: bool,
}

/// Format and amount of the log (`[log]`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the reference describes the keys")]
pub struct LogConfig {
    pub format: LogFormat,
    pub level: LevelFilter,
    pub access: bool,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// The methods that clients may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Methods {
    /// Any but `CONNECT`.
    Any,
    /// These, in the order of the configuration.
    Only(Vec<Method>),
}

impl Methods {
    /// Their names, as `Allow` lists them.
    pub fn names(&self) -> String {
        let Self::Only(methods) = self else {
            return "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS".to_owned();
        };
        let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
        names.join(", ")
    }

    pub(super) fn parse(setting: &Setting) -> Parsed<Self> {
        Ok(Self::from_names(&texts(setting)?)?)
    }

    pub(crate) fn from_names(names: &[String]) -> Result<Self, &'static str> {
        const EXPECTED: &str = "expected methods in capital letters, like [\"GET\", \"POST\"], or [\"*\"] for any; CONNECT and TRACE cannot be allowed";
        if names == ["*"] {
            return Ok(Self::Any);
        }
        let is_name = |byte: u8| byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_');
        let method = |name: &String| {
            let method = name.parse().ok()?;
            let is_allowed = !matches!(method, Method::CONNECT | Method::TRACE);
            (is_allowed && name.bytes().all(is_name)).then_some(method)
        };
        let methods: Option<Vec<Method>> = names.iter().map(method).collect();
        let methods = methods.filter(|methods| !methods.is_empty());
        methods.map(Self::Only).ok_or(EXPECTED)
    }
}

/// A media range of `signing.unsigned`, lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaRange {
    /// `*`: every request with a body, also one without a content type.
    Any,
    /// `type/*`; holds `type`.
    Type(String),
    /// `type/subtype`; holds both with the slash.
    Exact(String),
}

impl MediaRange {
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        const EXPECTED: &str =
            "expected media types like \"multipart/*\" or \"video/mp4\", or \"*\" for all";
        let is_token_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
        let is_token = |text: &str| !text.is_empty() && text.bytes().all(is_token_byte);
        let text = text.to_ascii_lowercase();
        match text.split_once('/') {
            None if text == "*" => Ok(Self::Any),
            Some((kind, "*")) if is_token(kind) => Ok(Self::Type(kind.to_owned())),
            Some((kind, sub)) if is_token(kind) && is_token(sub) => Ok(Self::Exact(text)),
            _ => Err(EXPECTED),
        }
    }
}

/// Parses `large_body`; `unknown` tells what `"token"` means for bodies of unknown length.
pub(super) fn large_body(unknown: bool) -> impl Fn(&Setting) -> Parsed<LargeBody> {
    word([
        ("reject", LargeBody::Reject),
        ("token", LargeBody::Token { unknown }),
    ])
}

pub(super) fn limits(reader: &mut Reader) -> Limits {
    const TOO_SMALL: &str =
        "expected at least `limits.body`, or the largest body could never be buffered";
    let limits = Limits {
        body: reader.get("limits.body", size("1B", "1GiB")),
        large_body: reader.get("limits.large_body_max", size("1B", "10GiB")),
        buffered: reader.get("limits.buffered", size("1B", "1PiB")),
        connections: reader.get("limits.connections", count(1)),
        header: reader.get("limits.header", size("8KiB", "1MiB")),
        answer_header: reader.get("limits.answer_header", size("8KiB", "1MiB")),
    };
    let is_wrong = reader.is_wrong("limits.body") || reader.is_wrong("limits.buffered");
    if limits.buffered < limits.body && !is_wrong {
        reader.report("limits.buffered", TOO_SMALL);
    }
    limits
}

pub(super) fn timeouts(reader: &mut Reader) -> Timeouts {
    Timeouts {
        connect: reader.get("timeouts.connect", duration),
        header_read: reader.get("timeouts.header_read", duration),
        keep_alive: reader.get("timeouts.keep_alive", duration),
        body_idle: reader.get("timeouts.body_idle", duration),
        response: reader.get("timeouts.response", duration),
        idle: reader.get("timeouts.idle", duration),
        write_idle: reader.get("timeouts.write_idle", duration),
        drain_delay: reader.get("timeouts.drain_delay", delay),
        shutdown: reader.get("timeouts.shutdown", duration),
    }
}

pub(super) fn pool(reader: &mut Reader) -> PoolConfig {
    const WARM: &str = "this is ignored, since connections are opened when they are needed\n\
        hint: remove it; the next version rejects it";
    if reader.get("pool.warm", count(0)) > 0 {
        reader.warn("pool.warm", WARM);
    }
    PoolConfig {
        connections: reader.get("pool.connections", count(1)),
        idle: reader.get("pool.idle", duration),
        age: reader.get("pool.age", duration),
        http2: reader.get("pool.http2", word([("auto", true), ("off", false)])),
    }
}

pub(super) fn log(reader: &mut Reader) -> LogConfig {
    const LEVELS: [(&str, LevelFilter); 6] = [
        ("off", LevelFilter::OFF),
        ("error", LevelFilter::ERROR),
        ("warn", LevelFilter::WARN),
        ("info", LevelFilter::INFO),
        ("debug", LevelFilter::DEBUG),
        ("trace", LevelFilter::TRACE),
    ];
    let format = word([("text", LogFormat::Text), ("json", LogFormat::Json)]);
    LogConfig {
        format: reader.get("log.format", format),
        level: reader.get("log.level", word(LEVELS)),
        access: reader.get("log.access", boolean),
    }
}
