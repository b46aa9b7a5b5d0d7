//! Loads the configuration together with the credentials that its routes need, so that all problems
//! are reported at once.

use crate::config::{self, Auth, Config, Environment, Loaded, Overrides, Problem, Problems};
use crate::credentials::{self, CredentialsError, Source};

/// Loads the configuration and opens the sources of credentials.
pub(super) fn load(
    overrides: &Overrides,
    environment: &Environment,
) -> Result<(Loaded, Vec<Source>), Problems> {
    config::load(overrides, environment, |config, problems| {
        open(config, environment, problems)
    })
}

fn open(config: &Config, environment: &Environment, problems: &mut Vec<Problem>) -> Vec<Source> {
    let mut requirements = credentials::requirements(config);
    if requirements.is_empty() {
        // Without a route nothing is needed, but the key has to be valid all the same.
        requirements.push(Auth::default());
    }
    let mut sources = Vec::new();
    for auth in requirements {
        let set = &config.credentials[auth.credentials];
        match Source::open(auth, set, environment) {
            Ok(source) => sources.push(source),
            // That a file is not named was reported for the route that needs it.
            Err(CredentialsError::NoFile) if !problems.is_empty() => {}
            Err(error) => problems.push(error.into_problem(set.name.as_deref())),
        }
    }
    sources
}
