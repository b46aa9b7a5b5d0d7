//! The requests of the demo, and what has to come of them.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::auth::Auth;
use crate::signature::PayloadHash;

const MIB: usize = 1024 * 1024;

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(60);

const PATH: &str = "/v1/infers/demo";

/// A query with all that decoders disagree on, and how it has to arrive.
const AWKWARD: (&str, &str) = (
    "q=x+y;z&a[]=2&a[]=1&empty=&bare&name=caf%C3%A9&~=%2F",
    "q=x%20y%3Bz&a[]=2&a[]=1&empty=&bare&name=caf%C3%A9&~=%2F",
);

/// One request of the demo.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) title: &'static str,
    method: Method,
    query: &'static str,
    content_type: &'static str,
    body: Bytes,
    expected: Expected,
}

#[derive(Clone, Copy, Debug)]
enum Expected {
    /// Accepted by the gateway, with the body signed or not, and this query.
    Accepted {
        auth: Auth,
        body_signed: bool,
        query: &'static str,
    },
    /// Refused by the proxy with this status and code.
    Refused(StatusCode, &'static str),
}

/// What came of a request.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) is_well: bool,
    pub(super) text: String,
}

/// All requests of the demo.
pub(super) fn calls(auth: Auth) -> Vec<Call> {
    let call = |title, method, content_type, body, expected| Call {
        title,
        method,
        query: "",
        content_type,
        body,
        expected,
    };
    // Without a signature, no body is signed either.
    let accepted = |body_signed, query| Expected::Accepted {
        auth,
        body_signed: body_signed && auth.is_signature(),
        query,
    };
    let json = "application/json";
    vec![
        call(
            "POST, JSON",
            Method::POST,
            json,
            Bytes::from_static(b"{\"a\": 1}"),
            accepted(true, ""),
        ),
        call(
            "POST, multipart with a file of 11 MiB",
            Method::POST,
            "multipart/form-data; boundary=demo",
            multipart(),
            accepted(false, ""),
        ),
        Call {
            query: AWKWARD.0,
            ..call(
                "GET, awkward query",
                Method::GET,
                "",
                Bytes::new(),
                accepted(true, AWKWARD.1),
            )
        },
        call(
            "POST, JSON of 13 MiB",
            Method::POST,
            json,
            Bytes::from(vec![b' '; 13 * MIB]),
            Expected::Refused(StatusCode::PAYLOAD_TOO_LARGE, "PROXY.body_too_large"),
        ),
    ]
}

fn multipart() -> Bytes {
    let head = "--demo\r\ncontent-disposition: form-data; name=\"file\"; filename=\"zeros.bin\"\r\ncontent-type: application/octet-stream\r\n\r\n";
    [head.as_bytes(), &vec![0; 11 * MIB], b"\r\n--demo--\r\n"]
        .concat()
        .into()
}

impl Call {
    /// Sends the request to the proxy and looks at the answer.
    pub(super) async fn run(&self, proxy: SocketAddr) -> Report {
        let started = Instant::now();
        match timeout(PATIENCE, self.send(proxy)).await {
            Ok(Ok((status, answer))) => {
                let (is_well, text) = self.judge(status, &answer);
                let verdict = if is_well {
                    ""
                } else {
                    "  <- not as it should be"
                };
                let text = format!(
                    "{} {text}, {} ms{verdict}",
                    status.as_u16(),
                    started.elapsed().as_millis()
                );
                Report { is_well, text }
            }
            Ok(Err(error)) => Report {
                is_well: false,
                text: format!("failed: {error}"),
            },
            Err(_) => Report {
                is_well: false,
                text: format!("no answer in {} s", PATIENCE.as_secs()),
            },
        }
    }

    async fn send(&self, proxy: SocketAddr) -> anyhow::Result<(StatusCode, Value)> {
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(TcpStream::connect(proxy).await?)).await?;
        let mut request = Request::builder()
            .method(&self.method)
            .header("host", proxy.to_string());
        request = request.uri(if self.query.is_empty() {
            PATH.to_owned()
        } else {
            format!("{PATH}?{}", self.query)
        });
        if !self.content_type.is_empty() {
            request = request.header("content-type", self.content_type);
        }
        let exchange = async {
            let response = sender
                .send_request(request.body(Full::new(self.body.clone()))?)
                .await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            anyhow::Ok((status, serde_json::from_slice(&body)?))
        };
        // The connection only moves while it is driven; its own end does not matter once the answer is here.
        tokio::select! {
            biased;
            answer = exchange => answer,
            Err(error) = connection => Err(error.into()),
        }
    }

    /// Whether an answer is what is expected, and what it says.
    fn judge(&self, status: StatusCode, answer: &Value) -> (bool, String) {
        match self.expected {
            Expected::Refused(expected, code) => {
                let is_well = status == expected && answer["error_code"] == code;
                let said = |name: &str| answer[name].as_str().unwrap_or_default();
                (
                    is_well,
                    format!("{}: {}", said("error_code"), said("error_msg")),
                )
            }
            Expected::Accepted {
                auth,
                body_signed,
                query,
            } => {
                let is_well = status == StatusCode::OK
                    && answer["verified"] == true
                    && answer["auth"] == auth.word()
                    && answer["path"] == PATH
                    && answer["query"] == query
                    && answer["body_signed"] == body_signed
                    && answer["body_sha256"] == PayloadHash::of(&self.body).as_str();
                let body = match body_signed {
                    true => ", body signed",
                    false if auth.is_signature() => ", body streamed, unsigned",
                    false => "",
                };
                let text = if status == StatusCode::OK {
                    let accepted = auth.accepted();
                    format!("{accepted}{body}, {} bytes", answer["body_bytes"])
                } else {
                    answer.to_string()
                };
                (is_well, text)
            }
        }
    }
}
