//! `apig-proxy caller`: makes, lists and revokes callers in `access.callers_file`. A proxy that runs
//! reads the file again by itself.
//!
//! # What can go wrong
//!
//! Two of these commands may run at once, so the folder is locked. A proxy may read the file at any
//! moment, so it is replaced atomically.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use secrecy::ExposeSecret;

use super::{Exit, Failure, Outcome, parse_duration, print, say};
use crate::clock;
use crate::config::{
    CallerRecord, Environment, IssuedCaller, Methods, Overrides, Rate, ReadRule, Rights, load_part,
    replace_file, route_prefix,
};

#[derive(Clone, Debug, Args)]
pub(super) struct CallerArguments {
    #[command(subcommand)]
    command: CallerCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum CallerCommand {
    /// Make a caller and print its credential, once.
    New(Box<NewArguments>),
    /// List the callers and what they may do.
    List {
        #[command(flatten)]
        file: FileArguments,
    },
    /// Remove a caller.
    Revoke {
        /// Name of the caller.
        name: String,
        #[command(flatten)]
        file: FileArguments,
    },
}

/// The options that name the file of callers.
#[derive(Clone, Debug, Args)]
struct FileArguments {
    /// File of callers [default: access.callers_file of the configuration].
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Configuration file [default: as for serve] [env: APIG_PROXY_CONFIG].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
struct NewArguments {
    /// Name of the caller, in the log and the metrics.
    name: String,
    /// Path prefix that the caller may use; may be given several times [default: all paths].
    #[arg(long, value_name = "PATH", value_parser = checked(route_prefix))]
    route: Vec<String>,
    /// Method that the caller may use; may be given several times [default: all that the proxy allows].
    #[arg(long, value_name = "METHOD", value_parser = checked(method))]
    method: Vec<String>,
    /// Allow only GET, HEAD and OPTIONS, and what --reads and the configuration list.
    #[arg(long)]
    read_only: bool,
    /// Request that only reads although its method is another, like "POST /flowers/search"; may be given
    /// several times.
    #[arg(long, value_name = "REQUEST", value_parser = checked(ReadRule::parse))]
    reads: Vec<String>,
    /// Time after which the credential is refused, like 8h [default: never].
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    expires: Option<Duration>,
    /// Most requests in a time, like 60/1m [default: no limit].
    #[arg(long, value_name = "REQUESTS/TIME", value_parser = checked(Rate::parse))]
    rate: Option<String>,
    /// What is printed: all ways to show the credential, variables for SDKs of Huawei Cloud or of OpenAI, or a
    /// credentials.csv.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(flatten)]
    file: FileArguments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Sdk,
    Openai,
    Csv,
}

/// Checks the value of an option, which the file takes as it is.
fn checked<T: 'static>(
    parse: fn(&str) -> Result<T, &'static str>,
) -> impl Fn(&str) -> Result<String, &'static str> + Clone + Send + Sync + 'static {
    move |text| parse(text).map(|_| text.to_owned())
}

fn method(text: &str) -> Result<Methods, &'static str> {
    let method = Methods::from_names(&[text.to_owned()]);
    method.map_err(|_| {
        "expected a method in capital letters, like `GET`, or `*` for any; CONNECT and TRACE cannot be allowed"
    })
}

/// Changes or shows the file of callers.
pub(super) fn run(arguments: &CallerArguments, environment: &Environment) -> Outcome {
    match &arguments.command {
        CallerCommand::New(new) => make(new, environment),
        CallerCommand::List { file } => list(&file.path(environment)?),
        CallerCommand::Revoke { name, file } => revoke(name, &file.path(environment)?),
    }
}

impl FileArguments {
    /// The path of the file, which may not exist yet.
    fn path(&self, environment: &Environment) -> Result<PathBuf, Failure> {
        if let Some(file) = &self.file {
            return Ok(file.clone());
        }
        let overrides = Overrides::new(self.config.clone());
        let file = load_part(&overrides, environment, "access.callers_file", |config| {
            config.callers.file
        })?;
        let file = file.ok_or_else(|| {
            Failure::configuration(
                "no file of callers is configured\nhint: set `access.callers_file` in the configuration, or give `--file`",
            )
        })?;
        Ok(file.path)
    }
}

