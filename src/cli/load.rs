//! Loads the configuration together with the credentials that its routes need, so that all problems
//! are reported at once.

use crate::config::{self, Config, Environment, Loaded, Overrides, Problem, Problems};
use crate::credentials::{self, CredentialsError, Kind, Need, Supply};

/// The signing key of `[credentials]`.
pub(super) const SIGNING_KEY: Need = Need {
    set: 0,
    kind: Kind::Key,
};

/// Loads the configuration and opens the sources of credentials.
///
/// # Errors
///
/// All [`Problems`] with either.
pub(super) fn load(
    overrides: &Overrides,
    environment: &Environment,
) -> Result<(Loaded, Vec<Supply>), Problems> {
    config::load(overrides, environment, |config, problems| {
        open(config, environment, problems)
    })
}

fn open(config: &Config, environment: &Environment, problems: &mut Vec<Problem>) -> Vec<Supply> {
    let mut needs = credentials::needs(config);
    if needs.is_empty() {
        // Without a route nothing is needed, but the key has to be valid all the same.
        needs.push(SIGNING_KEY);
    }
    let mut supplies = Vec::new();
    for need in needs {
        let set = &config.credentials[need.set];
        match Supply::open(need, set, environment) {
            Ok(supply) => supplies.push(supply),
            // That a file is not named was reported for the route that needs it.
            Err(CredentialsError::NoFile) if !problems.is_empty() => {}
            Err(error) => problems.push(error.into_problem(set.name.as_deref())),
        }
    }
    supplies
}
