//! Loads everything that a start needs: finds the file, lays the layers, judges, reads the key.

use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::file::{FileError, read_file, without_bom};
use super::problem::{Place, Problem, Problems};
use super::raw::{Layer, Raw, RawRoute};
use super::resolve::Judged;
use super::{AdminAddress, Config, Limits, PassedAddresses, Said, egress, memory, resolve};
use crate::credentials::{self, CredentialsError, Kind, Need, Supply};

/// What the options of the command line say: the file to read, and values that override keys.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    file: Option<PathBuf>,
    layer: Layer,
    passed: PassedAddresses,
}

impl Overrides {
    /// Overrides of what this file says, or the one that is found if there is none.
    #[must_use]
    pub fn of(file: Option<PathBuf>) -> Self {
        Self {
            file,
            layer: Layer::default(),
            passed: PassedAddresses::default(),
        }
    }

    /// With sockets in place of addresses.
    #[must_use]
    pub fn passed(self, passed: PassedAddresses) -> Self {
        Self { passed, ..self }
    }

    /// With a key set by an option, if it was given.
    #[must_use]
    pub fn text(mut self, key: &str, option: &'static str, value: Option<&str>) -> Self {
        value
            .into_iter()
            .for_each(|value| self.layer.option(key, option, value));
        self
    }

    /// With a key set by an option that was given as often as there are values.
    #[must_use]
    pub fn list(mut self, key: &str, option: &'static str, values: &[String]) -> Self {
        if !values.is_empty() {
            self.layer.option(key, option, values.to_vec());
        }
        self
    }
}

/// What a start needs.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What requests show, and where it comes from.
    pub supplies: Vec<Supply>,
    /// The file that was read, if there is one.
    pub file: Option<PathBuf>,
    /// The limit of this process's memory in bytes, if `limits.buffered` was lowered to fit it.
    pub memory: Option<u64>,
    /// What is risky, but no reason not to start.
    pub warnings: Vec<Problem>,
    /// What the keys say.
    pub said: Said,
}

/// Loads configuration and credentials.
///
/// # Errors
///
/// All [`Problems`] with either, so that everything can be put right at once.
pub fn load(overrides: &Overrides, environment: &Environment) -> Result<Loaded, Problems> {
    let (file, mut judged) = judge(overrides, environment);
    let supplies = if judged.credentials_in_order {
        supplies(&mut judged, environment)
    } else {
        Vec::new()
    };
    if !judged.problems.is_empty() {
        return Err(sorted(judged.problems));
    }
    let mut config = judged.config;
    let memory = memory::limit().filter(|limit| fit(&mut config.limits, *limit));
    Ok(Loaded {
        config,
        supplies,
        file,
        memory,
        warnings: judged.warnings,
        said: judged.said,
    })
}

/// Opens the sources of all that the routes need.
fn supplies(judged: &mut Judged, environment: &Environment) -> Vec<Supply> {
    let config = &judged.config;
    let mut needs = credentials::needs(config);
    if needs.is_empty() {
        // Without a route nothing is needed, but the key has to be in order all the same.
        needs.push(DEFAULT);
    }
    let mut supplies = Vec::new();
    for need in needs {
        let set = &config.credentials[need.set];
        match Supply::open(need, set, environment) {
            Ok(supply) => supplies.push(supply),
            // That a file is not named was said of the route that needs it.
            Err(CredentialsError::NoFile) if !judged.problems.is_empty() => {}
            Err(error) => judged
                .problems
                .push(error.into_problem(set.name.as_deref())),
        }
    }
    supplies
}

/// The key of `[credentials]`.
const DEFAULT: Need = Need {
    set: 0,
    kind: Kind::Key,
};

/// Makes what callers can have held fit a limit of memory; whether it had to be made smaller.
fn fit(limits: &mut Limits, memory: u64) -> bool {
    let room = memory::room_within(memory);
    let connections = memory::connections_within(memory, limits.header);
    let is_too_much = limits.buffered > room || limits.connections > connections;
    limits.buffered = limits.buffered.min(room);
    limits.connections = limits.connections.min(connections);
    is_too_much
}

/// Opens the source of the key of `[credentials]` alone, for what needs no upstream.
///
/// # Errors
///
/// All [`Problems`] with the file and the keys of `[credentials]`, or the one with what they name.
pub fn load_credentials(
    overrides: &Overrides,
    environment: &Environment,
) -> Result<Supply, Problems> {
    let (_, mut judged) = judge(overrides, environment);
    judged
        .problems
        .retain(|problem| problem.key.is_empty() || problem.key.starts_with("credentials."));
    if !judged.problems.is_empty() {
        return Err(sorted(judged.problems));
    }
    Supply::open(DEFAULT, &judged.config.credentials[0], environment)
        .map_err(|error| Problems(vec![error.into_problem(None)]))
}

