//! Loads a configuration: finds the file, lays the layers over one another, and reads every key into a
//! [`Config`], which holds valid values only. All problems are reported at once.

use std::path::{Path, PathBuf};

use toml::Value;

use super::environment::Environment;
use super::file::{read_file, without_bom};
use super::layers::{self, Layer, Setting};
use super::problem::{Place, Problem, Problems};
use super::reader::Reader;
use super::server_tls::{certificates, tls_files};
use super::value::{boolean, list};
use super::{
    ActivatedSockets, Config, Listen, MediaRange, Methods, ReadOnly, ReadRule, Settings,
    UpstreamTls, activation, cloud, credentials, egress, inspect, limits, listen, memory, routes,
    run,
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
    #[must_use]
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

/// Loads the configuration. `open_sources` is called as soon as the keys of the credentials are
/// valid, also if there are problems with other keys, and adds the problems with the sources that
/// they name: all are reported at once.
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

/// Loads one key or table alone, for commands that need no upstream; `part` takes it out of the
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
    resolve(Vec::new(), &overrides).valid_config()
}

/// Reads the text of a configuration file, without environment and options.
///
/// # Errors
///
/// All [`Problems`] with it.
pub fn from_text(path: &Path, text: &str) -> Result<Config, Problems> {
    let layer = layers::from_file(path, text).map_err(|problem| Problems(vec![problem]))?;
    resolve(vec![layer], &Overrides::default()).valid_config()
}

/// Reads all layers. Of a file that cannot be read, this is the only problem: all others would
/// follow from it.
fn resolve_all(overrides: &Overrides, environment: &Environment) -> (Option<PathBuf>, Resolved) {
    let file = find_file(overrides, environment);
    let read = file.as_deref().map(read_layer).transpose();
    let (layer, unread) = read.map_or_else(|problem| (None, Some(problem)), |layer| (layer, None));
    let (variables, not_text) = layers::from_environment(environment);
    let mut resolved = resolve(vec![layer.unwrap_or_default(), variables], overrides);
    let (reader, config) = (&mut resolved.reader, &mut resolved.config);
    let more = [
        cloud::use_iam_of(environment, reader, config).err(),
        egress::apply(config, environment).err(),
        system_roots_problem(environment),
    ];
    reader.problems.extend(not_text);
    reader.problems.extend(more.into_iter().flatten());
    if let Some(unread) = unread {
        reader.problems = vec![unread];
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
    let problem = |message: String| Problem::new(Place::File(path.to_owned(), 0), "", message);
    let content = read_file(path).map_err(|error| problem(format!("the file {error}")))?;
    let text = str::from_utf8(without_bom(&content));
    let text = text.map_err(|_| problem("the file is not UTF-8\nhint: save it as UTF-8".into()))?;
    layers::from_file(path, text)
}

/// The problem with the file of the system's roots. The TLS library opens it by itself, and would
/// wait for a FIFO and read a device without end. One that is missing is reported with the roots.
fn system_roots_problem(environment: &Environment) -> Option<Problem> {
    const VARIABLE: &str = "SSL_CERT_FILE";
    let error = read_file(&environment.path(VARIABLE)?).err()?;
    let place = Place::Variable(VARIABLE.to_owned());
    let problem = Problem::new(place, "", format!("the file {error}"));
    error.is_wrong_kind().then_some(problem)
}

/// A configuration, with what is wrong with it.
struct Resolved {
    /// A wrong key has its default, or is missing.
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

/// Reads all keys of these layers over the defaults, and of the options over them.
fn resolve(mut layers: Vec<Layer>, overrides: &Overrides) -> Resolved {
    layers.push(overrides.layer.clone());
    let (callers, activated_admin) = &overrides.activated;
    let mut owned = Reader::new(layers);
    let reader = &mut owned;
    let reported = reader.problems.len();
    let credentials = credentials::sets(reader);
    let has_valid_credentials = reader.problems.len() == reported;
    let listen = activation::in_place_of(listen::listen(reader), callers);
    let tls = listen::tls(reader, &listen);
    let access = listen::access(reader, &listen);
    listen::check_exposure(reader, &listen, &access, tls.as_ref());
    let admin = listen::admin(reader, &listen, activated_admin.as_ref());
    let own: Vec<Listen> = listen.iter().chain(&admin).cloned().collect();
    let (signs_otherwise, services) = cloud::cloud(reader, &own, &credentials);
    let roots = reader.load("upstream_tls.ca_file", certificates);
    let config = Config {
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
        callers: listen::callers(reader),
        read_only: ReadOnly {
            enabled: reader.get("read_only", boolean),
            reads: reader.get("reads", list(ReadRule::parse)),
        },
        upstream_tls: UpstreamTls {
            extra_roots: roots.unwrap_or_default(),
            client: tls_files(reader, "upstream_tls", None, false),
        },
        corrects_clock: reader.get("clock.correct", boolean),
        log: limits::log(reader),
        run: run::run(reader),
    };
    Resolved {
        config,
        has_valid_credentials,
        reader: owned,
    }
}
