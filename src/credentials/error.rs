//! What can be wrong with credentials. Texts name files and variables, never what was read.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::Origin;
use crate::config::secret::SecretFileError;
use crate::config::{Place, Problem};

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialsError {
    /// No source has a key.
    #[error("{}", nothing_found(.passed_over, .hcloud.as_deref()))]
    NothingFound {
        /// Every source, and why it gives none.
        passed_over: Vec<(&'static str, String)>,
        /// KooCLI's file, if there is one.
        hcloud: Option<PathBuf>,
    },
    /// A file that has to be named is not.
    #[error("it is not said in which file it is; set the key of the configuration that names it")]
    NoFile,
    /// Pod identity is the source, and the pod has none.
    #[error(
        "credentials.source is \"pod-identity\", but HC_CONTAINER_CREDENTIALS_FULL_URI is not set; associate the pod's service account with an agency"
    )]
    NoPodIdentity,
    /// OIDC is the source, and no provider is named.
    #[error(
        "credentials.source is \"oidc\", but HUAWEICLOUD_OIDC_PROVIDER_URN is not set; set it, HUAWEICLOUD_OIDC_AGENCY_URN and HUAWEICLOUD_OIDC_TOKEN_FILE"
    )]
    NoOidc,
    /// An identity provider is the source, and none is named.
    #[error(
        "credentials.source is \"idp\", but HUAWEICLOUD_SDK_IDP_ID is not set; set it, and HUAWEICLOUD_SDK_ID_TOKEN_FILE"
    )]
    NoIdp,
    /// A variable has a value that cannot be used.
    #[error("{name}: {expected}")]
    Variable {
        /// The variable.
        name: &'static str,
        /// What is expected.
        expected: &'static str,
    },
    /// A file with a token, an app code or an API key has something else in it.
    #[error("{} does not hold one word of visible ascii characters; write it anew, and nothing else", .0.display())]
    NotText(PathBuf),
    /// The environment is the source, and has no key.
    #[error(
        "credentials.source is \"env\", but no variable has a key; set HUAWEICLOUD_SDK_AK and HUAWEICLOUD_SDK_SK"
    )]
    NoVariables,
    /// The profile is the source, and nobody knows where it is.
    #[error(
        "credentials.source is \"profile\", but HOME is not set; set it, or HUAWEICLOUD_SDK_CREDENTIALS_FILE"
    )]
    NoHome,
    /// One of two variables is set.
    #[error("{present} is set, but {missing} is not; set both, or neither")]
    HalfInEnvironment {
        /// The variable that is set.
        present: &'static str,
        /// The variable that is not.
        missing: &'static str,
    },
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] SecretFileError),
    /// A file is UTF-16.
    #[error("{} is UTF-16, as some editors save it; save it as UTF-8, or download it again", .0.display())]
    Utf16(PathBuf),
    /// A file is no text.
    #[error("{} is not UTF-8 text; download it again", .0.display())]
    NotUtf8(PathBuf),
    /// A file has not the columns of a `credentials.csv`.
    #[error(
        "{} has no columns \"Access Key Id\" and \"Secret Access Key\" in its first line; \
         download credentials.csv again and leave its first line as it is", .0.display()
    )]
    Columns(PathBuf),
    /// A file has an API key, which is another thing.
    #[error(
        "{} holds an API key of ModelArts, which does not sign requests; download an access key from \
         My Credentials in the console", .0.display()
    )]
    ApiKey(PathBuf),
    /// A file has columns and no key below.
    #[error("{} has no key below its first line; download it again", .0.display())]
    NoRow(PathBuf),
    /// No row is of the chosen user.
    #[error("{} has no key of the user that credentials.user names; correct the name, or leave it out for the first", .0.display())]
    NoSuchUser(PathBuf),
    /// A profile lacks a key.
    #[error("{} has no ak and sk in its section [basic]; add both", .0.display())]
    Profile(PathBuf),
    /// A file begins like a profile, but is not one.
    #[error("{} is not a profile with lines of the form name = value; correct it", .0.display())]
    NotAProfile(PathBuf),
    /// KooCLI's file, with encrypted keys.
    #[error(
        "{} is KooCLI's configuration, and its keys are encrypted; run \"hcloud configure set --cli-auth-encrypt=false\" \
         (KooCLI 5.2.7 or newer) and configure the key again, or use a credentials.csv", .0.display()
    )]
    Encrypted(PathBuf),
    /// A file begins like KooCLI's, but has no key of its shape.
    #[error("{} is JSON, but not KooCLI's configuration with an access key; use a credentials.csv", .0.display())]
    NotHcloud(PathBuf),
    /// A part of the key is empty, or has blanks within.
    #[error("a part of the key from {0} is empty or has blanks within; copy it again, as a whole")]
    Blanks(Origin),
    /// A part of the key cannot be sent.
    #[error("the access key from {0} has characters that no access key has; copy it again")]
    NotAKey(Origin),
    /// The key is of another cloud.
    #[error(
        "the access key from {0} is one of another cloud, by its first letters; use one of Huawei Cloud"
    )]
    OtherCloud(Origin),
}

impl CredentialsError {
    /// The error as one of the problems with a configuration: with the set that it is about.
    #[must_use]
    pub fn into_problem(self, set: Option<&str>) -> Problem {
        Problem {
            place: Place::Nowhere,
            key: match set {
                Some(name) => format!("credentials.{name}"),
                None => "credentials".to_owned(),
            },
            message: self.to_string(),
        }
    }
}

fn nothing_found(passed_over: &[(&'static str, String)], hcloud: Option<&Path>) -> String {
    let mut text =
        "there is no key; download credentials.csv from My Credentials in the console and give \
                    --credentials credentials.csv, or set HUAWEICLOUD_SDK_AK and HUAWEICLOUD_SDK_SK"
            .to_owned();
    let mut put = |piece: std::fmt::Arguments<'_>| {
        let put = text.write_fmt(piece);
        put.expect("writing to a string cannot fail");
    };
    for (at, (source, why)) in passed_over.iter().enumerate() {
        let before = if at == 0 { " (looked for in: " } else { "; " };
        put(format_args!("{before}{source}: {why}"));
    }
    if !passed_over.is_empty() {
        put(format_args!(")"));
    }
    if let Some(path) = hcloud {
        put(format_args!(
            " ({} is there: if its keys are not encrypted, give --credentials {0})",
            path.display()
        ));
    }
    text
}
