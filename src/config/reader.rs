//! The config reader: reads the typed values of keys, and collects all problems.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::environment::PREFIX;
use super::layers::{self, Layer, Setting};
use super::problem::{Place, Problem};
use super::reference;
use super::value::{Parsed, list, text};
use crate::escape::Escaped;

/// Tables whose keys are names of the user's.
const FREE_TABLES: [&str; 3] = ["cloud.endpoints", "cloud.projects", "run.env"];

/// Keys by which other programs are given a secret.
const SECRETS: &str = "ak sk access_key secret_key password token app_code api_key";

/// Reads values and collects problems.
pub(super) struct Reader {
    pub(super) settings: Layer,
    pub(super) problems: Vec<Problem>,
    /// Risks that do not prevent a start.
    pub(super) warnings: Vec<Problem>,
}

impl Reader {
    /// A reader of these layers over the defaults; unknown keys are problems.
    pub(super) fn new(mut layers: Vec<Layer>) -> Self {
        let problems = layers.iter().flatten().filter_map(unknown_key).collect();
        layers.insert(0, layers::defaults().clone());
        Self {
            settings: layers::merge(&layers),
            problems,
            warnings: Vec::new(),
        }
    }

    /// The value of a key, or its default if it is wrong, which is reported.
    pub(super) fn get<T>(&mut self, key: &str, parse: impl Fn(&Setting) -> Parsed<T>) -> T {
        self.find(key, &parse).unwrap_or_else(|| {
            let default = layers::defaults().get(&*reference_name(key));
            let default = default.and_then(|default| parse(default).ok());
            default.expect("the reference has a valid default")
        })
    }

    /// The value of a key; `None` if it is not set, or wrong, which is reported.
    pub(super) fn find<T>(
        &mut self,
        key: &str,
        parse: impl Fn(&Setting) -> Parsed<T>,
    ) -> Option<T> {
        let setting = self.settings.get(key)?;
        let text = setting.value.as_str().unwrap_or_default();
        let is_quoted =
            matches!(setting.place, Place::Variable(_)) && text.starts_with(['"', '\'']);
        let problem = |expected: Cow<'static, str>| match is_quoted {
            true => format!("{expected}\nhint: write it without quotes").into(),
            false => expected,
        };
        let parsed = parse(setting).map_err(problem);
        parsed.map_err(|problem| self.report(key, problem)).ok()
    }

    /// The values of a table whose keys are names of the user's, as `parse` reads them. A list of
    /// pairs may be in its place: `["a=1", "b=2"]`, in a variable `a=1,b=2`. Pairs win over the table,
    /// since options and variables give them.
    pub(super) fn entries<T>(
        &mut self,
        table: &str,
        parse: impl Fn(&str) -> Result<T, &'static str>,
    ) -> BTreeMap<String, T> {
        let start = format!("{table}.");
        let keys: Vec<String> = self.settings.keys().cloned().collect();
        let mut entries = BTreeMap::new();
        for key in keys.iter().filter(|key| key.starts_with(&start)) {
            let value = self.find(key, text(&parse));
            entries.extend(value.map(|value| (key[start.len()..].to_owned(), value)));
        }
        let pair = |pair: &str| match pair.split_once('=') {
            Some((name, value)) => Ok((name.trim().to_owned(), parse(value.trim())?)),
            None => Err("expected names with their values, like \"name=value\""),
        };
        let setting = self.settings.get(table);
        if setting.is_some_and(|setting| !setting.value.is_table()) {
            entries.extend(self.find(table, list(pair)).into_iter().flatten());
        }
        entries
    }

    /// Reports a problem with a key, once.
    pub(super) fn report(&mut self, key: &str, message: impl Into<Cow<'static, str>>) {
        let problem = self.problem(key, message.into());
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    pub(super) fn warn(&mut self, key: &str, message: &'static str) {
        let warning = self.problem(key, message.into());
        self.warnings.push(warning);
    }

    /// True if a problem with this key was reported.
    pub(super) fn is_wrong(&self, key: &str) -> bool {
        self.problems.iter().any(|problem| problem.key == key)
    }

    /// True if a source sets the key; false if it has its default.
    pub(super) fn is_set(&self, key: &str) -> bool {
        let setting = self.settings.get(key);
        setting.is_some_and(|setting| setting.place != Place::Nowhere)
    }

    fn problem(&self, key: &str, message: Cow<'static, str>) -> Problem {
        // A key that a route lacks has the place of the route.
        let table = key.rsplit_once('.').map_or("", |(table, _)| table);
        let setting = self.settings.get(key).or_else(|| self.settings.get(table));
        let place = setting.map_or(Place::Nowhere, |setting| setting.place.clone());
        Problem::new(place, shown_key(key), message)
    }
}

/// The name of a key in the reference: `credentials.file` for that of a named set, `route.path` for
/// that of each route, `cloud.endpoints` for each endpoint.
fn reference_name(key: &str) -> Cow<'_, str> {
    if let Some((_, key)) = split_named_set(key) {
        return format!("credentials.{key}").into();
    }
    if let Some((_, key)) = split_route(key) {
        return format!("route.{key}").into();
    }
    let mut free = FREE_TABLES.into_iter();
    let table =
        free.find(|table| matches!(key.strip_prefix(table), Some(rest) if rest.starts_with('.')));
    table.unwrap_or(key).into()
}

