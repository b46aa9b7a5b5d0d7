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
    #[error("{}", nothing_found(.file, .hcloud.as_deref()))]
    NothingFound {
        /// The configured file.
        file: PathBuf,
        /// KooCLI's file, if there is one.
        hcloud: Option<PathBuf>,
    },
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
    /// The error as one of the problems with a configuration.
    #[must_use]
    pub fn into_problem(self) -> Problem {
        Problem {
            place: Place::Nowhere,
            key: "credentials".to_owned(),
            message: self.to_string(),
        }
    }
}

fn nothing_found(file: &Path, hcloud: Option<&Path>) -> String {
    let mut text = format!(
        "there is no key: not in HUAWEICLOUD_SDK_AK and HUAWEICLOUD_SDK_SK, not in HW_ACCESS_KEY and HW_SECRET_KEY, not in {}, \
         not in ~/.huaweicloud/credentials; download credentials.csv from My Credentials in the console and give --credentials credentials.csv",
        file.display()
    );
    if let Some(path) = hcloud {
        let hint = write!(
            text,
            " ({} is there: if its keys are not encrypted, give --credentials {0})",
            path.display()
        );
        hint.expect("writing to a string cannot fail");
    }
    text
}
