//! Asks a running proxy whether it is alive or ready, or to stop: for images that have no shell and no curl.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::QUIT_IS_OFF;
use crate::config::AdminAddress;

/// How long each step may take. Probes have a limit of their own, usually shorter.
const PATIENCE: Duration = Duration::from_secs(3);

/// How short a limit may be: sockets take none that is zero.
const SHORTEST: Duration = Duration::from_millis(10);

/// The longest answer that is read, in bytes.
const LONGEST: u64 = 4096;

/// What a proxy can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// Whether the process serves.
    Live,
    /// Whether it takes requests.
    Ready,
    /// To finish running requests and end.
    Quit,
}

impl Question {
    /// Method, path, and how the body is framed.
    fn request(self) -> (&'static str, &'static str) {
        match self {
            Self::Live => ("GET /livez", ""),
            Self::Ready => ("GET /readyz", ""),
            Self::Quit => ("POST /quitquitquit", "content-length: 0\r\n"),
        }
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Live => "live",
            Self::Ready => "ready",
            Self::Quit => "stopping",
        })
    }
}

/// Why the answer is not yes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// It does not answer in time.
    #[error("what listens at {0} does not answer in time; the proxy may hang, or be busy")]
    Silent(AdminAddress),
    /// Nobody answers.
    #[error("nobody answers at {0} ({1}); start the proxy, or name its admin address with --admin")]
    Unreachable(AdminAddress, #[source] io::Error),
    /// The proxy says no.
    #[error("{0}")]
    Refused(String),
    /// Another program answers.
    #[error(
        "what answers at {0} is not the admin listener of a proxy; name its address with --admin"
    )]
    Stranger(AdminAddress),
    /// The proxy is not to be stopped in this way.
    #[error(
        "the proxy at {0} does not take POST /quitquitquit\nhint: set admin_quit = true in its configuration, or send SIGTERM"
    )]
    QuitIsOff(AdminAddress),
}

/// Asks the proxy whose admin listener has this address.
///
/// # Errors
///
/// An [`AskError`], unless it says yes.
pub fn ask(address: &AdminAddress, question: Question) -> Result<(), AskError> {
    ask_within(address, question, PATIENCE)
}

/// As [`ask`], with another limit for each step; it is never longer than that of [`ask`], and never none.
///
/// # Errors
///
/// As [`ask`].
pub fn ask_within(
    address: &AdminAddress,
    question: Question,
    patience: Duration,
) -> Result<(), AskError> {
    let patience = patience.clamp(SHORTEST, PATIENCE);
    let answer = exchange(address, question, patience).map_err(|error| match error.kind() {
        // What a socket says when its limit has passed.
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => AskError::Silent(address.clone()),
        _ => AskError::Unreachable(address.clone(), error),
    })?;
    let (head, text) = answer.split_once("\r\n\r\n").unwrap_or_default();
    let line = text.lines().next().unwrap_or_default();
    let is_plain = line
        .bytes()
        .all(|byte| byte == b' ' || byte.is_ascii_graphic());
    match head.split(' ').nth(1) {
        Some("200") if line == "ok" => Ok(()),
        Some("403" | "503") if is_plain && !line.is_empty() => {
            Err(AskError::Refused(line.to_owned()))
        }
        Some("404") if question == Question::Quit && line == QUIT_IS_OFF => {
            Err(AskError::QuitIsOff(address.clone()))
        }
        _ => Err(AskError::Stranger(address.clone())),
    }
}

/// Where a listener is reached from its own machine: "any address" is none to connect to.
fn reached(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

fn exchange(address: &AdminAddress, question: Question, patience: Duration) -> io::Result<String> {
    let (domain, peer, host) = match address {
        AdminAddress::Tcp(address) => {
            let address = reached(*address);
            let domain = Domain::for_address(address);
            (domain, SockAddr::from(address), address.to_string())
        }
        AdminAddress::Unix(path) => (Domain::UNIX, SockAddr::unix(path)?, "localhost".to_owned()),
    };
    let mut stream = Socket::new(domain, Type::STREAM, None)?;
    stream.connect_timeout(&peer, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let (line, framing) = question.request();
    let request = format!("{line} HTTP/1.1\r\nhost: {host}\r\n{framing}connection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// What is made of these bytes.
    fn asked(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let answering = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let length = stream.read(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&request[..length]).into_owned()
        });
        let said = ask(&AdminAddress::Tcp(address), Question::Ready)
            .map_or_else(|error| error.to_string(), |()| String::new());
        let expected =
            format!("GET /readyz HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        assert_eq!(answering.join().unwrap(), expected);
        said
    }

    #[test]
    fn only_an_answer_like_the_proxy_s_own_counts() {
        assert_eq!(asked("HTTP/1.1 200 OK\r\na: b\r\n\r\nok\n"), "");
        assert_eq!(
            asked("HTTP/1.1 503 x\r\n\r\nstopping: soon\n"),
            "stopping: soon"
        );
        for stranger in [
            "",
            "SSH-2.0-x\r\n",
            "HTTP/1.1 200 OK\r\n\r\n<html>",
            "HTTP/1.1 503 x\r\n\r\n\u{1b}[31m\n",
            "HTTP/1.1 404 x\r\n\r\nok\n",
        ] {
            let said = asked(stranger);
            assert!(said.contains("--admin"), "{stranger:?}: {said}");
        }
    }

    #[test]
    fn where_nobody_listens_the_answer_says_so() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let asked = ask(&AdminAddress::Tcp(address), Question::Live);
        let said = asked.unwrap_err().to_string();
        assert!(
            said.starts_with(&format!("nobody answers at {address}")),
            "{said}"
        );
    }
}
