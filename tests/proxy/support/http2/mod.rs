//! A gateway with HTTP/2 and HTTP/1.1 that records every request.

mod exchange;
pub(crate) mod frames;
mod http1;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use h2::server::Connection;
use h2::{Reason, server};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{LocalSet, spawn_local};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub(crate) use exchange::{Exchange, fields, read_to_end, send_all};
use frames::Frames;

use super::{ANSWERED, Field, Protocol, Received, authority, runtime, wait_until};

/// Handles a request over HTTP/2.
type Script = dyn Fn(Exchange) -> LocalBoxFuture<'static, Result<(), h2::Error>> + Send + Sync;

/// A gateway's connection, frame by frame.
pub(crate) type GatewayFrames = Frames<TlsStream<TcpStream>>;

/// Handles a connection that has negotiated HTTP/2, frame by frame.
type Raw = dyn Fn(GatewayFrames) -> LocalBoxFuture<'static, io::Result<()>> + Send + Sync;

/// How an HTTP/2 connection ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    /// With GOAWAY, after the running requests.
    EndSoon,
    /// Without GOAWAY.
    Cut,
}

/// A gateway on a loopback port. It ends when dropped.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    _stop: oneshot::Sender<()>,
}

/// The configuration of a gateway.
pub(crate) struct Plan {
    protocols: &'static [&'static str],
    settings: server::Builder,
    script: Box<Script>,
    raw: Option<(usize, Box<Raw>)>,
}

#[derive(Default)]
struct Shared {
    arrived: Mutex<Vec<Received>>,
    /// The protocol of each connection.
    connections: Mutex<Vec<Protocol>>,
    /// The connections that have ended.
    ended: Mutex<Vec<usize>>,
    /// The streams that the proxy has reset: connection, target, reason.
    resets: Mutex<Vec<(usize, String, Reason)>>,
    /// True if requests for `/held` are answered.
    released: watch::Sender<bool>,
}

impl Plan {
    /// Offers only these protocols by ALPN.
    pub(crate) fn speaking(mut self, protocols: &'static [&'static str]) -> Self {
        self.protocols = protocols;
        self
    }

    /// Changes the settings of HTTP/2.
    pub(crate) fn settings(mut self, change: impl FnOnce(&mut server::Builder)) -> Self {
        change(&mut self.settings);
        self
    }

    /// Handles requests over HTTP/2 with a script. An error resets the stream.
    pub(crate) fn script<F>(
        mut self,
        script: impl Fn(Exchange) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), h2::Error>> + 'static,
    {
        self.script = Box::new(move |exchange| Box::pin(script(exchange)));
        self
    }

    /// Handles the first `count` HTTP/2 connections with a script.
    pub(crate) fn raw<F>(
        mut self,
        count: usize,
        script: impl Fn(GatewayFrames) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = io::Result<()>> + 'static,
    {
        self.raw = Some((count, Box::new(move |frames| Box::pin(script(frames)))));
        self
    }

    pub(crate) fn start(self) -> Gateway {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::<Shared>::default();
        let (stop, stopped) = oneshot::channel();
        let kept = Arc::clone(&shared);
        thread::spawn(move || {
            let runtime = runtime();
            LocalSet::new().block_on(&runtime, async {
                tokio::select! {
                    _ = stopped => {}
                    () = accept(listener, Arc::new(self), kept) => {}
                }
            });
        });
        Gateway {
            address,
            shared,
            _stop: stop,
        }
    }
}

impl Gateway {
    /// A plan with HTTP/2 and HTTP/1.1 that answers everything with 200.
    pub(crate) fn plan() -> Plan {
        let plan = Plan {
            protocols: &["h2", "http/1.1"],
            settings: server::Builder::new(),
            script: Box::new(|_| Box::pin(async { Ok(()) })),
            raw: None,
        };
        plan.script(|exchange| async move {
            let headers = [("content-type", "application/json")];
            exchange.answer(200, &headers, ANSWERED).await
        })
    }

    /// The requests that arrived completely, without `/accepted` and `/held`.
    pub(crate) fn arrived(&self) -> Vec<Received> {
        let mut arrived = self.shared.arrived.lock().unwrap().clone();
        arrived.retain(|arrived| !["/accepted", "/held"].contains(&arrived.target()));
        arrived
    }

