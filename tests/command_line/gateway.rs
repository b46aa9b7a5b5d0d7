//! An emulated gateway for a program that runs beside the test.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use apig_proxy::credentials::Credentials;
use apig_proxy::emulator::{Accounts, Cloud, Emulator};

use crate::program::{AK, Place, SECRET};

/// A gateway that takes the access key `AK` with this secret and this token. Its root is in
/// `ca.pem`.
pub(crate) fn gateway(place: &Place, secret: &str, token: Option<&str>) -> SocketAddr {
    let key = Credentials {
        access_key: AK.to_owned(),
        secret_key: secret.into(),
        security_token: token.map(Into::into),
    };
    region(
        place,
        Accounts {
            keys: vec![key],
            ..Accounts::default()
        },
    )
    .address
}

/// Writes `apig-proxy.toml` for a proxy before a new gateway, which takes the key of `KEY`.
pub(crate) fn before_gateway(place: &Place, more: &str) -> SocketAddr {
    let gateway = gateway(place, SECRET, None);
    configure(place, gateway, more);
    gateway
}

/// Writes `apig-proxy.toml` for a proxy on a free port before this gateway.
pub(crate) fn configure(place: &Place, gateway: SocketAddr, more: &str) {
    let text = config("listen = \"127.0.0.1:0\"", gateway, more);
    place.file("apig-proxy.toml", &text);
}

/// The configuration of a proxy before this gateway.
pub(crate) fn config(listen: &str, gateway: SocketAddr, more: &str) -> String {
    format!(
        "{listen}\nupstream = \"https://{gateway}\"\n{more}\n[upstream_tls]\nca_file = \"ca.pem\"\n"
    )
}

/// A gateway with its cloud.
pub(crate) struct Region {
    /// Of the gateway.
    pub(crate) address: SocketAddr,
    /// Of the services, as a URL.
    pub(crate) services: String,
    pub(crate) cloud: Arc<Cloud>,
}

/// A gateway that knows these accounts, and its cloud. Its root is in `ca.pem`.
pub(crate) fn region(place: &Place, accounts: Accounts) -> Region {
    let any = "127.0.0.1:0".parse().unwrap();
    let emulator = Emulator::bind(any, accounts).unwrap();
    let region = Region {
        address: emulator.address,
        services: format!("http://{}", emulator.cloud_address),
        cloud: emulator.cloud(),
    };
    place.file("ca.pem", &emulator.authority.root_pem());
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime
            .block_on(emulator.serve(std::future::pending()))
            .unwrap();
    });
    region
}
