//! Connections that make room for others.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::server::accept::{Admission, Command, Listening, WorkerHandle, accept};

/// Serves a socket with one worker on the thread of the test.
async fn listen(permits: usize) -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let worker = Worker::with_permits(permits);
    let (handle, mut commands) = WorkerHandle::new();
    let admission = Admission::new(vec![handle], Arc::clone(&worker.permits));
    spawn_local(accept(
        (Listening::Tcp(socket, None), ListenRules::default()),
        admission,
        CancellationToken::new(),
    ));
    spawn_local(async move {
        while let Some(command) = commands.recv().await {
            match command {
                Command::Serve((accepted, _), permit) => {
                    worker.serve(accepted, permit, ok);
                }
                Command::CloseOldestIdle => worker.registry.close_oldest_idle(),
                Command::Reload(..) => {}
            }
        }
    });
    address
}

/// Connects and sends this; if it is a whole request, reads the answer.
async fn open(address: SocketAddr, request: &str) -> TcpStream {
    let mut caller = TcpStream::connect(address).await.unwrap();
    caller.write_all(request.as_bytes()).await.unwrap();
    if request.ends_with("\r\n\r\n") {
        read_answer(&mut caller).await;
    }
    caller
}

/// Returns true if the server has closed a connection.
async fn is_closed(caller: &mut TcpStream) -> bool {
    let read = tokio::time::timeout(Duration::from_millis(20), caller.read_u8());
    matches!(read.await, Ok(Err(_)))
}

#[tokio::test]
async fn fault_97_the_connection_that_was_idle_longest_makes_room() {
    local(async {
        let address = listen(3).await;
        let get = "GET / HTTP/1.1\r\n\r\n";
        let (mut first, mut second) = (open(address, get).await, open(address, get).await);
        let mut third = open(address, get).await;
        // Now the first one has been idle for the shortest time.
        first.write_all(GET).await.unwrap();
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
            let address = listen(50).await;
            let mut held = Vec::new();
            for _ in 0..200 {
                held.push(open(address, request).await);
            }
            // Those that are held would end by themselves only after 20 seconds and more.
            let served = open(address, "GET /served HTTP/1.1\r\n\r\n");
            let served = tokio::time::timeout(Duration::from_secs(10), served).await;
            assert!(served.is_ok(), "{request:?}");
            drop((served, held));
        })
        .await;
    }
}
