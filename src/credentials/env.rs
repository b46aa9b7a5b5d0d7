//! Keys in environment variables: the SDKs' names first, then those of Terraform and of the samples
//! in the documentation.

use super::CredentialsError;
use super::types::{Credentials, Lease, Origin, Secret};
use crate::config::Environment;

/// The variables of each convention, for access key, secret key, security token and project.
const NAMES: [[&str; 4]; 4] = [
    [
        "HUAWEICLOUD_SDK_AK",
        "HUAWEICLOUD_SDK_SK",
        "HUAWEICLOUD_SDK_SECURITY_TOKEN",
        "HUAWEICLOUD_SDK_PROJECT_ID",
    ],
    [
        "HW_ACCESS_KEY",
        "HW_SECRET_KEY",
        "HW_SECURITY_TOKEN",
        "HW_PROJECT_ID",
    ],
    [
        "OS_ACCESS_KEY",
        "OS_SECRET_KEY",
        "OS_SECURITY_TOKEN",
        "OS_PROJECT_ID",
    ],
    [
        "CLOUD_SDK_AK",
        "CLOUD_SDK_SK",
        "CLOUD_SDK_SECURITY_TOKEN",
        "CLOUD_SDK_PROJECT_ID",
    ],
];

/// The key of the first convention that has one.
///
/// # Errors
///
/// [`CredentialsError`] if a convention has half a key, or one that cannot be used.
pub(super) fn find(environment: &Environment) -> Result<Lease, CredentialsError> {
    for [access_name, secret_name, token_name, project_name] in NAMES {
        let text = |name| {
            environment
                .text(name)
                .map(str::trim)
                .filter(|text| !text.is_empty())
        };
        let half = |present, missing| CredentialsError::HalfInEnvironment { present, missing };
        let (access_key, secret_key) = match (text(access_name), environment.secret(secret_name)) {
            (None, None) => continue,
            (Some(access_key), Some(secret_key)) => (access_key, secret_key),
            (Some(_), None) => return Err(half(access_name, secret_name)),
            (None, Some(_)) => return Err(half(secret_name, access_name)),
        };
        let origin = Origin::Environment(access_name);
        let token = environment.secret(token_name);
        return match Credentials::checked(access_key, secret_key, token) {
            Ok(key) => Ok(Lease {
                project_id: text(project_name).and_then(|id| id.parse().ok()),
                ..Lease::lasting(Secret::Key(key), origin)
            }),
            Err(problem) => Err(CredentialsError::Invalid { origin, problem }),
        };
    }
    Err(CredentialsError::absent(
        "HUAWEICLOUD_SDK_AK and the like are not set",
        "set HUAWEICLOUD_SDK_AK and HUAWEICLOUD_SDK_SK",
    ))
}
