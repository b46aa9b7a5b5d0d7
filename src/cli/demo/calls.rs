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

const MIB: usize = 1024 * 1024;

/// The path of the demo API, as ModelArts has it.
pub(super) const PATH: &str = "/v1/infers/demo";

/// A query with all that decoders disagree on, and as the gateway receives it.
const QUERY: [&str; 2] = [
    "?q=x+y;z&a[]=2&a[]=1&empty=&bare&name=caf%C3%A9&~=%2F",
    "q=x%20y%3Bz&a[]=2&a[]=1&empty=&bare&name=caf%C3%A9&~=%2F",
];

/// One request of the demo, and the result to expect.
pub(super) struct Call {
    pub(super) title: &'static str,
    content_type: &'static str,
    body: Bytes,
    /// True if a signature covers the body.
    body_signed: bool,
}

/// The requests: a small body, a streamed one, a difficult query, and a body over the limit.
pub(super) fn calls() -> [Call; 4] {
    let call = |title, content_type, body| Call {
        title,
        content_type,
        body,
        body_signed: content_type == "application/json",
    };
    let head =
        "--demo\r\ncontent-disposition: form-data; name=\"file\"; filename=\"zeros.bin\"\r\n\r\n";
    let multipart = [head.as_bytes(), &vec![0; 11 * MIB], b"\r\n--demo--\r\n"].concat();
    let json = "application/json";
    [
        call("POST, JSON", json, Bytes::from_static(b"{\"a\": 1}")),
        call(
            "POST, file of 11 MiB",
            "multipart/form-data; boundary=demo",
            multipart.into(),
        ),
        call("GET, difficult query", json, Bytes::new()),
        call("POST, JSON of 13 MiB", json, vec![b' '; 13 * MIB].into()),
    ]
}

impl Call {
    /// Sends the request to the proxy.
    pub(super) async fn send(&self, proxy: SocketAddr) -> anyhow::Result<Response<Bytes>> {
        let [method, query] = if self.body.is_empty() {
            ["GET", QUERY[0]]
        } else {
            ["POST", ""]
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("{PATH}{query}"))
            .header("host", proxy.to_string())
            .header("content-type", self.content_type)
            .body(Full::new(self.body.clone()))?;
        exchange(TcpStream::connect(proxy).await?, request).await
    }

    /// What a response says, if it is the expected one.
    pub(super) fn check(&self, response: &Response<Bytes>, auth: Auth) -> anyhow::Result<String> {
        let status = response.status().as_u16();
        let answer: Value = serde_json::from_slice(response.body())?;
        if self.body_signed && self.body.len() > 12 * MIB {
            let is_expected = status == 413 && answer["error_code"] == "PROXY.body_too_large";
            anyhow::ensure!(is_expected, "{status} {answer}");
            return Ok(format!(
                "{status} PROXY.body_too_large, as the gateway would refuse it"
            ));
        }
        // Without a signature, no body is signed either.
        let body_signed = self.body_signed && auth == Auth::Aksk;
        let query = if self.body.is_empty() { QUERY[1] } else { "" };
        let is_expected = status == 200
            && answer["verified"] == true
            && answer["auth"] == auth.name()
            && answer["path"] == PATH
            && answer["query"] == query
            && answer["body_signed"] == body_signed
            && answer["body_sha256"] == PayloadHash::new(&self.body).as_str();
        anyhow::ensure!(is_expected, "{status} {answer}");
        let body = if body_signed { "signed" } else { "unsigned" };
        Ok(format!(
            "{status} {}, {} bytes {body}",
            auth.accepted(),
            self.body.len()
        ))
    }
}
