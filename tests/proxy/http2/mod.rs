//! Requests that share HTTP/2 connections: which do, what arrives, and what happens when a gateway
//! refuses them, shuts down, or violates the protocol.

mod answers;
mod broken;
mod flow;
mod lifetimes;
mod protocol;
mod retries;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use apig_proxy::config::Config;

use crate::support::{
    ANSWERED, Answer, Client, Gateway, GatewayFrames, Plan, Protocol, Proxy, Received, config_to,
    request, wait_until,
};

/// More concurrent requests of a worker than the threshold for HTTP/2.
const EACH: usize = 12;

fn workers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A proxy before a gateway with HTTP/2.
struct Http2Scene {
    held: Vec<Client>,
    proxy: Proxy,
    gateway: Gateway,
}

impl Http2Scene {
    /// A proxy without requests.
    fn quiet(plan: Plan, change: impl FnOnce(&mut Config)) -> Self {
        let gateway = plan.start();
        let mut config = config_to(gateway.address);
        change(&mut config);
        let proxy = Proxy::start(&config);
        Self {
            held: Vec::new(),
            proxy,
            gateway,
        }
    }

    /// A proxy whose workers are above the threshold for HTTP/2 for as long as the test runs.
    fn busy(plan: Plan) -> Self {
        Self::busy_with(plan, |_| {})
    }

    fn busy_with(plan: Plan, change: impl FnOnce(&mut Config)) -> Self {
        let mut scene = Self::quiet(plan, change);
        scene.hold();
        scene
    }

    /// A busy proxy whose gateway runs the script on the first connection of each worker.
    fn scripted<F>(script: impl Fn(GatewayFrames) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = std::io::Result<()>> + 'static,
    {
        Self::busy(Gateway::plan().raw(workers(), script))
    }

    /// Sends each worker enough requests without a response to reach its concurrency threshold. They are too long to
    /// share connections themselves, so that those with HTTP/2 carry only what a test sends.
    fn hold(&mut self) {
        let before = self.gateway.arrived_at("/held").len();
        let long = post("/held", &[b'x'; 64 * 1024 + 1]);
        // The earlier ones are closed last, since a new connection goes to the worker with the fewest.
        let callers = self.callers(EACH * workers());
        let _before = std::mem::replace(&mut self.held, callers);
        // Only a few requests at once may use a key before an answer has proved it.
        self.held[0].get("/accepted").assert_text(200, ANSWERED);
        send(&mut self.held, &long);
        self.gateway.wait_for(before + EACH * workers(), "/held");
    }

    /// Lets the gateway answer these requests. They count towards the threshold for another second.
    fn release(&mut self) {
        self.gateway.release();
        served(&mut self.held);
    }

    /// Callers of all workers that have not sent anything.
    fn callers(&self, count: usize) -> Vec<Client> {
        (0..count).map(|_| self.proxy.client()).collect()
    }

    /// So many callers, each of which has sent this request.
    fn sending(&self, count: usize, request: impl AsRef<[u8]>) -> Vec<Client> {
        let mut callers = self.callers(count);
        send(&mut callers, request);
        callers
    }

    /// Sends a request over so many connections at once, and reads the answers.
    fn answers(&self, count: usize, request: impl AsRef<[u8]>) -> Vec<Answer> {
        answers(&mut self.sending(count, request))
    }

    /// So many requests at once are answered with 200, and each of them has arrived once.
    fn serves_all(&self, count: usize, target: &str) {
        served(&mut self.sending(count, post(target, b"{}")));
        assert_eq!(self.gateway.arrived_at(target).len(), count, "{target}");
    }

    /// The only request for a target that arrived.
    fn only(&self, target: &str) -> Received {
        let [only] = self.gateway.arrived_at(target).try_into().unwrap();
        only
    }

    /// Sends one request over each worker, and returns the protocol with which all of them arrived.
    fn serves(&self) -> Protocol {
        let count = self.gateway.arrived_at("/next").len();
        // One after the other, since a request that waits for a connection may fall back to HTTP/1.1.
        for caller in &mut self.callers(workers()) {
            caller.get("/next").assert_text(200, ANSWERED);
        }
        let arrived = self.gateway.arrived_at("/next").split_off(count);
        arrived.iter().for_each(|next| drop(next.verified()));
        assert_eq!(arrived.len(), workers());
        let protocol = arrived[0].protocol;
        assert!(arrived.iter().all(|one| one.protocol == protocol));
        protocol
    }
}

impl Drop for Http2Scene {
    fn drop(&mut self) {
        // The proxy drains before it stops.
        leave(std::mem::take(&mut self.held));
    }
}

fn send(callers: &mut [Client], request: impl AsRef<[u8]>) {
    for caller in callers {
        caller.send(&request);
    }
}

fn answers(callers: &mut [Client]) -> Vec<Answer> {
    callers.iter_mut().map(Client::answer).collect()
}

/// Checks that all callers get the default answer.
fn served(callers: &mut [Client]) {
    for answer in answers(callers) {
        answer.assert_text(200, ANSWERED);
    }
}

/// Resets the connections of the callers.
fn leave(mut callers: Vec<Client>) {
    callers.iter_mut().for_each(Client::reset);
}

/// A counter that a script increases and a test waits for.
#[derive(Clone, Default)]
struct Marks(Arc<AtomicUsize>);

impl Marks {
    fn mark(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// Waits until it has reached the number of workers.
    fn wait(&self) {
        wait_until("each connection is so far", || {
            self.0.load(Ordering::SeqCst) >= workers()
        });
    }
}

fn post(target: &str, body: &[u8]) -> Vec<u8> {
    request(
        &format!("POST {target}"),
        "Content-Type: application/json",
        body,
    )
}
