//! A response as the caller has it, and what tests check of it.

use super::wire::Field;

/// A response.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status line; empty over HTTP/2.
    pub(crate) line: String,
    pub(crate) status: u16,
    /// Also the trailers, whose names begin with `trailer `.
    pub(crate) headers: Vec<Field>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// All values of a header.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        let headers = self.headers.iter();
        let named = headers.filter(|header| header.0.eq_ignore_ascii_case(name));
        let values = named.map(|header| String::from_utf8_lossy(&header.1).into_owned());
        values.collect()
    }

    /// The value of a header that must be there once.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> String {
        let mut values = self.all(name);
        assert_eq!(values.len(), 1, "{name} in {self:?}");
        values.remove(0)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The names of all headers, in their order.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.headers.iter().map(|header| &*header.0).collect()
    }

    #[track_caller]
    pub(crate) fn assert_status(&self, status: u16) {
        assert_eq!(self.status, status, "{}", self.text());
    }

    /// Checks the status and the whole body.
    #[track_caller]
    pub(crate) fn assert_text(&self, status: u16, text: &str) {
        assert_eq!((self.status, &*self.text()), (status, text));
    }

    /// Checks the status and the code of an answer of the proxy's own.
    #[track_caller]
    pub(crate) fn assert_refused(&self, status: u16, code: &str) {
        let got = (self.status, &*self.code());
        assert_eq!(got, (status, code), "{}", self.text());
    }

    /// Checks the status and a header.
    #[track_caller]
    pub(crate) fn assert_header(&self, status: u16, name: &str, value: &str) {
        assert_eq!((self.status, &*self.header(name)), (status, value));
    }

    /// Checks that none of these headers is there.
    #[track_caller]
    pub(crate) fn assert_without(&self, names: &[&str]) {
        for name in names {
            assert_eq!(self.all(name), [""; 0], "{name}");
        }
    }

    /// Prints the case of a table that this is the answer to, for when the check after it fails.
    #[expect(clippy::print_stderr, reason = "the output of a test that fails")]
    pub(crate) fn about(&self, case: impl std::fmt::Debug) -> &Self {
        eprintln!("{case:?}");
        self
    }

    /// Checks that the body contains a text.
    #[track_caller]
    pub(crate) fn assert_says(&self, part: &str) {
        assert!(self.text().contains(part), "{}", self.text());
    }

    /// Checks that neither the headers nor the body contain a text.
    #[track_caller]
    pub(crate) fn assert_hides(&self, part: &str) {
        let values = self.headers.iter().map(|header| &header.1);
        for value in values.chain([&self.body]) {
            let value = String::from_utf8_lossy(value);
            assert!(!value.contains(part), "{part} in {value}");
        }
    }

    /// Checks that the hint in the header contains a text.
    #[track_caller]
    pub(crate) fn assert_hints(&self, part: &str) {
        let hint = self.header("x-apig-proxy-hint");
        assert!(hint.to_lowercase().contains(part), "{hint}");
    }

    /// The code of an answer of the proxy's own, whose shape is checked.
    pub(crate) fn code(&self) -> String {
        let text = self.text();
        let body: serde_json::Value = serde_json::from_str(&text).expect(&text);
        assert_eq!(self.header("content-type"), "application/json");
        assert_eq!(body["request_id"], *self.header("x-request-id"));
        let status = self.header("proxy-status");
        assert!(status.starts_with("apig-proxy; error="), "{status}");
        assert_ne!(body["error_msg"], "");
        let code = body["error_code"].as_str().unwrap();
        code.strip_prefix("PROXY.").expect(code).to_owned()
    }
}
