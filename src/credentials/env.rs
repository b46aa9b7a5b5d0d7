//! Keys in environment variables: the SDKs' names first, then Terraform's.

use super::CredentialsError;
use super::types::{Credentials, Lease, Origin, Secret};
use crate::config::Environment;

/// Names of the variables for access key, secret key, security token and project of one convention.
const NAMES: [[&str; 4]; 3] = [
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
];

/// The key of the first convention that has one.
///
/// # Errors
///
/// [`CredentialsError`] if a convention has half a key, or one that cannot be used.
pub(super) fn find(environment: &Environment) -> Result<Lease, CredentialsError> {
    for [access_name, secret_name, token_name, project_name] in NAMES {
        let access_key = environment.text(access_name).map(str::trim);
        let access_key = access_key.filter(|value| !value.is_empty());
        let half = |present, missing| CredentialsError::HalfInEnvironment { present, missing };
        let (access_key, secret_key) = match (access_key, environment.secret(secret_name)) {
            (None, None) => continue,
            (Some(access_key), Some(secret_key)) => (access_key, secret_key),
            (Some(_), None) => return Err(half(access_name, secret_name)),
            (None, Some(_)) => return Err(half(secret_name, access_name)),
        };
        let origin = Origin::Environment(access_name);
        let token = environment.secret(token_name);
        return match Credentials::checked(access_key, secret_key, token) {
            Ok(key) => Ok(Lease {
                project_id: environment
                    .text(project_name)
                    .and_then(|id| id.trim().parse().ok()),
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
