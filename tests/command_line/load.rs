//! Callers that call without a pause, and what came of it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::program::{GET, wait_until};

/// An answer that was read to its end.
pub(crate) struct Answered {
    pub(crate) status: String,
    /// True if the connection ends with it.
    pub(crate) closes: bool,
}

/// Sends a request, or the rest of one, and reads the answer to its end.
pub(crate) fn send(stream: &mut BufReader<TcpStream>, request: &str) -> std::io::Result<Answered> {
    let limit = Some(Duration::from_secs(20));
    stream.get_ref().set_read_timeout(limit)?;
    stream.get_mut().write_all(request.as_bytes())?;
    let (mut status, mut length, mut closes) = (String::new(), 0, false);
    if stream.read_line(&mut status)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let line = line.trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        closes |= line == "connection: close";
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    Ok(Answered {
        status: status.trim().to_owned(),
        closes,
    })
}

/// Callers, each in a thread of its own.
pub(crate) struct Load {
    callers: Vec<JoinHandle<Vec<String>>>,
    state: Arc<State>,
}

#[derive(Default)]
pub(crate) struct State {
    is_over: AtomicBool,
    /// How many callers had an answer.
    served: AtomicUsize,
    answered: AtomicUsize,
}

impl Load {
    /// Starts 64 callers, each of which returns what has failed.
    pub(crate) fn start(call: impl Fn(&State) -> Vec<String> + Clone + Send + 'static) -> Self {
        let state = Arc::new(State::default());
        let start = |_| {
            let (call, state) = (call.clone(), Arc::clone(&state));
            thread::spawn(move || call(&state))
        };
        Self {
            callers: (0..64).map(start).collect(),
            state,
        }
    }

    /// Waits until so many more requests were answered.
    pub(crate) fn wait_for(&self, more: usize) {
        let answered = || self.state.answered.load(Ordering::Relaxed);
        let before = answered();
        wait_until("requests are answered", || answered() >= before + more);
    }

    /// Waits until each caller has had an answer.
    pub(crate) fn wait_for_each(&self) {
        let served = || self.state.served.load(Ordering::Relaxed);
        wait_until("each caller is served", || served() == self.callers.len());
    }

    /// Ends the callers, none of which has failed.
    pub(crate) fn end(self) {
        self.state.is_over.store(true, Ordering::Relaxed);
        for caller in self.callers {
            assert_eq!(caller.join().unwrap(), [""; 0]);
        }
    }
}

impl State {
    /// Makes a request again and again until the end of the load, or until some have failed.
    pub(crate) fn repeat(
        &self,
        mut request: impl FnMut(usize) -> Result<(), String>,
    ) -> Vec<String> {
        let mut failures = Vec::new();
        for number in 1.. {
            if self.is_over.load(Ordering::Relaxed) || failures.len() == 3 {
                break;
            }
            match request(number) {
                Ok(()) => _ = self.answered.fetch_add(1, Ordering::Relaxed),
                Err(failure) => failures.push(failure),
            }
        }
        failures
    }
}

/// Calls over one connection that is kept open, and over new ones in between.
pub(crate) fn call(address: SocketAddr, state: &State) -> Vec<String> {
    let connect = || BufReader::new(TcpStream::connect(address).unwrap());
    let mut stream = connect();
    state.repeat(|number| {
        if number % 10 == 0 {
            stream = connect();
        }
        succeed(&mut stream).map(|_| ())
    })
}

/// Calls over one connection until it is told that the connection ends.
pub(crate) fn call_until_told(address: SocketAddr, state: &State) -> Vec<String> {
    let mut stream = BufReader::new(TcpStream::connect(address).unwrap());
    for number in 0.. {
        match succeed(&mut stream) {
            Ok(answered) if answered.closes => break,
            Ok(_) => state
                .served
                .fetch_add(usize::from(number == 0), Ordering::Relaxed),
            Err(failure) => return vec![failure],
        };
    }
    Vec::new()
}

fn succeed(stream: &mut BufReader<TcpStream>) -> Result<Answered, String> {
    let answered = send(stream, GET).map_err(|error| error.to_string())?;
    if answered.status == "HTTP/1.1 200 OK" {
        Ok(answered)
    } else {
        Err(answered.status)
    }
}
