//! Callers that send one request after the other while something changes. None may fail.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;

use crate::support::{Proxy, get, pause};

/// How long a caller pauses between two requests, so that a test does not take the whole machine.
const PAUSE: Duration = Duration::from_millis(2);

/// Callers that are running.
pub(crate) struct Load {
    callers: Vec<JoinHandle<Vec<String>>>,
    is_over: Arc<AtomicBool>,
    /// The access keys that signed so far.
    keys: Arc<Mutex<BTreeSet<String>>>,
}

/// The result of a load.
pub(crate) struct Served {
    /// How many requests were answered with 200.
    pub(crate) count: usize,
    /// The bodies of other answers.
    pub(crate) failures: Vec<String>,
    /// The access keys that signed.
    pub(crate) keys: BTreeSet<String>,
}

impl Load {
    /// Starts `callers` connections for each of the paths, each of which sends at least `least` requests.
    pub(crate) fn on(proxy: &Proxy, paths: &[&str], callers: usize, least: usize) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let keys = Arc::<Mutex<BTreeSet<String>>>::default();
        let paths = paths.iter();
        let paths = paths.flat_map(|path| std::iter::repeat_n(*path, callers));
        let callers = paths.map(|path| {
            let (is_over, keys) = (Arc::clone(&is_over), Arc::clone(&keys));
            let (mut client, request) = (proxy.client(), get(path));
            thread::spawn(move || {
                let mut answers = Vec::new();
                while answers.len() < least || !is_over.load(Ordering::SeqCst) {
                    let answer = client.send(&request).answer();
                    let text = answer.text();
                    let said: Value = serde_json::from_str(&text).unwrap();
                    if let Some(key) = said["access_key"].as_str() {
                        keys.lock().unwrap().insert(key.to_owned());
                    }
                    let is_served = answer.status == 200;
                    answers.push(if is_served { String::new() } else { text });
                    pause(PAUSE);
                }
                answers
            })
        });
        Self {
            callers: callers.collect(),
            is_over,
            keys,
        }
    }

    /// Stops the callers.
    pub(crate) fn end(self) -> Served {
        self.is_over.store(true, Ordering::SeqCst);
        let callers = self.callers.into_iter();
        let answers = callers.flat_map(|caller| caller.join().unwrap());
        let (served, failures): (Vec<_>, Vec<_>) = answers.partition(String::is_empty);
        Served {
            count: served.len(),
            failures,
            keys: self.keys.lock().unwrap().clone(),
        }
    }
}

impl Served {
    /// Checks that no request failed, and that at least so many were served.
    pub(crate) fn all(&self, least: usize) {
        let (first, failed) = (self.failures.first(), self.failures.len());
        assert_eq!(first, None, "{failed} failed, {} did not", self.count);
        assert!(self.count >= least, "{}", self.count);
    }
}
