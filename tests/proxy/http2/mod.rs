//! Requests that share connections with HTTP/2: which do, what arrives, and what happens when a gateway
//! refuses, ends, or breaks the rules.

mod answers;
mod broken;
mod choice;
mod flow;
mod lifetimes;
mod retries;
mod streams;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use apig_proxy::config::Config;

use crate::support::{
    ANSWERED, Answer, Arrived, Client, Gateway, Plan, Proxy, Way, config_to, get, wait_until,
};

/// As many requests at once as make a crowd of each worker's, and some more.
const EACH: usize = 12;

fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A proxy before a gateway.
struct Scene {
    crowd: Vec<Client>,
    proxy: Proxy,
    gateway: Gateway,
}

impl Scene {
    /// A proxy with nothing to do.
    fn quiet(plan: Plan, change: impl FnOnce(&mut Config)) -> Self {
        let gateway = plan.start();
        let mut config = config_to(gateway.address);
        change(&mut config);
        Self {
            crowd: Vec::new(),
            proxy: Proxy::start(&config),
            gateway,
        }
    }

    /// A proxy of which each worker has a crowd of requests, for as long as the test runs.
    fn busy(plan: Plan) -> Self {
        Self::busy_with(plan, |_| {})
    }

    fn busy_with(plan: Plan, change: impl FnOnce(&mut Config)) -> Self {
        let mut scene = Self::quiet(plan, change);
        scene.gather();
        scene
    }

    /// Sends each worker enough requests without a response to reach its concurrency threshold. They are too long to share connections
    /// themselves, so that those with HTTP/2 carry only what a test sends.
    fn gather(&mut self) {
        let before = self.gateway.arrived_at("/held").len();
        let request = post("/held", &vec![b'x'; 64 * 1024 + 1]);
        let callers = std::iter::repeat_with(|| self.proxy.client());
        // Those of a crowd before leave last: a connection goes to the worker that has the fewest.
        let crowd = callers.take(EACH * workers()).collect();
        let _before = std::mem::replace(&mut self.crowd, crowd);
        // A key that no answer has proved right is tried by few requests at once.
        let proof = self.crowd[0].get("/proof");
        assert_eq!(proof.text(), ANSWERED);
        for caller in &mut self.crowd {
            caller.send(&request);
        }
        self.gateway.wait_for(before + EACH * workers(), "/held");
    }

    /// Lets the gateway answer these requests. They count towards the threshold for another second.
    fn release(&mut self) {
        self.gateway.release();
        for caller in &mut self.crowd {
            assert_eq!(caller.answer().text(), ANSWERED);
        }
    }

    /// Callers of all workers that have not sent anything.
    fn callers(&self, count: usize) -> Vec<Client> {
        std::iter::repeat_with(|| self.proxy.client())
            .take(count)
            .collect()
    }

    /// Sends each request over a connection of its own, all at once, and reads the answers.
    fn all(&self, requests: &[Vec<u8>]) -> Vec<Answer> {
        let mut callers = self.callers(requests.len());
        for (caller, request) in callers.iter_mut().zip(requests) {
            caller.send(request);
        }
        callers.iter_mut().map(Client::answer).collect()
    }

    /// The only request for a target that arrived.
    fn only(&self, target: &str) -> Arrived {
        let mut arrived = self.gateway.arrived_at(target);
        assert_eq!(arrived.len(), 1, "{arrived:?}");
        arrived.remove(0)
    }

    /// The next requests, of all workers, are answered; the way on which they came.
    fn serves(&self) -> Way {
        let count = self.gateway.arrived_at("/next").len();
        // One after the other: under load, one that waits for another to connect goes on by itself.
        let mut callers = self.callers(workers());
        for caller in &mut callers {
            let answer = caller.get("/next");
            assert_eq!(answer.text(), ANSWERED);
        }
        let arrived = self.gateway.arrived_at("/next").split_off(count);
        arrived.iter().for_each(|next| {
            next.seen.verified();
        });
        assert_eq!(arrived.len(), workers());
        let way = arrived[0].way;
        assert!(arrived.iter().all(|next| next.way == way), "{arrived:?}");
        way
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // The proxy waits for what runs before it ends.
        self.crowd.iter_mut().for_each(Client::reset);
        self.crowd.clear();
    }
}

/// How often something was reached, for a script that tells it and a test that waits for it.
#[derive(Clone, Default)]
struct Marks(Arc<AtomicUsize>);

impl Marks {
    fn mark(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// Waits until each worker's connection has reached it.
    fn wait(&self) {
        wait_until("each connection is so far", || {
            self.0.load(Ordering::SeqCst) >= workers()
        });
    }
}

fn post(target: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}
