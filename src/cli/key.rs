//! The key of `[credentials]` for commands that sign or verify by themselves.

use super::load::DEFAULT;
use super::serve::start_supplies;
use super::{Exit, fail};
use crate::config::{self, Config, Environment, Overrides, Problems};
use crate::credentials::{Credentials, Secret, Supply};
use crate::server::network;

/// The key, with a file that an option names. A service is asked if the key comes from one.
///
/// # Errors
///
/// How the program ends; what is wrong was said.
pub(super) fn key(file: Option<&str>, environment: &Environment) -> Result<Credentials, Exit> {
    let overrides = Overrides::default().text("credentials.file", "--credentials", file);
    let wrong = |problems| fail(Exit::Configuration, problems);
    let set = config::load_part(&overrides, environment, "credentials", |config| {
        config.credentials.into_iter().next()
    });
    let set = set.map_err(wrong)?.expect("there is `[credentials]`");
    let supply = Supply::open(DEFAULT, &set, environment)
        .map_err(|error| wrong(Problems(vec![error.into_problem(None)])))?;
    let mut supplies = [supply];
    if supplies[0].feed().current().is_none() {
        let config: Config =
            config::with_upstream("https://localhost").expect("it is a valid address");
        let network = network(&config).map_err(|error| fail(Exit::Configuration, error))?;
        start_supplies(&mut supplies, &network, environment)?;
    }
    let issued = supplies[0].feed().current();
    match issued.as_ref().map(|issued| &issued.secret) {
        Some(Secret::Key(credentials)) => Ok(credentials.clone()),
        Some(Secret::Text(_)) | None => Err(fail(
            Exit::Failed,
            format_args!("there is no key: {} gives none", supplies[0].describe()),
        )),
    }
}
