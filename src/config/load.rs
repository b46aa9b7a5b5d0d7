//! Loads a configuration: finds the file, lays the layers over one another, and reads every key into a
//! [`Config`], which holds valid values only. All problems are reported at once.

use std::path::{Path, PathBuf};

use toml::Value;

use super::environment::Environment;
use super::file::{FileError, read_file, without_bom};
use super::layers::{self, Layer, Setting};
use super::problem::{Place, Problem, Problems};
use super::reader::Reader;
use super::value::{boolean, list};
use super::{
    ActivatedSockets, Config, CredentialsConfig, Listen, MediaRange, Methods, ReadOnly, ReadRule,
    Settings, access, activation, cloud, credentials, egress, inspect, limits, listen, memory,
    routes, run, tls,
};

/// What the options of the command line say: the file to read, and values that override keys.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    file: Option<PathBuf>,
    layer: Layer,
    /// The addresses of activated sockets: for clients, and of the admin listener.
    activated: (Vec<Listen>, Option<Listen>),
}

impl Overrides {
    /// Overrides of this file, or of the one that is found if it is `None`.
    pub fn new(file: Option<PathBuf>) -> Self {
        Self {
            file,
            ..Self::default()
        }
    }

    /// With sockets in place of addresses.
    #[must_use]
    pub fn activated(mut self, sockets: &ActivatedSockets) -> Self {
        let address = |socket: &super::ActivatedSocket| socket.listen.clone();
        let callers = sockets.callers.iter().map(address).collect();
        self.activated = (callers, sockets.admin.as_ref().map(address));
        self
    }

    /// With a key set by an option, if the option is given.
    #[must_use]
    pub fn text(self, key: &str, option: &'static str, value: Option<&str>) -> Self {
        self.set(key, option, value.map(Value::from))
    }

    /// With a key set by an option that is given as often as there are values.
    #[must_use]
    pub fn list(self, key: &str, option: &'static str, values: &[String]) -> Self {
        let value = (!values.is_empty()).then(|| values.to_vec().into());
        self.set(key, option, value)
    }

    fn set(mut self, key: &str, option: &'static str, value: Option<Value>) -> Self {
        let setting = |value| (key.to_owned(), Setting::new(value, Place::Option(option)));
        self.layer.extend(value.map(setting));
        self
    }
}

/// A loaded configuration.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The file that was read, if there is one.
    pub file: Option<PathBuf>,
    /// The memory limit of this process in bytes, if limits were lowered to fit it.
    pub memory: Option<u64>,
    /// Risks that do not prevent a start.
    pub warnings: Vec<Problem>,
    /// The values of the keys.
    pub settings: Settings,
}

/// Loads the configuration. `open_sources` is called if the keys of the credentials are valid, also if
/// other keys are not. It adds the problems with the credential sources, so that all are reported at
/// once.
///
/// # Errors
///
/// All [`Problems`].
pub fn load<T>(
    overrides: &Overrides,
    environment: &Environment,
    open_sources: impl FnOnce(&Config, &mut Vec<Problem>) -> T,
) -> Result<(Loaded, T), Problems> {
    let (file, mut resolved) = resolve_all(overrides, environment);
    let problems = &mut resolved.reader.problems;
    let sources = resolved
        .has_valid_credentials
        .then(|| open_sources(&resolved.config, problems));
    let warnings = std::mem::take(&mut resolved.reader.warnings);
    let settings = Settings(resolved.reader.settings.clone());
    let mut config = resolved.valid_config()?;
    let fit = |limit: &u64| memory::fit(&mut config.limits, &mut config.inspect, *limit);
    let memory = memory::limit().filter(fit);
    let loaded = Loaded {
        config,
        file,
        memory,
        warnings,
        settings,
    };
    Ok((loaded, sources.expect("invalid credentials are a problem")))
}

/// Loads a single key or table, for commands that need no upstream; `part` takes it out of the
/// configuration.
///
/// # Errors
///
/// All [`Problems`] with the file and with this key or table.
pub fn load_part<T>(
    overrides: &Overrides,
    environment: &Environment,
    name: &str,
    part: impl FnOnce(Config) -> T,
) -> Result<T, Problems> {
    let (_, mut resolved) = resolve_all(overrides, environment);
    let is_part = |problem: &Problem| match problem.key.strip_prefix(name) {
        Some(rest) => rest.is_empty() || rest.starts_with('.'),
        None => problem.key.is_empty(),
    };
    resolved.reader.problems.retain(is_part);
    Ok(part(resolved.valid_config()?))
}

/// The default configuration with this upstream.
///
/// # Errors
///
/// [`Problems`] with the URL.
pub fn with_upstream(url: &str) -> Result<Config, Problems> {
    let overrides = Overrides::default().text("upstream", "--upstream", Some(url));
    resolve(Layer::new(), &overrides, &Environment::default()).valid_config()
}

/// Reads the text of a configuration file, without environment and options.
///
/// # Errors
///
/// All [`Problems`] with it.
pub fn from_text(path: &Path, text: &str) -> Result<Config, Problems> {
    let layer = layers::from_file(path, text).map_err(|problem| Problems(vec![problem]))?;
    resolve(layer, &Overrides::default(), &Environment::default()).valid_config()
}

