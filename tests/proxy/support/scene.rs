//! A proxy between a caller and an upstream, and what must hold after every fault.

use std::time::Duration;

use apig_proxy::config::Config;

use super::{Answer, Client, Proxy, Received, Upstream, answer, config, ok};

/// A proxy before an upstream.
pub(crate) struct Scene {
    pub(crate) upstream: Upstream,
    pub(crate) proxy: Proxy,
}

/// The body of the answers of [`Scene::plain`].
pub(crate) const ANSWERED: &str = "{\"ok\":true}";

impl Scene {
    /// With an upstream that answers everything with 200, and the default configuration.
    pub(crate) fn plain() -> Self {
        Self::before(Upstream::start())
    }

    pub(crate) fn before(upstream: Upstream) -> Self {
        Self::with(upstream, |_| {})
    }

    /// With a changed configuration.
    pub(crate) fn with(upstream: Upstream, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = config(&upstream);
        change(&mut config);
        let proxy = Proxy::start(&config);
        Self { upstream, proxy }
    }

    pub(crate) fn client(&self) -> Client {
        self.proxy.client()
    }

    /// Sends a GET of this path over a connection of its own and reads the answer.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.proxy.get(path)
    }

    /// Sends one request over a connection of its own and reads the answer.
    pub(crate) fn exchange(&self, request: impl AsRef<[u8]>) -> Answer {
        self.proxy.exchange(request)
    }

    /// Sends a request over so many connections at once, and reads the answers.
    pub(crate) fn at_once(&self, count: usize, request: impl AsRef<[u8]>) -> Vec<Answer> {
        let mut clients: Vec<Client> = (0..count).map(|_| self.client()).collect();
        for client in &mut clients {
            client.send(&request);
        }
        clients.iter_mut().map(Client::answer).collect()
    }

    /// As [`Self::exchange`], and the answer must be 200.
    #[track_caller]
    pub(crate) fn passes(&self, request: impl AsRef<[u8]>) -> Answer {
        self.proxy.passes(request)
    }

    /// Sends bytes over a connection of their own. The proxy itself must answer with
    /// this error, nothing may reach the upstream, and the next request must be served.
    pub(crate) fn refuses(&self, request: impl AsRef<[u8]>, status: u16, code: &str) -> Answer {
        let request = request.as_ref();
        let before = self.upstream.requests().len();
        let mut client = self.client();
        // The proxy may have answered and closed before all was sent.
        let _ = client.try_send(request);
        let answer = client.answer();
        let text = String::from_utf8_lossy(&request[..request.len().min(300)]).into_owned();
        own_code(&answer);
        answer.about(&text).assert_refused(status, code);
        assert_eq!(self.upstream.requests().len(), before, "{text:?}");
        self.serves();
        answer
    }

    /// As [`Self::refuses`], and the connection is closed after the answer, which says so.
    pub(crate) fn refuses_and_closes(
        &self,
        request: impl AsRef<[u8]>,
        status: u16,
        code: &str,
    ) -> Answer {
        let answer = self.refuses(request.as_ref(), status, code);
        assert_eq!(answer.header("connection"), "close");
        let mut client = self.client();
        let _ = client.try_send(request.as_ref());
        client.answer();
        assert!(client.is_closed());
        answer
    }

    /// The next request is served, and arrives as it was sent.
    pub(crate) fn serves(&self) {
        let before = self.upstream.requests().len();
        let answer = self.proxy.get("/next");
        assert_eq!(answer.status, 200, "the next request: {}", answer.text());
        let requests = self.upstream.requests();
        assert_eq!(requests.len(), before + 1);
        assert_eq!(requests[before].line, "GET /next HTTP/1.1");
        requests[before].verified();
    }

    /// The only request that arrived, apart from those of [`Self::serves`].
    pub(crate) fn arrived(&self) -> Received {
        let mut requests = self.upstream.requests();
        requests.retain(|seen| seen.target() != "/next");
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests.remove(0)
    }
}

/// The code of an error of the proxy, which no web page may read.
pub(crate) fn own_code(answer: &Answer) -> String {
    answer.assert_without(&["access-control-allow-origin"]);
    for (name, value) in [
        ("x-content-type-options", "nosniff"),
        ("cross-origin-resource-policy", "same-origin"),
        ("content-security-policy", "default-src 'none'; sandbox"),
    ] {
        assert_eq!(answer.header(name), value);
    }
    answer.code()
}

/// An error of the gateway with this code.
pub(crate) fn gateway_error(status: &str, code: &str, message: &str) -> String {
    let body =
        format!("{{\"error_msg\":\"{message}\",\"error_code\":\"{code}\",\"request_id\":\"1\"}}");
    answer(status, "content-type: application/json\r\n", &body)
}

/// The gateway's refusal of a signature.
pub(crate) fn wrong_signature() -> String {
    let message = "Incorrect IAM authentication information: verify aksk signature fail";
    gateway_error("401 Unauthorized", "APIG.0301", message)
}

/// An upstream that runs `fault` on the request for `/fault`, and answers all others.
pub(crate) fn faulty(
    fault: impl Fn(&mut super::Link) -> std::io::Result<()> + Send + Sync + 'static,
) -> Upstream {
    Upstream::handling(move |link| {
        while let Some(seen) = link.request()? {
            if seen.target() == "/fault" {
                return fault(link);
            }
            link.send(ok(ANSWERED))?;
        }
        Ok(())
    })
}

/// A GET for `/fault`.
pub(crate) const FAULT: &str = "GET /fault HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// The rows of a table in a text: one a line, with ` | ` between the columns. What begins with `#` is a comment.
pub(crate) fn rows<const N: usize>(table: &str) -> impl Iterator<Item = [&str; N]> {
    let lines = table.lines().map(str::trim);
    let rows = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    rows.map(|row| {
        let columns: Vec<&str> = row.split(" |").map(str::trim).collect();
        columns.try_into().unwrap_or_else(|_| panic!("{row}"))
    })
}

/// Polls until something holds, and fails if it does not.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if holds() {
            return;
        }
        pause(Duration::from_millis(5));
    }
    panic!("it did not happen in time: {what}");
}

/// Waits.
pub(crate) fn pause(time: Duration) {
    #[expect(clippy::disallowed_methods, reason = "no runtime runs here")]
    std::thread::sleep(time);
}
