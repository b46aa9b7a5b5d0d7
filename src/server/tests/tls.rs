use std::sync::Arc;

use rustls::pki_types::{PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::AsyncWriteExt;
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::proxy::guard::ListenerKind;

/// Both sides of TLS with a certificate of this moment.
pub(super) fn tls(alpn: &[&[u8]]) -> (TlsAcceptor, TlsConnector) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .unwrap();
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    (
        TlsAcceptor::from(Arc::new(server)),
        TlsConnector::from(Arc::new(client)),
    )
}

async fn connect(toy: &Toy, alpn: &[&[u8]]) -> TlsStream<TcpStream> {
    let (acceptor, connector) = tls(alpn);
    let (near, far) = tcp_pair().await;
    toy.serve(
        Accepted::Tls(near, acceptor),
        async |request: Request<Incoming>, caller: Rc<CallerConnection>| {
            assert_eq!(caller.listener(), ListenerKind::Tls);
            answer(StatusCode::OK, format!("{:?}", request.version()))
        },
    );
    let name = ServerName::try_from("localhost").unwrap();
    connector.connect(name, far).await.unwrap()
}

#[tokio::test]
async fn fault_81_alpn_settles_the_protocol() {
    local(async {
        let toy = Toy::new();
        let stream = connect(&toy, &[b"h2", b"http/1.1"]).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (sender, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::task::spawn_local(connection);
        let mut sender = sender.ready().await.unwrap();
        let request = Request::get("https://localhost/").body(()).unwrap();
        let (response, _) = sender.send_request(request, true).unwrap();
        let mut body = response.await.unwrap().into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), "HTTP/2.0");
    })
    .await;
}

#[tokio::test]
async fn http_1_1_is_served_over_tls_with_and_without_alpn() {
    for alpn in [&[&b"http/1.1"[..]][..], &[]] {
        local(async {
            let mut stream = connect(&Toy::new(), alpn).await;
            stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
            assert_eq!(read_answer(&mut stream).await.1, "HTTP/1.1");
        })
        .await;
    }
}

#[tokio::test]
async fn a_handshake_that_is_not_completed_is_closed_at_the_limit_for_heads() {
    let limits = IdleLimits {
        header_read: Duration::from_millis(200),
        ..LIMITS
    };
    local(async {
        let (acceptor, _) = tls(&[]);
        let (near, mut far) = tcp_pair().await;
        Toy::with(limits, 1).serve(Accepted::Tls(near, acceptor), echo_path);
        far.write_all(&[0x16, 3, 1, 2, 0]).await.unwrap();
        let closed = tokio::time::timeout(DEADLINE, far.read_u8()).await.unwrap();
        assert!(closed.is_err());
    })
    .await;
}