/// Reads all layers. If the file cannot be read, that is the only problem: all others would follow
/// from it.
fn resolve_all(overrides: &Overrides, environment: &Environment) -> (Option<PathBuf>, Resolved) {
    let file = find_file(overrides, environment);
    let read = file.as_deref().map(read_layer).transpose();
    let (layer, unread) = read.map_or_else(|problem| (None, Some(problem)), |layer| (layer, None));
    let mut resolved = resolve(layer.unwrap_or_default(), overrides, environment);
    if let Some(unread) = unread {
        resolved.reader.problems = vec![unread];
        resolved.has_valid_credentials = false;
    }
    (file, resolved)
}

/// The file to read: the one that is named, or the first of the usual places that exists.
fn find_file(overrides: &Overrides, environment: &Environment) -> Option<PathBuf> {
    let home = || Some(environment.path("HOME")?.join(".config"));
    let user = environment.path("XDG_CONFIG_HOME").or_else(home);
    let usual = [
        Some("apig-proxy.toml".into()),
        user.map(|folder| folder.join("apig-proxy/config.toml")),
        Some("/etc/apig-proxy/config.toml".into()),
    ];
    let named = overrides.file.clone();
    let named = named.or_else(|| environment.path("APIG_PROXY_CONFIG"));
    named.or_else(|| usual.into_iter().flatten().find(|path| path.exists()))
}

fn read_layer(path: &Path) -> Result<Layer, Problem> {
    const MISSING: &str =
        "the file does not exist\nhint: correct `--config` or `APIG_PROXY_CONFIG`, which names it";
    let problem = |message: String| Problem::new(Place::File(path.to_owned(), 0), "", message);
    let content = read_file(path).map_err(|error| match error {
        FileError::Missing => problem(MISSING.into()),
        error => problem(format!("the file {error}")),
    })?;
    let text = str::from_utf8(without_bom(&content));
    let text = text.map_err(|_| problem("the file is not UTF-8\nhint: save it as UTF-8".into()))?;
    layers::from_file(path, text)
}

/// The problem with the file of `SSL_CERT_FILE`. The TLS library opens it itself, and would wait for a
/// FIFO and read a device without end. A missing file is reported when the roots are loaded.
fn system_roots_problem(environment: &Environment) -> Option<Problem> {
    const VARIABLE: &str = "SSL_CERT_FILE";
    let error = read_file(&environment.path(VARIABLE)?).err()?;
    let place = Place::Variable(VARIABLE.to_owned());
    let problem = Problem::new(place, "", format!("the file {error}"));
    error.is_wrong_kind().then_some(problem)
}

struct Resolved {
    /// A wrong key has its default, or is not set.
    config: Config,
    /// The keys of all credentials are valid, so that the sources can be opened.
    has_valid_credentials: bool,
    reader: Reader,
}

impl Resolved {
    /// The configuration, or all problems in the order of their places.
    fn valid_config(self) -> Result<Config, Problems> {
        let mut problems = self.reader.problems;
        problems.sort_by(|a, b| a.place.cmp(&b.place));
        let is_valid = problems.is_empty();
        is_valid.then_some(self.config).ok_or(Problems(problems))
    }
}

/// Reads all keys: of the file, the environment and the options, each over those before it.
fn resolve(file: Layer, overrides: &Overrides, environment: &Environment) -> Resolved {
    let (variables, not_text) = layers::from_environment(environment);
    let mut reader = Reader::new(vec![file, variables, overrides.layer.clone()]);
    reader.problems.extend(not_text);
    reader.problems.extend(system_roots_problem(environment));
    let reported = reader.problems.len();
    let credentials = credentials::sets(&mut reader);
    let has_valid_credentials = reader.problems.len() == reported;
    let mut config = read(&mut reader, environment, credentials, &overrides.activated);
    let network = egress::apply(&mut config, environment);
    reader.problems.extend(network.err());
    Resolved {
        config,
        has_valid_credentials,
        reader,
    }
}

/// Reads all keys but those of credentials.
fn read(
    reader: &mut Reader,
    environment: &Environment,
    credentials: Vec<CredentialsConfig>,
    (activated, activated_admin): &(Vec<Listen>, Option<Listen>),
) -> Config {
    let listen = activation::in_place_of(listen::listen(reader, activated), activated);
    let admin = listen::admin(reader, &listen, activated_admin.as_ref());
    let tls = tls::server_tls(reader, &listen);
    let access = access::access(reader, &listen);
    listen::check_exposure(reader, &listen, &access, tls.as_ref());
    let own: Vec<Listen> = listen.iter().chain(&admin).cloned().collect();
    let (signs_otherwise, services) = cloud::cloud(reader, environment, &own, &credentials);
    Config {
        admin_quit: reader.get("admin_quit", boolean),
        routes: routes::routes(reader, &own, &credentials, services),
        signs_otherwise,
        inspect: inspect::inspect(reader, admin.as_ref()),
        admin,
        listen,
        listen_rules: Vec::new(),
        unix_socket: listen::unix_socket(reader),
        tls,
        methods: reader.get("methods", Methods::parse),
        credentials,
        unsigned: reader.get("signing.unsigned", list(MediaRange::parse)),
        limits: limits::limits(reader),
        timeouts: limits::timeouts(reader),
        pool: limits::pool(reader),
        access,
        callers: access::callers(reader),
        read_only: ReadOnly {
            enabled: reader.get("read_only", boolean),
            reads: reader.get("reads", list(ReadRule::parse)),
        },
        upstream_tls: tls::upstream_tls(reader),
        corrects_clock: reader.get("clock.correct", boolean),
        log: limits::log(reader),
        run: run::run(reader),
    }
}
