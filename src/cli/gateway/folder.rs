//! The folder with the secrets of the embedded gateway, which no other user can read.
//!
//! The user may name a folder that has a `credentials.csv` of its own. Existing files are therefore
//! replaced only if an earlier gateway has left its mark.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use crate::config::Environment;
use crate::credentials::Credentials;
use crate::emulator::{Accounts, Emulator, Federation, POD_IDENTITY_PATH};
use crate::inspect::quoted;

/// The mark of a folder that a gateway has written.
const MARK: &str = ".apig-proxy-gateway";

/// A folder with secrets, which only this user can read.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    /// True if this program created it, and removes it.
    own: bool,
}

impl Folder {
    /// Creates the folder: the named one, or a new one of this program.
    pub(super) fn create(named: Option<&Path>, environment: &Environment) -> io::Result<Self> {
        let own = named.is_none();
        let path = named.map(Path::to_owned).unwrap_or_else(|| {
            let parent = environment.path("TMPDIR").unwrap_or_else(|| "/tmp".into());
            parent.join(format!("apig-proxy-gateway-{:08x}", fastrand::u32(..)))
        });
        // Its own folder must be new: another user may have created one with its name.
        let mut builder = DirBuilder::new();
        builder.recursive(!own).mode(0o700).create(&path)?;
        Ok(Self { path, own })
    }

    /// Writes one file for each secret, and the configuration that uses them. The mark that is returned keeps
    /// other gateways away until it is dropped.
    pub(super) fn write(&self, emulator: &Emulator, accounts: &Accounts) -> io::Result<File> {
        let files = self.files(emulator, accounts)?;
        let mark = self.path.join(MARK);
        let replaces = mark.exists();
        let mut names = files.iter().map(|(name, _)| name);
        // Before anything is written: a mark beside a file of the user would give that to the next start.
        if !replaces && let Some(name) = names.find(|name| self.path.join(name).exists()) {
            return Err(io::Error::other(format!(
                "`{name}` was not written by a gateway, so it is not replaced"
            )));
        }
        let mut options = OpenOptions::new();
        let options = options.write(true).mode(0o600);
        let mark = options.clone().create(true).open(mark)?;
        if let Err(TryLockError::WouldBlock) = mark.try_lock() {
            return Err(io::Error::other("another gateway uses the folder"));
        }
        for (name, content) in files {
            let path = self.path.join(name);
            if replaces && path.exists() {
                fs::remove_file(&path)?;
            }
            let mut file = options.create_new(true).open(path)?;
            file.write_all(content.as_bytes())?;
        }
        Ok(mark)
    }

    fn files(
        &self,
        emulator: &Emulator,
        accounts: &Accounts,
    ) -> io::Result<Vec<(&'static str, String)>> {
        let text = |secret: Option<&SecretString>| {
            secret.map_or_else(String::new, |secret| secret.expose_secret().to_owned())
        };
        let (user, federation) = (accounts.users.first(), accounts.federation.as_ref());
        let id_token = federation.map(|federation| &federation.id_token);
        let variables = federation.map(|federation| self.variables(emulator, federation));
        let [domain, name] = match user {
            Some(user) => [&user.domain, &user.name].map(String::clone),
            None => Default::default(),
        };
        Ok(vec![
            ("credentials.csv", csv(&accounts.keys)),
            ("app.csv", csv(&accounts.apps)),
            ("app_code", text(accounts.app_codes.first())),
            ("api_key", text(accounts.api_keys.first())),
            ("iam_domain", domain),
            ("iam_user", name),
            ("iam_password", text(user.map(|user| &user.password))),
            ("pod_token", text(accounts.pod_token.as_ref())),
            ("id_token", text(id_token)),
            ("identity.env", variables.transpose()?.unwrap_or_default()),
            ("ca.pem", emulator.authority.root_pem()),
            // The last one, so that whoever waits for it finds the others.
            ("apig-proxy.toml", config(emulator)),
        ])
    }

    /// The environment in which the SDKs find the emulated services.
    fn variables(&self, emulator: &Emulator, federation: &Federation) -> io::Result<String> {
        let folder = self.path.canonicalize()?;
        let [id_token, pod_token] = ["id_token", "pod_token"].map(|name| quoted(folder.join(name)));
        let services = format!("http://{}", emulator.cloud_address);
        let (idp, provider) = (&federation.idp_id, &federation.provider_urn);
        Ok(format!(
            "HUAWEICLOUD_SDK_IAM_ENDPOINT='{services}'\n\
             HUAWEICLOUD_SDK_STS_ENDPOINT='{services}'\n\
             HUAWEICLOUD_SDK_IDP_ID='{idp}'\n\
             HUAWEICLOUD_SDK_ID_TOKEN_FILE={id_token}\n\
             HUAWEICLOUD_OIDC_PROVIDER_URN='{provider}'\n\
             HUAWEICLOUD_OIDC_AGENCY_URN='{}'\n\
             HUAWEICLOUD_OIDC_TOKEN_FILE={id_token}\n\
             HC_CONTAINER_CREDENTIALS_FULL_URI='{services}{POD_IDENTITY_PATH}'\n\
             HC_CONTAINER_AUTHORIZATION_TOKEN_FILE={pod_token}\n",
            federation.agency_urn
        ))
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
    let (address, services) = (emulator.address, emulator.cloud_address);
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
