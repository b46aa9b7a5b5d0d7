//! Puts a request together from arguments, and signs it.

use std::fs::File;
use std::io::{self, Read};

use secrecy::ExposeSecret;

use super::super::described::Described;
use super::super::url::Url;
use super::{SignArguments, SignError};
use crate::credentials::Credentials;
use crate::signature::{
    CONTENT_HASH_HEADER, CanonicalRequest, DATE_HEADER, Payload, PayloadHash, PayloadHasher,
    Signer, SigningDate, Target, UNSIGNED_PAYLOAD,
};

/// A signed request, with every stage of its signature.
#[derive(Debug)]
pub(super) struct SignedRequest {
    pub(super) method: String,
    /// As it has to be sent.
    pub(super) url: String,
    /// All headers to send, in the order in which they are sent.
    pub(super) headers: Vec<(String, String)>,
    pub(super) canonical_request: String,
    pub(super) string_to_sign: String,
    pub(super) authorization: String,
}

impl SignedRequest {
    pub(super) fn new(
        arguments: &SignArguments,
        credentials: &Credentials,
        now: SigningDate,
    ) -> Result<Self, SignError> {
        let url = Url::parse(&arguments.url).ok_or(SignError::Url)?.respelt();
        let mut headers = Headers::of(&arguments.request)?;
        let given = headers.take(DATE_HEADER);
        let date = match arguments.date.as_ref().or(given.as_ref()) {
            Some(date) => SigningDate::parse(date)?,
            None => now,
        };
        headers.complete(&url, credentials);
        let hash = body_hash(&arguments.request)?;
        let declared = headers
            .take(CONTENT_HASH_HEADER)
            .filter(|value| !value.is_empty());
        let declared = match (arguments.unsigned_payload, hash == PayloadHash::EMPTY) {
            (true, true) => return Err(SignError::EmptyPayload),
            (true, false) => Some(UNSIGNED_PAYLOAD.to_owned()),
            (false, _) => declared,
        };
        Self::sign(
            arguments.request.method().to_owned(),
            &url,
            headers,
            declared.as_deref(),
            &hash,
            &date,
            credentials,
        )
    }

    fn sign(
        method: String,
        url: &Url,
        mut headers: Headers,
        declared: Option<&str>,
        hash: &PayloadHash,
        date: &SigningDate,
        credentials: &Credentials,
    ) -> Result<Self, SignError> {
        let payload = declared.map_or(Payload::Hash(hash), Payload::Declared);
        let pairs: Vec<(&str, &str)> = headers
            .0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let canonical =
            CanonicalRequest::new(&method, Target::parse(&url.target)?, &pairs, date, payload)?;
        let signer = Signer::new(&credentials.access_key, &credentials.secret_key);
        let authorization = signer.sign(&canonical);
        let (canonical_request, string_to_sign) =
            (canonical.to_string(), canonical.string_to_sign());
        headers.0.push((DATE_HEADER.to_owned(), date.to_string()));
        headers
            .0
            .extend(declared.map(|value| (CONTENT_HASH_HEADER.to_owned(), value.to_owned())));
        headers
            .0
            .push(("authorization".to_owned(), authorization.clone()));
        let url = format!("{}{}", url.origin, url.target);
        Ok(Self {
            method,
            url,
            headers: headers.0,
            canonical_request,
            string_to_sign,
            authorization,
        })
    }
}

/// Headers as they were given.
#[derive(Debug)]
struct Headers(Vec<(String, String)>);

impl Headers {
    fn of(request: &Described) -> Result<Self, SignError> {
        let parse = |header: Option<(&str, &str)>| {
            let (name, value) = header.ok_or(SignError::Header)?;
            let value = value.trim_matches([' ', '\t']);
            Ok((name.to_owned(), value.to_owned()))
        };
        request
            .headers()
            .map(parse)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Adds the host, and the token of a temporary key, unless they were given.
    fn complete(&mut self, url: &Url, credentials: &Credentials) {
        let host = self.take("host").unwrap_or_else(|| url.host.clone());
        self.0.insert(0, ("host".to_owned(), host));
        let is_token =
            |header: &(String, String)| header.0.eq_ignore_ascii_case("x-security-token");
        if let Some(token) = &credentials.security_token
            && !self.0.iter().any(is_token)
        {
            self.0.push((
                "x-security-token".to_owned(),
                token.expose_secret().to_owned(),
            ));
        }
    }

    /// Takes a header out, if it was given.
    fn take(&mut self, name: &str) -> Option<String> {
        let at = self
            .0
            .iter()
            .position(|header| header.0.eq_ignore_ascii_case(name))?;
        Some(self.0.remove(at).1)
    }
}

/// The hash of the body, which is read piece by piece.
fn body_hash(request: &Described) -> Result<PayloadHash, SignError> {
    let Some(path) = &request.data_file else {
        return Ok(PayloadHash::of(
            request.data.as_deref().unwrap_or_default().as_bytes(),
        ));
    };
    let failed = |error: io::Error| SignError::Data(error.kind());
    let mut source: Box<dyn Read> = if request.reads_standard_input() {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path).map_err(failed)?)
    };
    let mut hasher = PayloadHasher::default();
    let mut piece = vec![0; 64 * 1024];
    loop {
        match source.read(&mut piece).map_err(failed)? {
            0 => return Ok(hasher.finish()),
            length => hasher.update(&piece[..length]),
        }
    }
}
