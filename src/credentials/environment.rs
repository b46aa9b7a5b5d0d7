//! Keys in environment variables: the SDKs' names first, then Terraform's.

use super::{CredentialsError, Found, Origin, checked};
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
pub(super) fn load(environment: &Environment) -> Result<Option<Found>, CredentialsError> {
    for [access_name, secret_name, token_name, project_name] in NAMES {
        let access_key = environment
            .text(access_name)
            .map(str::trim)
            .filter(|value| !value.is_empty());
        let secret_key = environment.secret(secret_name);
        let (access_key, secret_key) = match (access_key, secret_key) {
            (None, None) => continue,
            (Some(access_key), Some(secret_key)) => (access_key, secret_key),
            (Some(_), None) => return Err(half(access_name, secret_name)),
            (None, Some(_)) => return Err(half(secret_name, access_name)),
        };
        let origin = Origin::Environment(access_name);
        let credentials = checked(
            access_key,
            &secret_key,
            environment.secret(token_name),
            &origin,
        )?;
        let project_id = environment
            .text(project_name)
            .and_then(|id| http::HeaderValue::from_str(id.trim()).ok());
        return Ok(Some(Found {
            credentials,
            project_id,
            origin,
        }));
    }
    Ok(None)
}

fn half(present: &'static str, missing: &'static str) -> CredentialsError {
    CredentialsError::HalfInEnvironment { present, missing }
}