    /// Those for this target.
    pub(crate) fn arrived_at(&self, target: &str) -> Vec<Received> {
        let mut arrived = self.shared.arrived.lock().unwrap().clone();
        arrived.retain(|arrived| arrived.target() == target);
        arrived
    }

    /// How many connections with this protocol were opened.
    pub(crate) fn connections(&self, protocol: Protocol) -> usize {
        let connections = self.shared.connections.lock().unwrap();
        let speaking = connections.iter().filter(|agreed| **agreed == protocol);
        speaking.count()
    }

    /// The connections that have ended, in that order.
    pub(crate) fn ended(&self) -> Vec<usize> {
        self.shared.ended.lock().unwrap().clone()
    }

    /// The streams that the proxy has reset: connection, target, reason.
    pub(crate) fn resets(&self) -> Vec<(usize, String, Reason)> {
        self.shared.resets.lock().unwrap().clone()
    }

    /// Waits until so many requests for this target have come.
    pub(crate) fn wait_for(&self, count: usize, target: &str) -> Vec<Received> {
        wait_until(&format!("{count} requests for {target} arrive"), || {
            self.arrived_at(target).len() >= count
        });
        self.arrived_at(target)
    }

    /// Answers the requests for `/held`.
    pub(crate) fn release(&self) {
        self.shared.released.send_replace(true);
    }
}

impl Shared {
    /// Keeps a request; one for `/held` is held then.
    async fn keep(&self, arrived: Received) {
        let is_held = arrived.target() == "/held";
        self.arrived.lock().unwrap().push(arrived);
        if is_held {
            let mut released = self.released.subscribe();
            let _ = released.wait_for(|released| *released).await;
        }
    }
}

async fn accept(listener: std::net::TcpListener, plan: Arc<Plan>, shared: Arc<Shared>) {
    let mut tls = (*authority::server(&["127.0.0.1"], rustls::ALL_VERSIONS)).clone();
    let protocols = plan.protocols.iter();
    tls.alpn_protocols = protocols.map(|name| name.as_bytes().to_vec()).collect();
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::from_std(listener).unwrap();
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, plan, shared) = (acceptor.clone(), Arc::clone(&plan), Arc::clone(&shared));
        spawn_local(async move {
            let _ = stream.set_nodelay(true);
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let protocol = match is_http2 {
                true => Protocol::Http2,
                false => Protocol::Http1,
            };
            let number = {
                let mut connections = shared.connections.lock().unwrap();
                connections.push(protocol);
                connections.len() - 1
            };
            let _ = match protocol {
                Protocol::Http1 => http1::serve(stream, number, &shared).await,
                Protocol::Http2 => serve(stream, number, &plan, &shared).await,
            };
            shared.ended.lock().unwrap().push(number);
        });
    }
}

async fn serve(
    stream: TlsStream<TcpStream>,
    number: usize,
    plan: &Arc<Plan>,
    shared: &Arc<Shared>,
) -> io::Result<()> {
    let is_raw = |(count, _): &&(usize, Box<Raw>)| {
        let connections = shared.connections.lock().unwrap();
        let earlier = connections[..=number].iter();
        let with_http2 = earlier.filter(|protocol| **protocol == Protocol::Http2);
        with_http2.count() <= *count
    };
    if let Some((_, script)) = plan.raw.as_ref().filter(is_raw) {
        return script(Frames::new(stream)).await;
    }
    let handshake = plan.settings.handshake::<_, Bytes>(stream).await;
    let mut connection: Connection<_, Bytes> = handshake.map_err(io::Error::other)?;
    let (orders, mut ordered) = mpsc::unbounded_channel();
    loop {
        tokio::select! {
            accepted = connection.accept() => {
                let Some(accepted) = accepted else { return Ok(()) };
                let (request, respond) = accepted.map_err(io::Error::other)?;
                let exchange = exchange::receive(request, respond, number, orders.clone(), Arc::clone(shared));
                let plan = Arc::clone(plan);
                spawn_local(async move {
                    (plan.script)(exchange.await?).await
                });
            }
            Some(order) = ordered.recv() => match order {
                Order::EndSoon => connection.graceful_shutdown(),
                Order::Cut => return Ok(()),
            }
        }
    }
}