/// Loads the address of the admin listener alone, for who asks a proxy that runs; `None` when it is off.
///
/// # Errors
///
/// All [`Problems`] with the file and this key.
pub fn load_admin(
    overrides: &Overrides,
    environment: &Environment,
) -> Result<Option<AdminAddress>, Problems> {
    let (_, mut judged) = judge(overrides, environment);
    judged
        .problems
        .retain(|problem| problem.key.is_empty() || problem.key == "admin");
    if judged.problems.is_empty() {
        Ok(judged.config.admin)
    } else {
        Err(sorted(judged.problems))
    }
}

/// Lays the layers over one another and judges them.
fn judge(overrides: &Overrides, environment: &Environment) -> (Option<PathBuf>, Judged) {
    let mut problems = Vec::new();
    let file = find_file(overrides, environment);
    let (layer, routes) = file.as_deref().map_or_else(Default::default, |file| {
        read_layer(file).unwrap_or_else(|problem| {
            problems.push(problem);
            Default::default()
        })
    });
    let layers = vec![
        Layer::defaults(),
        layer,
        Layer::of_environment(environment, &mut problems),
        overrides.layer.clone(),
    ];
    let raw = Raw::new(layers, routes).with_passed(overrides.passed.clone());
    let mut judged = resolve::resolve(&raw, problems);
    egress::apply(&mut judged.config, environment, &mut judged.problems);
    judged.problems.extend(system_roots_problem(environment));
    (file, judged)
}

/// What is wrong with the file of the system's roots. The TLS library opens it by itself, and would wait for
/// a FIFO and read a device without end. One that is missing is reported with the roots.
fn system_roots_problem(environment: &Environment) -> Option<Problem> {
    const VARIABLE: &str = "SSL_CERT_FILE";
    let error = read_file(&environment.path(VARIABLE)?).err()?;
    error.is_wrong_kind().then(|| Problem {
        place: Place::Variable(VARIABLE.to_owned()),
        key: String::new(),
        message: format!("the file {error}"),
    })
}

fn sorted(mut problems: Vec<Problem>) -> Problems {
    problems.sort_by(|a, b| a.place.cmp(&b.place));
    Problems(problems)
}

/// The default configuration with this upstream, from nothing but the two.
///
/// # Errors
///
/// [`Problems`] with the URL.
pub fn with_upstream(url: &str) -> Result<Config, Problems> {
    let mut layer = Layer::default();
    layer.option("upstream", "--upstream", url);
    let layers = vec![Layer::defaults(), layer];
    let judged = resolve::resolve(&Raw::new(layers, Vec::new()), Vec::new());
    if judged.problems.is_empty() {
        Ok(judged.config)
    } else {
        Err(Problems(judged.problems))
    }
}

/// Judges the text of a configuration file, without environment, options and credentials.
///
/// # Errors
///
/// All [`Problems`] with it.
pub fn from_text(path: &Path, text: &str) -> Result<Config, Problems> {
    let (layer, routes) = Layer::of_file(path, text).map_err(|problem| Problems(vec![problem]))?;
    let judged = resolve::resolve(
        &Raw::new(vec![Layer::defaults(), layer], routes),
        Vec::new(),
    );
    if judged.problems.is_empty() {
        Ok(judged.config)
    } else {
        Err(Problems(judged.problems))
    }
}

/// The file to read: the one that is named, or the first of the usual places that there is.
fn find_file(overrides: &Overrides, environment: &Environment) -> Option<PathBuf> {
    let named = overrides
        .file
        .clone()
        .or_else(|| environment.path("APIG_PROXY_CONFIG"));
    let home = environment.path("HOME").map(|home| home.join(".config"));
    let user = environment
        .path("XDG_CONFIG_HOME")
        .or(home)
        .map(|folder| folder.join("apig-proxy/config.toml"));
    let usual = [
        Some("apig-proxy.toml".into()),
        user,
        Some("/etc/apig-proxy/config.toml".into()),
    ];
    named.or_else(|| usual.into_iter().flatten().find(|path| path.exists()))
}

fn read_layer(path: &Path) -> Result<(Layer, Vec<RawRoute>), Problem> {
    let problem = |message: String| Problem {
        place: Place::WholeFile(path.to_owned()),
        key: String::new(),
        message,
    };
    let content = read_file(path).map_err(|error| {
        problem(match error {
            FileError::Missing => {
                "the file does not exist; correct --config or APIG_PROXY_CONFIG".to_owned()
            }
            error => format!("the file {error}"),
        })
    })?;
    let text = str::from_utf8(without_bom(&content))
        .map_err(|_| problem("the file is not UTF-8; save it as UTF-8".to_owned()))?;
    Layer::of_file(path, text)
}
