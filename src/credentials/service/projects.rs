//! IAM tells the id of the project that a region has in the account of a key or token.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request};
use secrecy::ExposeSecret;
use serde::Deserialize;

use super::answer::Answer;
use super::signed_headers;
use crate::config::{UpstreamUrl, project_id};
use crate::credentials::CredentialsError;
use crate::credentials::types::Secret;
use crate::signature::SigningDate;
use crate::upstream::Network;

#[derive(Deserialize)]
struct Projects {
    projects: Vec<Project>,
}

#[derive(Deserialize)]
struct Project {
    id: String,
    name: String,
}

/// Asks IAM for the project of a region.
///
/// # Errors
///
/// A [`CredentialsError`] that says what to do.
///
/// # Cancel safety
///
/// Dropping the future gives up the request.
pub(crate) async fn project_of(
    region: &str,
    (network, iam): (&Network, &UpstreamUrl),
    secret: &Secret,
    date: &SigningDate,
    limit: Duration,
) -> Result<HeaderValue, CredentialsError> {
    const UNSIGNED: CredentialsError =
        CredentialsError::Garbage("the endpoint cannot be signed for");
    let request = Request::get(format!("/v3/projects?name={region}")).body(Bytes::new());
    let mut request = request.expect("a region is a part of a host name");
    match secret {
        Secret::Key(key) => {
            let signed = signed_headers(iam, &request, key, date).map_err(|_| UNSIGNED)?;
            request.headers_mut().extend(signed);
        }
        Secret::Text(token) => {
            let token = HeaderValue::from_str(token.expose_secret()).map_err(|_| UNSIGNED)?;
            request.headers_mut().insert("x-auth-token", token);
        }
    }
    let response = network.oneshot(iam, request, limit).await?;
    let answer = Answer::new("IAM (projects)", response);
    let answer = answer.accepted("let the user list projects (iam:projects:listProjects)")?;
    let list: Projects = answer
        .json()
        .ok_or(CredentialsError::Garbage("no list of projects"))?;
    let mut projects = list
        .projects
        .iter()
        .filter(|project| project.name == region);
    let id = projects.find_map(|project| project_id(&project.id).ok());
    id.ok_or(CredentialsError::Garbage("no project of this name"))
}
