//! Keys in environment variables: the SDKs' names first, then those of Terraform and of the samples
//! in the documentation.

use super::CredentialsError;
use super::types::{Credentials, Lease, Origin, Secret};
use crate::config::Environment;

/// The variables of each convention, for access key and secret key. Those for a security token and a
/// project begin in the same way.
const NAMES: [(&str, &str); 4] = [
    ("HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK"),
    ("HW_ACCESS_KEY", "HW_SECRET_KEY"),
    ("OS_ACCESS_KEY", "OS_SECRET_KEY"),
    ("CLOUD_SDK_AK", "CLOUD_SDK_SK"),
];

/// The key of the first convention that has one.
pub(super) fn find(environment: &Environment) -> Result<Lease, CredentialsError> {
    let text = |name: &str| {
        let text = environment.text(name).map(str::trim);
        text.filter(|text| !text.is_empty())
    };
    for (access_name, secret_name) in NAMES {
        let half = |present, missing| CredentialsError::HalfInEnvironment { present, missing };
        let (access_key, secret_key) = match (text(access_name), environment.secret(secret_name)) {
            (None, None) => continue,
            (Some(access_key), Some(secret_key)) => (access_key, secret_key),
            (Some(_), None) => return Err(half(access_name, secret_name)),
            (None, Some(_)) => return Err(half(secret_name, access_name)),
        };
        let start = access_name.trim_end_matches("ACCESS_KEY");
        let start = start.trim_end_matches("AK");
        let token = environment.secret(&format!("{start}SECURITY_TOKEN"));
        let project_id = text(&format!("{start}PROJECT_ID")).and_then(|id| id.parse().ok());
        let origin = Origin::Environment(access_name);
        return match Credentials::checked(access_key, secret_key, token) {
            Ok(key) => Ok(Lease {
                project_id,
                ..Lease::lasting(Secret::Key(key), origin)
            }),
            Err(problem) => Err(CredentialsError::Invalid { origin, problem }),
        };
    }
    Err(CredentialsError::absent(
        "none of HUAWEICLOUD_SDK_AK, HW_ACCESS_KEY, OS_ACCESS_KEY and CLOUD_SDK_AK is set",
        "set HUAWEICLOUD_SDK_AK and HUAWEICLOUD_SDK_SK",
    ))
}