fn make(new: &NewArguments, environment: &Environment) -> Outcome {
    let path = new.file.path(environment)?;
    let (issued, surrogate) = IssuedCaller::new(&new.name, Rights::default());
    let end_after = |time: Duration| {
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        let end = Timestamp::from_second(clock::unix_seconds().saturating_add(seconds));
        let end = end.map_err(|_| Failure::usage("the time of `--expires` is too long\nhint: leave it out for a credential that never expires"));
        end.map(|end| end.to_string())
    };
    let record = CallerRecord {
        routes: new.route.clone(),
        methods: new.method.clone(),
        read_only: new.read_only,
        reads: new.reads.clone(),
        expires: new.expires.map(end_after).transpose()?,
        rate: new.rate.clone(),
        ..CallerRecord::new(&issued, &surrogate)
    };
    record.surrogate().map_err(Failure::usage)?;
    if new.route.iter().any(|route| route.contains('*')) {
        say(
            "note: `*` in `--route` stands for itself; leave it out, since a route takes all paths below it",
        );
    }
    if !new.read_only && !new.reads.is_empty() {
        say(
            "note: `--reads` limits nothing by itself; add `--read-only` unless the configuration sets it",
        );
    }
    change(&path, |records| {
        if records.iter().any(|record| record.name == new.name) {
            return Err(Failure::failed(
                "there is a caller with this name\nhint: give another name, or revoke it first",
            ));
        }
        records.push(record);
        Ok(())
    })?;
    // A credential that was not printed is of no use.
    writeln!(io::stdout(), "{}", shown(new, &issued)).map_err(|error| {
        drop(revoke(&new.name, &path));
        Failure::failed(format_args!("the credential cannot be written: {error}"))
    })?;
    Ok(Exit::Ok)
}

fn shown(new: &NewArguments, issued: &IssuedCaller) -> String {
    let (id, secret) = (&*issued.access_key, issued.secret_key.expose_secret());
    let token = issued.token.expose_secret();
    let path = issued.capability.expose_secret();
    match new.format {
        Format::Sdk => format!("HUAWEICLOUD_SDK_AK={id}\nHUAWEICLOUD_SDK_SK={secret}"),
        Format::Openai => format!("OPENAI_API_KEY={token}"),
        Format::Csv => format!(
            "User Name,Access Key Id,Secret Access Key\n{},{id},{secret}",
            new.name
        ),
        Format::Text => format!(
            "access key  {id}\nsecret key  {secret}\ntoken       {token}\npath        /~{path}/"
        ),
    }
}

fn list(path: &Path) -> Outcome {
    let records = read(path)?;
    if records.is_empty() {
        say(match path.exists() {
            true => "there are no callers",
            false => {
                "there are no callers: the file does not exist\nhint: `apig-proxy caller new` makes it; check `--file` if there should be one"
            }
        });
        return Ok(Exit::Ok);
    }
    let rows = records.iter().map(columns).collect::<Result<Vec<_>, _>>()?;
    let width = |at: usize| rows.iter().map(|row| row[at].len()).max();
    let line = |row: &[String; 8]| {
        let cells = row.iter().enumerate().filter_map(|(at, cell)| {
            // A column that no caller has is left out.
            let width = width(at).filter(|width| *width > 0)?;
            Some(format!("{cell:<width$}"))
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    print(rows.iter().map(line).collect::<Vec<_>>().join("\n"))
}

/// A caller: its name, access key id and rights.
fn columns(record: &CallerRecord) -> Result<[String; 8], Failure> {
    let rights = record.surrogate().map_err(Failure::configuration)?.rights;
    let all = |items: &[String], all: &str| match items {
        [] => all.to_owned(),
        items => items.join(","),
    };
    let reads = record.reads.iter().map(|rule| format!("reads {rule}"));
    Ok([
        record.name.clone(),
        record.access_key.clone(),
        all(&record.routes, "all paths"),
        all(&record.methods, "all methods"),
        (if record.read_only { "read only" } else { "" }).to_owned(),
        reads.collect::<Vec<_>>().join(", "),
        record.rate.clone().unwrap_or_default(),
        match (&record.expires, rights.expires) {
            (Some(text), Some(end)) if clock::unix_seconds() >= end => format!("expired {text}"),
            (Some(text), _) => format!("until {text}"),
            (None, _) => String::new(),
        },
    ])
}

fn revoke(name: &str, path: &Path) -> Outcome {
    change(path, |records| {
        let count = records.len();
        records.retain(|record| record.name != name);
        if records.len() == count {
            return Err(Failure::failed(
                "there is no caller with this name\nhint: `apig-proxy caller list` shows all",
            ));
        }
        Ok(())
    })?;
    Ok(Exit::Ok)
}

fn read(path: &Path) -> Result<Vec<CallerRecord>, Failure> {
    let read = CallerRecord::read(path);
    read.map_err(|problem| Failure::configuration(format_args!("{}: {problem}", path.display())))
}

fn change(
    path: &Path,
    change: impl FnOnce(&mut Vec<CallerRecord>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        Failure::failed(format_args!(
            "{} cannot be written: {error}\nhint: run it as a user that may write the file and its folder",
            path.display()
        ))
    };
    // The file that a link leads to is replaced, and not the link.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let lock = File::open(folder).map_err(failed)?;
    lock.lock().map_err(failed)?;
    let mut records = read(&target)?;
    change(&mut records)?;
    let replaced = replace_file(&target, &CallerRecord::write(&records));
    replaced.map(drop).map_err(failed)
}
