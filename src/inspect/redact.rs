//! Which values are secrets, and what is shown instead of one.

use std::sync::Arc;

/// What is kept and shown of requests.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// How much of each body is kept, in bytes.
    pub(super) bodies: usize,
    /// Names of headers, in lower case, whose values are shown although they look like secrets.
    reveal: Vec<String>,
    key: Arc<[u8; 32]>,
}

impl Rules {
    /// Rules with a key of their own for the hashes of hidden values.
    pub(super) fn new(bodies: usize, reveal: &[String]) -> Self {
        let mut key = [0; 32];
        let random = rustls::crypto::aws_lc_rs::default_provider().secure_random;
        // Without randomness, no TLS connection is made either.
        let _ = random.fill(&mut key);
        let key = Arc::new(key);
        Self {
            bodies,
            reveal: Vec::new(),
            key,
        }
        .changed(bodies, reveal)
    }

    /// Other rules with the same key.
    pub(super) fn changed(&self, bodies: usize, reveal: &[String]) -> Self {
        Self {
            bodies,
            reveal: reveal
                .iter()
                .map(|name| name.to_ascii_lowercase())
                .collect(),
            key: Arc::clone(&self.key),
        }
    }
}
