//! Callers that show a credential of the proxy's own: how they are identified, what they may do, and
//! that nothing of the credential goes on.

mod addresses;
mod identified;
mod refused;
mod rights;
mod running;

use apig_proxy::clock;
use apig_proxy::config::{Callers, Config, IssuedCaller, ListenRules, Rights};
use apig_proxy::signature::{
    Algorithm, CanonicalRequest, Payload, PayloadHash, PayloadHasher, Signer, SigningDate, Target,
};
use secrecy::ExposeSecret;

use crate::support::{Proxy, Received, Upstream, config, request};

/// A caller, the proxy that knows it, and what the proxy forwards to.
struct Stage {
    proxy: Proxy,
    upstream: Upstream,
    caller: IssuedCaller,
}

impl Stage {
    /// A proxy that requires a caller, which has these rights.
    fn new(rights: Rights) -> Self {
        Self::before(Upstream::start(), rights, |_| {})
    }

    fn before(upstream: Upstream, rights: Rights, change: impl FnOnce(&mut Config)) -> Self {
        let (caller, surrogate) = IssuedCaller::new("ci", rights);
        let mut config = config(&upstream);
        config.callers = Callers::fixed(vec![surrogate]);
        config.listen_rules = vec![ListenRules {
            requires_caller: true,
            ..ListenRules::default()
        }];
        change(&mut config);
        Self {
            proxy: Proxy::start(&config),
            upstream,
            caller,
        }
    }

    fn signer(&self) -> Signer {
        Signer::new(&self.caller.access_key, &self.caller.secret_key)
    }

    /// The field of a caller with a token.
    fn bearer(&self) -> String {
        format!(
            "Authorization: Bearer {}",
            self.caller.token.expose_secret()
        )
    }

    /// A path with the capability of the caller.
    fn path(&self, path: &str) -> String {
        format!("/~{}{path}", self.caller.capability.expose_secret())
    }

    /// Checks that a request is signed by the real key, and that nothing of the caller's is in it.
    fn assert_clean(&self, seen: &Received) {
        seen.verified();
        let caller = &self.caller;
        let text = format!("{seen:?}");
        let secrets = [&caller.secret_key, &caller.token, &caller.capability];
        for part in secrets
            .map(|secret| secret.expose_secret())
            .into_iter()
            .chain([&*caller.access_key])
        {
            assert!(!text.contains(part), "{part} in {text}");
        }
        for (_, value) in &seen.headers {
            assert!(
                !String::from_utf8_lossy(value).contains(&caller.access_key),
                "{text}"
            );
        }
    }
}

/// A request that a caller signs.
struct Signed<'a> {
    signer: Signer,
    algorithm: Algorithm<'a>,
    line: &'a str,
    body: &'a [u8],
    /// What stands for the body, instead of its hash.
    declared: Option<&'a str>,
    date: SigningDate,
    /// Further fields, separated by `|`, which are not signed.
    fields: &'a str,
}

impl<'a> Signed<'a> {
    fn new(stage: &Stage, line: &'a str, body: &'a [u8]) -> Self {
        Self::by(stage.signer(), line, body)
    }

    fn by(signer: Signer, line: &'a str, body: &'a [u8]) -> Self {
        Self {
            signer,
            algorithm: Algorithm::default(),
            line,
            body,
            declared: None,
            date: clock::signing_date(),
            fields: "",
        }
    }

    fn hash(&self) -> PayloadHash {
        let mut hasher = PayloadHasher::new(self.algorithm);
        hasher.update(self.body);
        hasher.finish()
    }

    /// All fields of the request.
    fn fields(&self) -> String {
        let (method, target) = self.line.split_once(' ').unwrap();
        let hash = self.hash();
        let payload = self
            .declared
            .map_or(Payload::Hash(&hash), Payload::Declared);
        let target = Target::received(target).unwrap();
        let headers = [("host", "localhost")];
        let canonical = CanonicalRequest::with_algorithm(
            self.algorithm,
            method,
            target,
            &headers,
            &self.date,
            payload,
        );
        let authorization = self.signer.sign(&canonical.unwrap());
        let mut fields = format!(
            "X-Sdk-Date: {}|Authorization: {authorization}",
            self.date.as_str()
        );
        if let Some(declared) = self.declared {
            fields += &format!(
                "|X-Sdk-Content-{}: {declared}",
                match self.algorithm {
                    Algorithm::HmacSm3 => "Sm3",
                    _ => "Sha256",
                }
            );
        }
        if !self.fields.is_empty() {
            fields += &format!("|{}", self.fields);
        }
        fields
    }

    fn bytes(&self) -> Vec<u8> {
        request(self.line, &self.fields(), self.body)
    }

    /// The request with its body in chunks.
    fn chunked(&self) -> Vec<u8> {
        let mut bytes = request(
            self.line,
            &(self.fields() + "|Transfer-Encoding: chunked"),
            "",
        );
        let (first, rest) = self.body.split_at(1);
        for chunk in [first, rest] {
            bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
            bytes.extend([chunk, b"\r\n"].concat());
        }
        bytes.extend(b"0\r\n\r\n");
        bytes
    }
}
