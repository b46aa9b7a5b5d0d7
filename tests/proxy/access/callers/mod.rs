//! Callers with a credential that the proxy has issued: how they are identified, what they may do, and
//! that the credential is not forwarded.

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

use crate::support::{Proxy, Received, Upstream, config, in_chunks, request};

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
        let token = self.caller.token.expose_secret();
        format!("Authorization: Bearer {token}")
    }

    /// A path with the capability of the caller.
    fn path(&self, path: &str) -> String {
        format!("/~{}{path}", self.caller.capability.expose_secret())
    }

    /// Checks that a request is signed by the real key and has no credential of the caller.
    fn assert_clean(&self, seen: &Received) {
        seen.verified();
        let caller = &self.caller;
        let secrets = [&caller.secret_key, &caller.token, &caller.capability];
        let secrets = secrets.map(ExposeSecret::expose_secret);
        let values = seen
            .headers
            .iter()
            .map(|(_, value)| String::from_utf8_lossy(value));
        let text = values.fold(seen.line.clone(), |text, value| text + "\n" + &value);
        for part in secrets.into_iter().chain([&*caller.access_key]) {
            assert!(!text.contains(part), "{part} in {text}");
        }
    }
}

/// A request that a caller signs.
struct Signed<'a> {
    signer: Signer,
    algorithm: Algorithm<'a>,
    line: &'a str,
    body: &'a [u8],
    /// The value of `X-Sdk-Content-Sha256`; `None` for the hash of the body.
    declared: Option<String>,
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

    /// The head, and the body with its length or in chunks.
    fn bytes_in(&self, chunks: &[&[u8]]) -> Vec<u8> {
        let (method, target) = self.line.split_once(' ').unwrap();
        let (hash, headers) = (self.hash(), [("host", "localhost")]);
        let payload = self
            .declared
            .as_deref()
            .map_or(Payload::Hash(&hash), Payload::Declared);
        let target = Target::received(target).unwrap();
        let (algorithm, date) = (self.algorithm, &self.date);
        let canonical = CanonicalRequest::new(algorithm, method, target, &headers, date, payload);
        let authorization = self.signer.sign(&canonical.unwrap());
        let mut fields = format!(
            "X-Sdk-Date: {date}|Authorization: {authorization}|{}",
            self.fields
        );
        if let Some(declared) = &self.declared {
            fields += &format!("|{}: {declared}", algorithm.content_hash_header());
        }
        if chunks.is_empty() {
            return request(self.line, &fields, self.body);
        }
        fields += "|Transfer-Encoding: chunked";
        [request(self.line, &fields, ""), in_chunks(chunks)].concat()
    }

    fn bytes(&self) -> Vec<u8> {
        self.bytes_in(&[])
    }
}
