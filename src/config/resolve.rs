//! Reads every key into a [`Config`], which holds valid values only, and reports all problems at
//! once.

use super::layers::Layer;
use super::problem::{Problem, Problems};
use super::reader::Reader;
use super::server_tls::{certificates, tls_files};
use super::value::{boolean, file, list};
use super::{
    Config, Listen, MediaRange, Methods, ReadOnly, ReadRule, UpstreamTls, activation, cloud,
    credentials, inspect, limits, listen, routes, run,
};

/// The addresses of activated sockets.
#[derive(Clone, Debug, Default)]
pub(super) struct ActivatedAddresses {
    pub(super) callers: Vec<Listen>,
    pub(super) admin: Option<Listen>,
}

/// A configuration, with what is wrong with it.
pub(super) struct Resolved {
    /// A wrong key has its default, or is missing.
    pub(super) config: Config,
    /// The keys of all credentials are valid, so that the sources can be opened.
    pub(super) has_valid_credentials: bool,
    pub(super) reader: Reader,
}

impl Resolved {
    /// The configuration, or all problems in the order of their places.
    pub(super) fn valid_config(self) -> Result<Config, Problems> {
        let mut problems = self.reader.problems;
        problems.sort_by(|a, b| a.place.cmp(&b.place));
        let is_valid = problems.is_empty();
        is_valid.then_some(self.config).ok_or(Problems(problems))
    }
}

/// Reads all keys of these layers over the defaults.
pub(super) fn resolve(
    layers: Vec<Layer>,
    problems: Vec<Problem>,
    activated: &ActivatedAddresses,
) -> Resolved {
    let mut reader = Reader::new(layers, problems);
    let reported = reader.problems.len();
    let credentials = credentials::sets(&mut reader);
    let has_valid_credentials = reader.problems.len() == reported;
    let listen = activation::in_place_of(listen::listen(&mut reader), &activated.callers);
    let tls = listen::tls(&mut reader, &listen);
    let access = listen::access(&mut reader);
    listen::check_exposure(&mut reader, &listen, &access, tls.as_ref());
    listen::warn_of_hosts(&mut reader, &listen, &access);
    let admin = listen::admin(&mut reader, &listen, activated.admin.as_ref());
    let own: Vec<Listen> = listen.iter().chain(&admin).cloned().collect();
    let (signs_otherwise, services) = cloud::cloud(&mut reader, &own, &credentials);
    let config = Config {
        admin_quit: reader.get("admin_quit", boolean),
        routes: routes::routes(&mut reader, &own, &credentials, services),
        signs_otherwise,
        inspect: inspect::inspect(&mut reader, admin.as_ref()),
        admin,
        listen,
        listen_rules: Vec::new(),
        unix_socket: listen::unix_socket(&mut reader),
        tls,
        methods: reader.get("methods", Methods::parse),
        credentials,
        unsigned: reader.get("signing.unsigned", list(MediaRange::parse)),
        limits: limits::limits(&mut reader),
        timeouts: limits::timeouts(&mut reader),
        pool: limits::pool(&mut reader),
        access,
        callers: listen::callers(&mut reader),
        read_only: ReadOnly {
            enabled: reader.get("read_only", boolean),
            reads: reader.get("reads", list(ReadRule::parse)),
        },
        upstream_tls: upstream_tls(&mut reader),
        corrects_clock: reader.get("clock.correct", boolean),
        log: limits::log(&mut reader),
        run: run::run(&mut reader),
    };
    Resolved {
        config,
        has_valid_credentials,
        reader,
    }
}

fn upstream_tls(reader: &mut Reader) -> UpstreamTls {
    const KEY: &str = "upstream_tls.ca_file";
    let read = reader.get(KEY, file).map(|file| certificates(&file));
    let roots = read.and_then(|read| read.map_err(|problem| reader.report(KEY, problem)).ok());
    UpstreamTls {
        extra_roots: roots.unwrap_or_default(),
        client: tls_files(reader, "upstream_tls", None, false),
    }
}
