//! A cloud of plain HTTP that gives secrets which can be recognised, and repeats what it was sent whenever it
//! refuses: the worst that services and gateways do with secrets.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// A cloud.
pub(super) struct Echo {
    pub(super) address: SocketAddr,
    /// True if the services refuse requests.
    pub(super) refuses: Arc<AtomicBool>,
}

impl Echo {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let echo = Self {
            address: listener.local_addr().unwrap(),
            refuses: Arc::default(),
        };
        let refuses = Arc::clone(&echo.refuses);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let refuses = Arc::clone(&refuses);
                thread::spawn(move || serve(stream?, &refuses));
            }
            io::Result::Ok(())
        });
        echo
    }
}

fn serve(stream: TcpStream, refuses: &AtomicBool) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let length = head.lines().find_map(|line| {
        line.to_lowercase()
            .strip_prefix("content-length: ")?
            .parse()
            .ok()
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let target = head.split(' ').nth(1).unwrap_or_default();
    let (status, headers, answer) = if target.starts_with("/v1") {
        gateway(target, &head)
    } else if refuses.load(Ordering::SeqCst) {
        let sent = head.clone() + &String::from_utf8_lossy(&body);
        ("403 Forbidden", "", refusal("STS5.1106", &sent))
    } else {
        service(target)
    };
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{answer}",
        answer.len()
    )
}

fn refusal(code: &str, sent: &str) -> String {
    serde_json::json!({ "error_code": code, "error_msg": sent }).to_string()
}

/// The gateway, which refuses what is sent to `/v1/refused`.
fn gateway(target: &str, head: &str) -> (&'static str, &'static str, String) {
    if target.contains("refused") {
        let message =
            format!("Incorrect IAM authentication information: decrypt token fail, {head}");
        return ("401 Unauthorized", "", refusal("APIG.0301", &message));
    }
    ("200 OK", "", "{}".to_owned())
}

fn service(target: &str) -> (&'static str, &'static str, String) {
    let key = r#""access":"AKTEST0000000000TEST","secret":"MARKERsecretMARKERsecret","securitytoken":"MARKERsecuritytoken","expires_at":"2099-01-01T00:00:00.000000Z""#;
    match target.split('?').next().unwrap_or_default() {
        "/meta-data/latest/api/token" => ("200 OK", "", "MARKERmetadatatoken".to_owned()),
        "/v3/auth/tokens" => (
            "201 Created",
            "X-Subject-Token: MARKERiamtoken\r\n",
            r#"{"token":{"expires_at":"2099-01-01T00:00:00.000000Z"}}"#.to_owned(),
        ),
        "/v3.0/OS-AUTH/id-token/tokens" => (
            "201 Created",
            "X-Subject-Token: MARKERsubjecttoken\r\n",
            "{}".to_owned(),
        ),
        _ => ("200 OK", "", format!("{{\"credential\":{{{key}}}}}")),
    }
}
