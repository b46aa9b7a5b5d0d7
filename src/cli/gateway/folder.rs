//! The folder with the secrets of the embedded gateway, which no other user can read.
//!
//! It may be a folder of the user, with a `credentials.csv` that is in use: files that are there are
//! replaced only if an earlier gateway has left its mark.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use secrecy::ExposeSecret;

use crate::config::Environment;
use crate::credentials::Credentials;
use crate::emulator::{Accounts, Emulator, Federation, POD_IDENTITY_PATH};

/// A folder with secrets, which only this user can read.
#[derive(Debug)]
pub(in crate::cli) struct Folder {
    pub(in crate::cli) path: PathBuf,
    /// True if this program created it, and removes it.
    own: bool,
    /// True if files of an earlier gateway are replaced.
    replaces: bool,
}

/// The mark of a folder that a gateway has written.
const MARK: &str = ".apig-proxy-gateway";

impl Folder {
    /// Creates the folder: the named one, or a new one of this program.
    pub(in crate::cli) fn create(
        named: Option<&Path>,
        environment: &Environment,
    ) -> io::Result<Self> {
        let own = named.is_none();
        let path = named.map(Path::to_owned).unwrap_or_else(|| {
            let parent = environment.path("TMPDIR").unwrap_or_else(|| "/tmp".into());
            parent.join(format!("apig-proxy-gateway-{:08x}", fastrand::u32(..)))
        });
        // Its own folder must be new: another user may have created one with its name.
        let mut builder = DirBuilder::new();
        builder.recursive(!own).mode(0o700).create(&path)?;
        let replaces = !own && path.join(MARK).exists();
        Ok(Self {
            path,
            own,
            replaces,
        })
    }

    /// Writes one file for each secret, and the configuration that uses them.
    pub(in crate::cli) fn write(&self, emulator: &Emulator, accounts: &Accounts) -> io::Result<()> {
        self.put(MARK, "")?;
        self.put("credentials.csv", &csv(&accounts.keys))?;
        self.put("app.csv", &csv(&accounts.apps))?;
        let secrets = [
            ("app_code", &accounts.app_codes),
            ("api_key", &accounts.api_keys),
        ];
        for (name, secrets) in secrets {
            secrets
                .first()
                .map_or(Ok(()), |secret| self.put(name, secret.expose_secret()))?;
        }
        if let Some(user) = accounts.users.first() {
            self.put("iam_domain", &user.domain)?;
            self.put("iam_user", &user.name)?;
            self.put("iam_password", user.password.expose_secret())?;
        }
        if let Some(token) = &accounts.pod_token {
            self.put("pod_token", token.expose_secret())?;
        }
        if let Some(federation) = &accounts.federation {
            self.put("id_token", federation.id_token.expose_secret())?;
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
                services + POD_IDENTITY_PATH,
            ),
            ("HC_CONTAINER_AUTHORIZATION_TOKEN_FILE", file("pod_token")),
        ];
        let lines =
            variables.map(|(name, value)| format!("{name}='{}'\n", value.replace('\'', r"'\''")));
        Ok(lines.concat())
    }

    /// Writes a new file.
    fn put(&self, name: &str, content: &str) -> io::Result<()> {
        let path = self.path.join(name);
        if self.replaces && path.exists() {
            fs::remove_file(&path)?;
        }
        let mut options = OpenOptions::new();
        let options = options.write(true).create_new(true).mode(0o600);
        options.open(path)?.write_all(content.as_bytes())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.own {
            // What is left behind has no value once the gateway has ended.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Access keys in the format of the console.
fn csv(keys: &[Credentials]) -> String {
    let rows = keys.iter().map(|key| {
        let secret = key.secret_key.expose_secret();
        format!("\"demo\",{},{secret}\n", key.access_key)
    });
    let header = "User Name,Access Key Id,Secret Access Key\n".to_owned();
    std::iter::once(header).chain(rows).collect()
}

/// A configuration in which one word changes how requests authenticate.
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
