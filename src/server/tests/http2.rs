use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use h2::client::{self, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::config::TlsFiles;
use crate::proxy::guard::ListenerKind;
use crate::server::server_tls;

/// A caller of HTTP/2 with prior knowledge, and how its connection ended.
async fn http2<F, Fut>(
    worker: &Worker,
    handler: F,
) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>)
where
    F: Fn(Request<Incoming>, Rc<CallerConnection>) -> Fut + 'static,
    Fut: Future<Output = Response<TestBody>> + 'static,
{
    let (sender, connection) = client::handshake(worker.connect(handler)).await.unwrap();
    let ended = spawn_local(connection);
    (sender.ready().await.unwrap(), ended)
}

fn get(sender: &mut SendRequest<Bytes>, path: &str) -> ResponseFuture {
    let request = Request::get(format!("http://localhost{path}"));
    let sent = sender.send_request(request.body(()).unwrap(), true);
    sent.unwrap().0
}

async fn text(response: Response<RecvStream>) -> String {
    let mut body = response.into_body();
    let mut text = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.unwrap();
        let _ = body.flow_control().release_capacity(piece.len());
        text.extend_from_slice(&piece);
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_preface_that_comes_in_pieces_is_recognised() {
    local(async {
        let mut caller = Worker::new().connect(echo_path);
        for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" {
            caller.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        let mut settings = [0; 9];
        caller.read_exact(&mut settings).await.unwrap();
        assert_eq!(settings[3], 4, "a SETTINGS frame");
    })
    .await;
}

/// Both sides of TLS with a new certificate.
fn tls(folder: &std::path::Path) -> (TlsAcceptor, RootCertStore) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = TlsFiles {
        certificate: folder.join("cert.pem"),
        key: folder.join("key.pem"),
        client_ca: None,
    };
    std::fs::write(&files.certificate, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(&files.key, Permissions::from_mode(0o600)).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    (server_tls(&files).unwrap().current(), roots)
}

#[tokio::test]
async fn fault_81_alpn_settles_the_protocol() {
    local(async {
        let folder = tempfile::tempdir().unwrap();
        let (server, roots) = tls(folder.path());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let (far, near) = tokio::join!(TcpStream::connect(address), socket.accept());
        let near = near.unwrap().0.into_std().unwrap();
        let accepted = Accepted::Tcp(near, Some(server));
        let handler = async |request: Request<Incoming>, caller: Rc<CallerConnection>| {
            assert_eq!(caller.listener, ListenerKind::Tls);
            answer(StatusCode::OK, format!("{:?}", request.version()))
        };
        Worker::new().serve(accepted, None, handler);
        let name = "localhost".try_into().unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connector.connect(name, far.unwrap()).await.unwrap();
        let (sender, connection) = client::handshake(stream).await.unwrap();
        spawn_local(connection);
        let mut sender = sender.ready().await.unwrap();
        assert_eq!(text(get(&mut sender, "/").await.unwrap()).await, "HTTP/2.0");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn streams_beyond_the_first_take_permits_until_their_last_byte() {
    local(async {
        let worker = Worker::with_permits(2);
        let handler = async |request: Request<Incoming>, _| match request.uri().path() {
            "/hang" => Pieces::response(1, "piece", false),
            _ => answer(StatusCode::OK, "done"),
        };
        let (mut sender, _) = http2(&worker, handler).await;
        let mut hanging = Vec::new();
        for _ in 0..3 {
            hanging.push(get(&mut sender, "/hang").await.unwrap());
        }
        assert_eq!(worker.permits.available_permits(), 0);
        let refused = get(&mut sender, "/refused").await.unwrap_err();
        assert_eq!(refused.reason(), Some(Reason::REFUSED_STREAM));
        drop(hanging.pop());
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(worker.permits.available_permits(), 1);
        let served = get(&mut sender, "/served").await.unwrap();
        assert_eq!(text(served).await, "done");
        drop(hanging);
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(worker.permits.available_permits(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn fault_85_a_caller_that_takes_nothing_of_its_answers_is_closed() {
    local(async {
        let worker = Worker::new();
        let handler = async |_, _| Pieces::response(1000, vec![0; 16 * 1024], true);
        let (mut sender, ended) = http2(&worker, handler).await;
        let start = Instant::now();
        let stalled = get(&mut sender, "/").await.unwrap();
        // Keep-alive pings are answered all the same.
        let _ = ended.await.unwrap();
        assert!((300..304).contains(&start.elapsed().as_secs()));
        assert_eq!(worker.permits.available_permits(), 100);
        let mut body = stalled.into_body();
        let mut received = 0;
        while let Some(Ok(piece)) = body.data().await {
            received += piece.len();
        }
        assert!(received < 1000 * 16 * 1024 && !body.is_end_stream());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn after_eight_refusals_the_connection_ends_with_goaway() {
    local(async {
        let handler = async |_, caller: Rc<CallerConnection>| {
            caller.refused();
            answer(StatusCode::FORBIDDEN, "no")
        };
        let (mut sender, ended) = http2(&Worker::new(), handler).await;
        for count in 1..=8 {
            let refused = get(&mut sender, "/").await.unwrap();
            assert_eq!(refused.status(), StatusCode::FORBIDDEN, "{count}");
            assert_eq!(text(refused).await, "no");
        }
        let ended = tokio::time::timeout(Duration::from_secs(1), ended).await;
        ended.unwrap().unwrap().unwrap();
        assert!(sender.ready().await.is_err());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_at_its_limit() {
    local(async {
        let (mut sender, ended) = http2(&Worker::new(), echo_path).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        text(get(&mut sender, "/").await.unwrap()).await;
        let start = Instant::now();
        ended.await.unwrap().unwrap();
        assert!((75..77).contains(&start.elapsed().as_secs()));
    })
    .await;
}
