//! What `run` does not prevent: a program can read the files of its user, those with secrets too.

use std::path::PathBuf;

use rustix::fs::{Access, access};

use crate::config::{Config, Environment, TokenSource};
use crate::escape::Escaped;

/// The files with secrets that are there and that the program can read.
pub(super) fn readable_secrets(config: &Config, environment: &Environment) -> Vec<String> {
    let in_home = |path: &str| environment.path("HOME").map(|home| home.join(path));
    let mut files: Vec<PathBuf> = Vec::new();
    for set in &config.credentials {
        files.push(set.file.clone());
        files.extend(set.app_code.clone());
        files.extend(set.api_key.clone());
        match &set.token {
            Some(TokenSource::File(path)) => files.push(path.clone()),
            Some(TokenSource::Iam(user)) => files.push(user.password.clone()),
            None => {}
        }
    }
    let named = [
        "HUAWEICLOUD_SDK_CREDENTIALS_FILE",
        "HUAWEICLOUD_OIDC_TOKEN_FILE",
        "CREDENTIALS_DIRECTORY",
    ];
    files.extend(named.into_iter().filter_map(|name| environment.path(name)));
    let usual = [".huaweicloud/credentials", ".hcloud/config.json"];
    files.extend(usual.into_iter().filter_map(in_home));
    files.retain(|path| access(path, Access::READ_OK).is_ok());
    files.sort_unstable();
    files.dedup();
    let shown = files.iter().map(|path| Escaped(path.display()).to_string());
    shown.collect()
}