/// The number of a route and the key in its table; `None` for every other key.
fn split_route(key: &str) -> Option<(&str, &str)> {
    key.strip_prefix("route.")?.split_once('.')
}

/// Name and key of a setting of a named set; `None` for every other key.
pub(super) fn split_named_set(key: &str) -> Option<(&str, &str)> {
    let (name, inner) = key.strip_prefix("credentials.")?.split_once('.')?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_name = !name.is_empty() && name.len() <= 40 && name.bytes().all(is_name);
    is_name.then_some((name, inner))
}

/// A key in messages: without the number of its route.
fn shown_key(key: &str) -> Cow<'_, str> {
    match split_route(key) {
        Some(_) => reference_name(key),
        None => key.into(),
    }
}

/// The problem with a key that the reference does not list.
fn unknown_key((key, setting): (&String, &Setting)) -> Option<Problem> {
    let name = reference_name(key);
    let is_route = key.starts_with("route.") && setting.value.is_table();
    if is_route || reference::keys().iter().any(|known| known.name == name) {
        return None;
    }
    let is_variable = matches!(setting.place, Place::Variable(_));
    let (table, last) = name.rsplit_once('.').unwrap_or(("", &name));
    let nearest = reference::nearest(&name, !is_variable);
    let message = match nearest {
        _ if matches!(key.as_str(), "route" | "routes") => {
            "routes are tables of the configuration file\nhint: write `[[route]]` there".to_owned()
        }
        _ if (table.is_empty() || key.starts_with("credentials")) && SECRETS.split(' ').any(|name| name == last) => {
            "no key takes a secret\nhint: put it into a file, and name that in `credentials.file`, or in another key of `[credentials]` that ends with `_file`"
                .to_owned()
        }
        _ if reference::keys().iter().any(|known| known.name == table) => {
            format!("`{table}` is a key and not a table\nhint: give its value after `{table} = `")
        }
        _ if key.starts_with("upstream_tls") && (last.contains("verif") || last.contains("insecure")) => {
            "verification cannot be switched off\nhint: put the root of the gateway into `upstream_tls.ca_file`".to_owned()
        }
        Some(known) if is_variable => {
            let variable = known.to_ascii_uppercase().replace('.', "__");
            format!("there is no such key\nhint: did you mean `{PREFIX}{variable}`?")
        }
        Some(known) if known == last => {
            format!("there is no such key\nhint: move `{known}` above the first `[table]`")
        }
        Some(known) => format!("there is no such key\nhint: did you mean `{known}`?"),
        None => "there is no such key\nhint: `config/apig-proxy.toml` lists all of them".to_owned(),
    };
    // A secret may be in the place of a name.
    let is_part = |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'.' | b'-');
    let shown = shown_key(key);
    let has_capitals = shown.bytes().any(|byte| byte.is_ascii_uppercase());
    let is_name = shown.len() <= 40 && shown.bytes().all(is_part);
    let is_close = |known| reference::distance(&shown, known).is_some();
    let is_name = is_name && (!has_capitals || nearest.is_some_and(is_close));
    let shown = if is_name { &shown } else { "a key" };
    Some(Problem::new(setting.place.clone(), shown, message))
}

/// The values of all keys. Logs show only the names of those that a reload changes: a value may be a
/// misplaced secret.
#[derive(Clone, Default)]
pub struct Settings(pub(super) Layer);

impl Settings {
    /// The names of the keys that differ from `before`, in their order; `route` for those of routes.
    pub fn changed_since(&self, before: &Self) -> Vec<String> {
        let value = |settings: &Self, key| settings.0.get(key).map(|setting| setting.value.clone());
        let all = self.0.keys().chain(before.0.keys());
        let changed = all.filter(|key| value(self, *key) != value(before, *key));
        let name = |key: &String| match key.split_once('.') {
            Some(("route", _)) => "route".to_owned(),
            _ => key.clone(),
        };
        let names: BTreeSet<String> = changed.map(name).collect();
        names.into_iter().collect()
    }
}

impl fmt::Display for Settings {
    /// The settings as a configuration file: each with its place, and defaults as comments, since
    /// some keys mean more when they are set (`credentials.file`, `listen`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tables = BTreeMap::<&str, String>::new();
        for (key, Setting { value, place }) in &self.0 {
            if value.is_table() {
                continue;
            }
            let (table, name) = match split_route(key) {
                Some((_, name)) => (&key[..key.len() - name.len() - 1], name),
                None => key.rsplit_once('.').unwrap_or(("", key)),
            };
            let is_empty = value.as_array().is_some_and(Vec::is_empty);
            // Those of headers may be secrets.
            let value = match name {
                "headers" if !is_empty => "[\"[redacted]\"]".to_owned(),
                _ => value.to_string(),
            };
            let lines = tables.entry(table).or_default();
            lines.push_str(&match place {
                Place::Nowhere => format!("# {name} = {value}\n"),
                place => format!("{name} = {value}  # {}\n", Escaped(place)),
            });
        }
        for (table, lines) in tables {
            match table {
                "" => {}
                route if route.starts_with("route.") => writeln!(f, "\n[[route]]")?,
                table => writeln!(f, "\n[{table}]")?,
            }
            f.write_str(&lines)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
