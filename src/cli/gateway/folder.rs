//! The folder in which callers of the emulated gateway find what they need.
//!
//! # What can go wrong
//!
//! It may be somebody's own folder: only new files are written, which nobody else can read, and nothing
//! that is there is touched.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use crate::config::Environment;
use crate::credentials::Credentials;
use crate::emulator::{Accounts, Emulator, Federation, POD_IDENTITY_PATH};

/// Where a caller finds what it needs.
#[derive(Debug)]
pub(in crate::cli) struct Folder {
    pub(in crate::cli) path: PathBuf,
    /// Whether it is the command's own, and is removed with it.
    own: bool,
}

impl Folder {
    pub(in crate::cli) fn prepare(
        named: Option<&Path>,
        environment: &Environment,
    ) -> io::Result<Self> {
        let (path, own) = match named {
            Some(path) => (path.to_owned(), false),
            None => {
                let temporary = environment.path("TMPDIR").unwrap_or_else(|| "/tmp".into());
                (
                    temporary.join(format!("apig-proxy-gateway-{:08x}", fastrand::u32(..))),
                    true,
                )
            }
        };
        // A folder of one's own must not be somebody else's that was put there before.
        DirBuilder::new()
            .recursive(!own)
            .mode(0o700)
            .create(&path)?;
        Ok(Self { path, own })
    }

    /// Writes one file for each secret, and what says where they are used.
    pub(in crate::cli) fn write(&self, emulator: &Emulator, accounts: &Accounts) -> io::Result<()> {
        for (name, keys) in [
            ("credentials.csv", &accounts.keys),
            ("app.csv", &accounts.apps),
        ] {
            self.put(name, &csv(keys))?;
        }
        for (name, secrets) in [
            ("app_code", &accounts.app_codes),
            ("api_key", &accounts.api_keys),
        ] {
            self.put_secret(name, secrets.first())?;
        }
        if let Some(user) = accounts.users.first() {
            self.put("iam_domain", &user.domain)?;
            self.put("iam_user", &user.name)?;
            self.put_secret("iam_password", Some(&user.password))?;
        }
        self.put_secret("pod_token", accounts.pod_token.as_ref())?;
        if let Some(federation) = &accounts.federation {
            self.put_secret("id_token", Some(&federation.id_token))?;
            self.put("identity.env", &self.variables(emulator, federation)?)?;
        }
        self.put("ca.pem", &emulator.root_pem())?;
        // The last one, so that whoever waits for it finds the others.
        self.put("apig-proxy.toml", &config(emulator))
    }

    /// The environment in which the SDKs find the emulated services.
    fn variables(&self, emulator: &Emulator, federation: &Federation) -> io::Result<String> {
        let folder = self.path.canonicalize()?;
        let file = |name: &str| folder.join(name).display().to_string();
        let services = format!("http://{}", emulator.cloud_address());
        let variables = [
            ("HUAWEICLOUD_SDK_IAM_ENDPOINT", services.clone()),
            ("HUAWEICLOUD_SDK_STS_ENDPOINT", services.clone()),
            ("HUAWEICLOUD_SDK_IDP_ID", federation.idp_id.clone()),
            ("HUAWEICLOUD_SDK_ID_TOKEN_FILE", file("id_token")),
            (
                "HUAWEICLOUD_OIDC_PROVIDER_URN",
                federation.provider_urn.clone(),
            ),
            ("HUAWEICLOUD_OIDC_AGENCY_URN", federation.agency_urn.clone()),
            ("HUAWEICLOUD_OIDC_TOKEN_FILE", file("id_token")),
            (
                "HC_CONTAINER_CREDENTIALS_FULL_URI",
                format!("{services}{POD_IDENTITY_PATH}"),
            ),
            ("HC_CONTAINER_AUTHORIZATION_TOKEN_FILE", file("pod_token")),
        ];
        let lines = variables.iter().map(|(name, value)| {
            let value = value.replace('\'', r"'\''");
            format!("{name}='{value}'\n")
        });
        Ok(lines.collect())
    }

    fn put_secret(&self, name: &str, secret: Option<&SecretString>) -> io::Result<()> {
        secret.map_or(Ok(()), |secret| self.put(name, secret.expose_secret()))
    }

    /// Writes a new file: a folder may hold a `credentials.csv` that somebody needs.
    fn put(&self, name: &str, content: &str) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.path.join(name))?;
        file.write_all(content.as_bytes())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.own {
            // What is left behind is of no use to anybody.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

fn csv(keys: &[Credentials]) -> String {
    let rows = keys.iter().map(|key| {
        let secret = key.secret_key.expose_secret();
        format!("\"demo\",{},{secret}\n", key.access_key)
    });
    let header = "User Name,Access Key Id,Secret Access Key\n".to_owned();
    std::iter::once(header).chain(rows).collect()
}

/// A configuration in which one word changes what requests show.
fn config(emulator: &Emulator) -> String {
    let (address, services) = (emulator.address(), emulator.cloud_address());
    format!(
        r#"upstream = "https://{address}"

[auth]
# Or "token", "app-code", "api-key": what each of them needs is below.
mode = "aksk"

[credentials]
# Or app.csv, with the key and secret of an app, which sign in the same way.
file = "credentials.csv"
# Instead of a file: source = "metadata"; and after ". ./identity.env" also "oidc", "idp" and "pod-identity".
metadata_endpoint = "http://{services}"
iam_endpoint = "http://{services}"
iam_user_file = "iam_user"
iam_password_file = "iam_password"
iam_domain_file = "iam_domain"
app_code_file = "app_code"
api_key_file = "api_key"

[limits]
# Or "token", which lets bodies of more than 12 MiB go out with a token.
large_body = "reject"

[upstream_tls]
ca_file = "ca.pem"
"#
    )
}
