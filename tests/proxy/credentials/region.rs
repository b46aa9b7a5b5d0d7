//! An emulated gateway with its cloud, and proxies in front of it that are configured by text.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use apig_proxy::config::{self, Config, Environment};
use apig_proxy::credentials::Credentials;
use apig_proxy::emulator::{
    Accounts, Cloud, Counts, Emulator, POD_IDENTITY_PATH, Readings, Service,
};
use rustls::pki_types::CertificateDer;
use secrecy::{ExposeSecret, SecretString};
use tempfile::TempDir;

use crate::support::{Answer, Proxy, runtime};

/// A gateway with its cloud, and a folder with the secrets that it knows.
pub(crate) struct Region {
    pub(crate) address: std::net::SocketAddr,
    pub(crate) cloud: Arc<Cloud>,
    pub(crate) counts: Arc<Counts>,
    pub(crate) accounts: Accounts,
    services: String,
    root: CertificateDer<'static>,
    folder: TempDir,
}

/// An access key with a secret derived from it.
pub(crate) fn key(access_key: &str) -> Credentials {
    Credentials {
        access_key: access_key.to_owned(),
        secret_key: format!("{access_key}-SECRET-0123456789").into(),
        security_token: None,
    }
}

/// Writes a file that only its owner can read.
pub(crate) fn put(path: &Path, content: &str) {
    fs::write(path, content).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

impl Region {
    pub(crate) fn new(accounts: Accounts) -> Self {
        Self::at("127.0.0.1:0", accounts, Readings::default())
    }

    /// A gateway at this address that reads requests in this way, with the cloud on loopback.
    pub(crate) fn at(address: &str, accounts: Accounts, readings: Readings) -> Self {
        let address = address.parse().unwrap();
        let emulator = Emulator::bind(address, accounts.clone()).unwrap();
        let emulator = emulator.with_readings(readings);
        let region = Self {
            address: emulator.address,
            cloud: emulator.cloud(),
            counts: emulator.counts(),
            services: format!("http://{}", emulator.cloud_address),
            root: emulator.authority.root(),
            folder: tempfile::tempdir().unwrap(),
            accounts,
        };
        thread::spawn(move || {
            let runtime = runtime();
            let serving = emulator.serve(std::future::pending());
            runtime.block_on(serving).unwrap();
        });
        region.fill();
        region
    }

    /// Writes the secrets of the accounts to files.
    fn fill(&self) {
        let accounts = &self.accounts;
        let first = |secrets: &[SecretString]| secrets.first().cloned();
        let user = accounts.users.first();
        let plain = |text: Option<&String>| text.map(|text| SecretString::from(text.as_str()));
        let federation = accounts.federation.as_ref();
        for (name, secret) in [
            ("app_code", first(&accounts.app_codes)),
            ("api_key", first(&accounts.api_keys)),
            ("token", first(&accounts.tokens)),
            ("iam_user", plain(user.map(|user| &user.name))),
            ("iam_password", user.map(|user| user.password.clone())),
            ("iam_domain", plain(user.map(|user| &user.domain))),
            ("pod_token", accounts.pod_token.clone()),
            (
                "id_token",
                federation.map(|federation| federation.id_token.clone()),
            ),
        ] {
            if let Some(secret) = secret {
                self.file(name, secret.expose_secret());
            }
        }
    }

    pub(crate) fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        put(&path, content);
        path
    }

    /// Writes a file with this key.
    pub(crate) fn key_file(&self, name: &str, access_key: &str, secret: &str) {
        let csv = format!("Access Key Id,Secret Access Key\n{access_key},{secret}\n");
        self.file(name, &csv);
    }

    /// Writes a file with the key of an account.
    pub(crate) fn own_key_file(&self, name: &str, at: usize) {
        let key = &self.accounts.keys[at];
        self.key_file(name, &key.access_key, key.secret_key.expose_secret());
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A route to the gateway, for a configuration file.
    pub(crate) fn route(&self, path: &str, more: &str) -> String {
        let address = self.address;
        format!("[[route]]\npath = \"{path}\"\nupstream = \"https://{address}\"\n{more}\n")
    }

    /// The configuration of a file with this text, in which UPSTREAM and SERVICES stand for the addresses.
    pub(crate) fn config(&self, text: &str) -> Config {
        let text = text
            .replace("UPSTREAM", &format!("https://{}", self.address))
            .replace("SERVICES", &self.services);
        let mut config = config::from_text(&self.path("apig-proxy.toml"), &text)
            .unwrap_or_else(|problems| panic!("{problems} in {text}"));
        let any = "127.0.0.1:0".parse().unwrap();
        config.listen = vec![config::Listen::Tcp(any)];
        config.admin = Some(config::Listen::Tcp(any));
        config.upstream_tls.extra_roots = vec![self.root.clone()];
        config
    }

    /// The variables of the SDKs that name the cloud's services.
    pub(crate) fn environment(&self) -> Environment {
        let path = |name: &str| self.path(name).display().to_string();
        let pod_identity = format!("{}{POD_IDENTITY_PATH}", self.services);
        let mut pairs = vec![
            ("HUAWEICLOUD_SDK_IAM_ENDPOINT", self.services.clone()),
            ("HUAWEICLOUD_SDK_STS_ENDPOINT", self.services.clone()),
            ("HUAWEICLOUD_SDK_ID_TOKEN_FILE", path("id_token")),
            ("HUAWEICLOUD_OIDC_TOKEN_FILE", path("id_token")),
            ("HC_CONTAINER_CREDENTIALS_FULL_URI", pod_identity),
            ("HC_CONTAINER_AUTHORIZATION_TOKEN_FILE", path("pod_token")),
        ];
        if let Some(federation) = self.accounts.federation.clone() {
            let (provider, agency) = (federation.provider_urn, federation.agency_urn);
            pairs.extend([
                ("HUAWEICLOUD_SDK_IDP_ID", federation.idp_id),
                ("HUAWEICLOUD_OIDC_PROVIDER_URN", provider),
                ("HUAWEICLOUD_OIDC_AGENCY_URN", agency),
            ]);
        }
        Environment::from_pairs(pairs.iter().map(|(name, value)| (*name, value.as_str())))
    }

    /// A proxy with this configuration and the environment of the cloud's services.
    pub(crate) fn proxy(&self, text: &str) -> Proxy {
        Proxy::start_from(&self.config(text), &self.environment())
    }
}

/// The sources whose secrets expire: the name of set and route, the service, and the keys of the set.
pub(crate) const SOURCES: [(&str, Service, &str); 5] = [
    ("metadata", Service::Metadata, METADATA),
    ("pod", Service::PodIdentity, "source = 'pod-identity'"),
    ("oidc", Service::Sts, "source = 'oidc'"),
    ("idp", Service::Idp, "source = 'idp'"),
    ("iam", Service::Iam, IAM),
];

const METADATA: &str = "source = 'metadata'\nmetadata_endpoint = 'SERVICES'";

/// The files of a user of IAM.
pub(crate) const IAM: &str = "iam_user_file = 'iam_user'\niam_password_file = 'iam_password'\niam_domain_file = 'iam_domain'\n";

/// A configuration with a route for each source. The names of the sets have this prefix.
pub(crate) fn of_all_sources(region: &Region, start: &str) -> String {
    let sets = SOURCES
        .iter()
        .map(|(name, _, keys)| format!("[credentials.{start}{name}]\n{keys}\n"));
    let routes = SOURCES.iter().map(|(name, service, _)| {
        let mode = match service {
            Service::Iam => "token",
            _ => "aksk",
        };
        let more = format!("credentials = \"{start}{name}\"\nauth = \"{mode}\"");
        region.route(&format!("/{name}"), &more)
    });
    sets.chain(routes).collect()
}

/// The emulated gateway's description of a request that it has accepted.
pub(crate) fn accepted(answer: &Answer) -> serde_json::Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}
