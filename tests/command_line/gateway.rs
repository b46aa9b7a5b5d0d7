//! An emulated gateway for a program that runs beside the test.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use apig_proxy::credentials::Credentials;
use apig_proxy::emulator::{Accounts, Cloud, Emulator};

use crate::program::{AK, GET, Place, Running, SECRET, exchange, key_file, signal};

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

/// A proxy before a gateway, with a configuration file that can be changed, and a file with its key.
pub(crate) struct Scene {
    pub(crate) place: Place,
    pub(crate) gateway: SocketAddr,
    pub(crate) program: Running,
    pub(crate) address: SocketAddr,
    /// The admin listener, if the environment has one.
    pub(crate) admin: Option<SocketAddr>,
}

impl Scene {
    pub(crate) fn start() -> Self {
        Self::with(Place::new(), &[], &[], "")
    }

    /// With these arguments and variables, and with more in the configuration file.
    pub(crate) fn with(
        place: Place,
        arguments: &[&str],
        environment: &[(&str, &str)],
        more: &str,
    ) -> Self {
        let gateway = before_gateway(&place, more);
        key_file(&place, "credentials.csv", SECRET);
        let mut program = Running::start(place.command(arguments, environment));
        let has_admin = environment
            .iter()
            .any(|(name, _)| *name == "APIG_PROXY_ADMIN");
        let admin = has_admin.then(|| program.admin_address());
        let address = program.address();
        Self {
            place,
            gateway,
            program,
            address,
            admin,
        }
    }

    /// Changes the configuration file, and has it read: the line that says what came of it.
    pub(crate) fn reload(&mut self, more: &str) -> String {
        configure(&self.place, self.gateway, more);
        hang_up(&mut self.program)
    }

    /// The status of a request.
    pub(crate) fn status(&self) -> String {
        status(self.address)
    }
}

/// Sends SIGHUP, and reads the line that says what came of it.
pub(crate) fn hang_up(program: &mut Running) -> String {
    signal(program.id(), "HUP");
    program.line_with("reloaded, ")
}

pub(crate) fn status(address: SocketAddr) -> String {
    exchange(address, GET)[9..12].to_owned()
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
