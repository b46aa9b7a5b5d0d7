//! Judges a request as API Gateway does: limits, stage, signature.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use secrecy::{ExposeSecret, SecretString};

use super::Now;
use super::lockout::Lockout;
use crate::credentials::Credentials;
use crate::signature::{
    PayloadHash, PayloadHasher, Presented, ReceivedRequest, Refusal, Signer, SigningDate, Verified,
    verify,
};

/// Longest body (ModelArts, access over the public network: 12 MB).
const BODY: u64 = 12 * 1024 * 1024;
/// Longest target (APIG, notes and constraints).
const TARGET: usize = 32 * 1024;
/// Longest header.
const HEADER: usize = 32 * 1024;
/// All headers together.
const HEADERS: usize = 128 * 1024;
/// How far a date may be off.
const WINDOW: Duration = Duration::from_secs(15 * 60);
/// How much of a body that is too long is read before it is refused, so that the caller gets the answer.
const DRAINED: u64 = 4 * BODY;

/// What the gateway knows.
pub(super) struct Gateway {
    keys: HashMap<String, (Signer, Option<SecretString>)>,
    lockout: Lockout,
    now: Now,
}

/// A request that was verified.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: ReadBody,
    pub(super) verified: Verified,
}

/// A body that was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadBody {
    pub(super) length: u64,
    pub(super) hash: PayloadHash,
}

/// A refusal, with the gateway's own code and message.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
    /// Whether the connection ends with it.
    pub(super) closes: bool,
}

impl Gateway {
    pub(super) fn new(keys: &[Credentials], now: Now) -> Self {
        let keys = keys.iter().map(|key| {
            let signer = Signer::new(&key.access_key, &key.secret_key);
            (key.access_key.clone(), (signer, key.security_token.clone()))
        });
        Self {
            keys: keys.collect(),
            lockout: Lockout::default(),
            now,
        }
    }

    /// Judges a request, and reads its body.
    pub(super) async fn judge(&self, request: Request<Incoming>) -> Result<Accepted, Refused> {
        let (parts, body) = request.into_parts();
        let target = parts
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str());
        check_head(target, &parts.headers)?;
        let body = read(body).await?;
        check_stage(&parts.headers)?;
        let headers: Vec<(&str, &[u8])> = parts
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        let method = parts.method.as_str();
        let received = ReceivedRequest {
            method,
            target,
            headers: &headers,
            body: &body.hash,
        };
        let verified = self.verify(&received, &parts.headers)?;
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let shown = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), shown(name, value)));
        Ok(Accepted {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: shown.collect(),
            body,
            verified,
        })
    }

    fn verify(
        &self,
        request: &ReceivedRequest<'_>,
        headers: &HeaderMap,
    ) -> Result<Verified, Refused> {
        let now = (self.now)();
        let date = SigningDate::from_unix_seconds(now).map_err(|_| unauthorized("Unauthorized"))?;
        let presented = headers
            .get("authorization")
            .and_then(|value| value.to_str().ok());
        let access_key = presented
            .and_then(|text| Presented::parse(text).ok())
            .map(|presented| presented.access_key);
        if let Some(access_key) = access_key
            && self.lockout.is_locked(access_key, now)
        {
            return Err(unauthorized(
                "AK access failed to reach the limit,forbidden.",
            ));
        }
        let token = headers.get("x-security-token").map(HeaderValue::as_bytes);
        let verified = verify(
            request,
            |access_key| self.signer(access_key, token),
            &date,
            WINDOW,
        );
        match (&verified, access_key) {
            (Ok(_), Some(access_key)) => self.lockout.succeeded(access_key),
            (Err(Refusal::Mismatch { .. }), Some(access_key)) => {
                self.lockout.failed(access_key, now)
            }
            _ => {}
        }
        verified.map_err(|refusal| unauthorized(&message(&refusal)))
    }

    /// The key of an access key id. A temporary one is known only together with its token.
    fn signer(&self, access_key: &str, token: Option<&[u8]>) -> Option<&Signer> {
        let (signer, needed) = self.keys.get(access_key)?;
        let needed = needed
            .as_ref()
            .map(|token| token.expose_secret().as_bytes());
        (needed == token).then_some(signer)
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("keys", &self.keys.len())
            .finish_non_exhaustive()
    }
}

fn check_head(target: &str, headers: &HeaderMap) -> Result<(), Refused> {
    if target.len() > TARGET {
        return Err(refused(414, "APIG.0201", "Request URI too large."));
    }
    let sizes: Vec<usize> = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .collect();
    if sizes.iter().any(|size| *size > HEADER) || sizes.iter().sum::<usize>() > HEADERS {
        return Err(refused(494, "APIG.0201", "Request headers too large."));
    }
    Ok(())
}

fn check_stage(headers: &HeaderMap) -> Result<(), Refused> {
    let stages: Vec<_> = headers
        .get_all("x-stage")
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if stages == [b"RELEASE"] {
        return Ok(());
    }
    Err(refused(
        404,
        "APIG.0101",
        "The API does not exist or has not been published in the environment",
    ))
}

/// Reads a body: its hash and length are kept, its bytes are not.
async fn read(mut body: Incoming) -> Result<ReadBody, Refused> {
    let too_large = || Refused {
        closes: true,
        ..refused(413, "APIG.0201", "Request entity too large.")
    };
    if body
        .size_hint()
        .exact()
        .is_some_and(|length| length > DRAINED)
    {
        return Err(too_large());
    }
    let mut hasher = PayloadHasher::default();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| refused(400, "APIG.0201", "API request error."))?;
        if let Some(piece) = frame.data_ref() {
            length += piece.len() as u64;
            hasher.update(piece);
        }
        if length > DRAINED {
            break;
        }
    }
    if length > BODY {
        Err(too_large())
    } else {
        Ok(ReadBody {
            length,
            hash: hasher.finish(),
        })
    }
}

/// The gateway's words for a refusal (APIG FAQ, messages of APIG.0301).
fn message(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Authorization => "x-auth-token not found".to_owned(),
        Refusal::UnknownKey { access_key } => {
            format!("Get secretKey failed,ak:{access_key},err:ak not exist")
        }
        Refusal::Expired { signed, now } => format!(
            "calc aksk signature fail:signature expired, signature time:{signed},server time:{now}"
        ),
        Refusal::Mismatch { canonical } => {
            format!(
                "verify aksk signature fail, canonicalRequest:{}",
                canonical.replace('\n', "|")
            )
        }
        Refusal::MissingHeader(name) | Refusal::RepeatedHeader(name) => {
            format!("calc aksk signature fail:signed header {name} not found")
        }
        Refusal::DateNotSigned => "calc aksk signature fail:x-sdk-date not signed".to_owned(),
        Refusal::Malformed | Refusal::LegacyForm | Refusal::NotCanonical(_) => {
            "Unauthorized".to_owned()
        }
    }
}

fn unauthorized(message: &str) -> Refused {
    refused(
        401,
        "APIG.0301",
        &format!("Incorrect IAM authentication information: {message}"),
    )
}

fn refused(status: u16, code: &'static str, message: &str) -> Refused {
    let status = StatusCode::from_u16(status).expect("the gateway's status codes are valid");
    Refused {
        status,
        code,
        message: message.to_owned(),
        closes: false,
    }
}

/// A header value as an answer shows it.
fn shown(name: &str, value: &[u8]) -> String {
    if name == "x-security-token" {
        return "[redacted]".to_owned();
    }
    // One character for each byte, so that nothing is lost.
    value.iter().map(|byte| char::from(*byte)).collect()
}
