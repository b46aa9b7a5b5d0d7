//! An emulated gateway for a program that runs beside the test.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use apig_proxy::credentials::Credentials;
use apig_proxy::emulator::Emulator;

use crate::program::Place;

/// A gateway that takes the access key `AKTEST0000000000TEST` with this secret and this token. Its root is in
/// `ca.pem`.
pub(crate) fn gateway(place: &Place, secret: &str, token: Option<&str>) -> SocketAddr {
    let key = Credentials {
        access_key: "AKTEST0000000000TEST".to_owned(),
        secret_key: secret.into(),
        security_token: token.map(Into::into),
    };
    let emulator = Emulator::bind(
        "127.0.0.1:0".parse().unwrap(),
        &[key],
        Arc::new(apig_proxy::clock::unix_seconds),
    )
    .unwrap();
    let address = emulator.address();
    place.file("ca.pem", &emulator.root_pem());
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime
            .block_on(emulator.serve(std::future::pending()))
            .unwrap();
    });
    address
}
