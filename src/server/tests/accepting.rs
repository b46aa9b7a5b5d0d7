use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::proxy::guard::ListenerKind;
use crate::server::accept::{Admission, Listening, Workers, accept};

/// One worker, on the thread of the test.
struct OneWorker(mpsc::UnboundedSender<Order>);

enum Order {
    Serve(Accepted, OwnedSemaphorePermit),
    CloseOldestIdle(oneshot::Sender<bool>),
}

impl Workers for OneWorker {
    fn count(&self) -> usize {
        1
    }

    fn serve(&self, accepted: Accepted, permit: OwnedSemaphorePermit) {
        let _ = self.0.send(Order::Serve(accepted, permit));
    }

    async fn close_oldest_idle(&self, _: usize) -> bool {
        let (told, closed) = oneshot::channel();
        let _ = self.0.send(Order::CloseOldestIdle(told));
        closed.await.unwrap_or(false)
    }
}

/// Serves a socket with so many permits.
fn listen<F, Fut>(toy: &Toy, socket: Listening, handler: F)
where
    F: Fn(Request<Incoming>, Rc<CallerConnection>) -> Fut + Clone + 'static,
    Fut: Future<Output = Response<ToyBody>> + 'static,
{
    listen_until(toy, socket, handler, CancellationToken::new());
}

/// As [`listen`], until `stop` is cancelled.
fn listen_until<F, Fut>(toy: &Toy, socket: Listening, handler: F, stop: CancellationToken)
where
    F: Fn(Request<Incoming>, Rc<CallerConnection>) -> Fut + Clone + 'static,
    Fut: Future<Output = Response<ToyBody>> + 'static,
{
    let (orders, mut received) = mpsc::unbounded_channel();
    let admission = Admission::new(OneWorker(orders), Arc::clone(&toy.context.permits));
    tokio::task::spawn_local(accept(socket, Rc::new(admission), stop));
    let toy = toy.clone();
    tokio::task::spawn_local(async move {
        while let Some(order) = received.recv().await {
            match order {
                Order::Serve(accepted, permit) => {
                    let served = toy.serve(accepted, handler.clone());
                    tokio::task::spawn_local(async move {
                        let _ = served.await;
                        drop(permit);
                    });
                }
                Order::CloseOldestIdle(told) => {
                    let _ = told.send(toy.context.registry.close_oldest_idle());
                }
            }
        }
    });
}

async fn tcp(toy: &Toy) -> std::net::SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    listen(toy, Listening::Tcp(socket), serve_paths);
    address
}

async fn serve_paths(
    request: Request<Incoming>,
    caller: Rc<CallerConnection>,
) -> Response<ToyBody> {
    match request.uri().path() {
        "/hang" => std::future::pending().await,
        "/refused" => {
            caller.refused();
            let mut refusal = answer(StatusCode::FORBIDDEN, "no");
            let close = "close".parse().unwrap();
            refusal.headers_mut().insert("connection", close);
            refusal
        }
        path => answer(StatusCode::OK, path.to_owned()),
    }
}

/// Connects and sends this; with an answer, reads it.
async fn open(address: std::net::SocketAddr, request: &str) -> TcpStream {
    let mut caller = TcpStream::connect(address).await.unwrap();
    caller.write_all(request.as_bytes()).await.unwrap();
    if request.ends_with("\r\n\r\n") {
        read_answer(&mut caller).await;
    }
    caller
}

/// Whether the server has closed a connection.
async fn is_closed(caller: &mut TcpStream) -> bool {
    let read = tokio::time::timeout(Duration::from_millis(20), caller.read_u8());
    matches!(read.await, Ok(Err(_)))
}

#[tokio::test]
async fn fault_97_the_connection_that_was_idle_longest_makes_room() {
    local(async {
        let address = tcp(&Toy::with(LIMITS, 3)).await;
        let get = "GET / HTTP/1.1\r\n\r\n";
        let (mut first, mut second) = (open(address, get).await, open(address, get).await);
        let mut third = open(address, get).await;
        // Now the first one has been idle for the shortest time.
        first.write_all(get.as_bytes()).await.unwrap();
        read_answer(&mut first).await;
        let _fourth = open(address, get).await;
        assert!(is_closed(&mut second).await);
        assert!(!is_closed(&mut third).await && !is_closed(&mut first).await);
        let _fifth = open(address, get).await;
        assert!(is_closed(&mut third).await);
        assert!(!is_closed(&mut first).await);
    })
    .await;
}

