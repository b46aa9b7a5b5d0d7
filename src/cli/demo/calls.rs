//! The requests of the demo, and their expected results.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use serde_json::Value;
use tokio::net::TcpStream;

use super::super::exchange::exchange;
use super::Auth;
use crate::signature::PayloadHash;

/// One mebibyte in bytes.
const MIB: usize = 1024 * 1024;

/// The path of the demo API, as ModelArts has it.
pub(super) const PATH: &str = "/v1/infers/demo";

/// One request of the demo, and the result to expect.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) title: &'static str,
    content_type: &'static str,
    query: &'static str,
    body: Bytes,
    /// The query as the gateway receives it; `None` if the proxy refuses the body.
    received: Option<&'static str>,
    /// True if a signature covers the body.
    body_signed: bool,
}

/// The requests: a small body, a streamed one, a difficult query, and a body over the limit.
pub(super) fn calls() -> [Call; 4] {
    let json = Call {
        title: "POST, JSON",
        content_type: "application/json",
        query: "",
        body: Bytes::from_static(b"{\"a\": 1}"),
        received: Some(""),
        body_signed: true,
    };
    let head =
        "--demo\r\ncontent-disposition: form-data; name=\"file\"; filename=\"zeros.bin\"\r\n\r\n";
    let multipart = [head.as_bytes(), &vec![0; 11 * MIB], b"\r\n--demo--\r\n"].concat();
    [
        json.clone(),
        Call {
            title: "POST, file of 11 MiB",
            content_type: "multipart/form-data; boundary=demo",
            body: multipart.into(),
            body_signed: false,
            ..json.clone()
        },
        Call {
            title: "GET, awkward query",
            content_type: "text/plain",
            // All that decoders disagree on.
            query: "?q=x+y;z&a[]=2&a[]=1&empty=&bare&name=caf%C3%A9&~=%2F",
            body: Bytes::new(),
            received: Some("q=x%20y%3Bz&a[]=2&a[]=1&empty=&bare&name=caf%C3%A9&~=%2F"),
            ..json.clone()
        },
        Call {
            title: "POST, JSON of 13 MiB",
            body: vec![b' '; 13 * MIB].into(),
            received: None,
            ..json
        },
    ]
}

impl Call {
    /// Sends the request to the proxy.
    pub(super) async fn send(&self, proxy: SocketAddr) -> anyhow::Result<Response<Bytes>> {
        let method = if self.body.is_empty() { "GET" } else { "POST" };
        let request = Request::builder()
            .method(method)
            .uri(format!("{PATH}{}", self.query))
            .header("host", proxy.to_string())
            .header("content-type", self.content_type)
            .body(Full::new(self.body.clone()))?;
        exchange(TcpStream::connect(proxy).await?, request).await
    }

    /// What a response says, if it is the expected one.
    pub(super) fn check(&self, response: &Response<Bytes>, auth: Auth) -> anyhow::Result<String> {
        let status = response.status().as_u16();
        let answer: Value = serde_json::from_slice(response.body())?;
        let text = |key: &str| answer[key].as_str().unwrap_or_default();
        let Some(query) = self.received else {
            let code = text("error_code");
            anyhow::ensure!(
                status == 413 && code == "PROXY.body_too_large",
                "{status} {answer}"
            );
            return Ok(format!("{status} {code}"));
        };
        // Without a signature, no body is signed either.
        let body_signed = self.body_signed && auth == Auth::Aksk;
        let is_expected = status == 200
            && answer["verified"] == true
            && text("auth") == auth.name()
            && text("path") == PATH
            && text("query") == query
            && answer["body_signed"] == body_signed
            && text("body_sha256") == PayloadHash::new(&self.body).as_str();
        anyhow::ensure!(is_expected, "{status} {answer}");
        let accepted = auth.texts().1;
        let body = if body_signed { "signed" } else { "unsigned" };
        Ok(format!(
            "{status} {accepted}, {} bytes {body}",
            self.body.len()
        ))
    }
}