#[tokio::test]
async fn fault_97_another_caller_is_served_within_a_second() {
    let kinds = [
        "",
        "GET / HTTP/1.1\r\n\r\n",
        "GET /refused HTTP/1.1\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r",
    ];
    for request in kinds {
        local(async {
            let address = tcp(&Toy::with(LIMITS, 50)).await;
            let mut held = Vec::new();
            for _ in 0..200 {
                held.push(open(address, request).await);
            }
            let start = Instant::now();
            let served = open(address, "GET /served HTTP/1.1\r\n\r\n").await;
            assert!(start.elapsed() < Duration::from_secs(1), "{request:?}");
            drop((served, held));
        })
        .await;
    }
}

#[tokio::test]
async fn busy_connections_are_never_closed_for_another_caller() {
    local(async {
        let address = tcp(&Toy::with(LIMITS, 2)).await;
        let hang = "GET /hang HTTP/1.1\r\n\r\n";
        let mut busy = Vec::new();
        for _ in 0..2 {
            let mut caller = TcpStream::connect(address).await.unwrap();
            caller.write_all(hang.as_bytes()).await.unwrap();
            busy.push(caller);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        let other = open(address, "GET /other HTTP/1.1\r\n\r\n");
        assert!(
            tokio::time::timeout(Duration::from_millis(500), other)
                .await
                .is_err()
        );
        for caller in &mut busy {
            assert!(!is_closed(caller).await);
        }
        busy.pop();
        let served = open(address, "GET /other HTTP/1.1\r\n\r\n");
        tokio::time::timeout(Duration::from_secs(1), served)
            .await
            .unwrap();
    })
    .await;
}

#[tokio::test]
async fn only_users_that_are_allowed_are_served_over_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    for (name, is_allowed) in [("yes", true), ("no", false)] {
        local(async {
            let path = folder.path().join(name);
            let socket = tokio::net::UnixListener::bind(&path).unwrap();
            let listening = Listening::Unix(socket, Arc::new(move |_| is_allowed));
            listen(
                &Toy::new(),
                listening,
                async |_, caller: Rc<CallerConnection>| {
                    answer(
                        StatusCode::OK,
                        format!("unix: {}", caller.listener() == ListenerKind::Unix),
                    )
                },
            );
            let mut caller = UnixStream::connect(&path).await.unwrap();
            let _ = caller.write_all(b"GET / HTTP/1.1\r\n\r\n").await;
            if is_allowed {
                assert_eq!(read_answer(&mut caller).await.1, "unix: true");
            } else {
                let mut all = Vec::new();
                let _ = caller.read_to_end(&mut all).await;
                assert!(all.is_empty());
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_tls_socket_takes_the_certificate_of_the_moment() {
    local(async {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let (acceptor, connector) = tls::tls(&[]);
        let (next_acceptor, next_connector) = tls::tls(&[]);
        let acceptors = std::sync::Mutex::new(vec![next_acceptor, acceptor]);
        let current = Arc::new(move || acceptors.lock().unwrap().pop().unwrap());
        listen(&Toy::new(), Listening::Tls(socket, current), serve_paths);
        for connector in [connector, next_connector] {
            let stream = TcpStream::connect(address).await.unwrap();
            let name = "localhost".try_into().unwrap();
            let mut stream = connector.connect(name, stream).await.unwrap();
            stream
                .write_all(b"GET /tls HTTP/1.1\r\n\r\n")
                .await
                .unwrap();
            assert_eq!(read_answer(&mut stream).await.1, "/tls");
        }
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_waits_for_a_permit_is_served_after_its_socket_was_closed() {
    local(async {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let (toy, stop) = (Toy::with(LIMITS, 1), CancellationToken::new());
        listen_until(&toy, Listening::Tcp(socket), serve_paths, stop.clone());
        let mut busy = TcpStream::connect(address).await.unwrap();
        busy.write_all(b"GET /hang HTTP/1.1\r\n\r\n").await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        let mut waiting = TcpStream::connect(address).await.unwrap();
        waiting
            .write_all(b"GET /waited HTTP/1.1\r\n\r\n")
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        stop.cancel();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(TcpStream::connect(address).await.is_err());
        drop(busy);
        assert_eq!(read_answer(&mut waiting).await.1, "/waited");
    })
    .await;
}
