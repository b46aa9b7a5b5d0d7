//! The config reader: reads typed values of keys, and collects everything that is wrong.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use toml::Value;

use super::defaults;
use super::layers::{self, Layer, Setting};
use super::problem::{Place, Problem};
use super::value::{Parsed, list, text};
use crate::escape::Escaped;

/// Tables whose keys are names of the user's.
const FREE_TABLES: [&str; 3] = ["cloud.endpoints", "cloud.projects", "run.env"];

/// Reads values and collects problems.
pub(super) struct Reader {
    pub(super) settings: Layer,
    pub(super) problems: Vec<Problem>,
    /// Risks that do not prevent a start.
    pub(super) warnings: Vec<Problem>,
}

impl Reader {
    /// A reader of these layers over the defaults; unknown keys are problems.
    pub(super) fn new(mut layers: Vec<Layer>, mut problems: Vec<Problem>) -> Self {
        problems.extend(layers.iter().flatten().filter_map(unknown_key));
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
        let parsed = parse(self.settings.get(key)?);
        parsed.map_err(|expected| self.report(key, expected)).ok()
    }

    /// The values of a table whose keys are names of the user's, as `parse` reads them. A list of
    /// pairs may be in its place: `["a=1", "b=2"]`, in a variable `a=1,b=2`. Pairs win over the table,
    /// since options and variables give them.
    pub(super) fn entries<T>(
        &mut self,
        table: &str,
        parse: impl Fn(&str) -> Result<T, &'static str>,
    ) -> BTreeMap<String, T> {
        let name = |key: &String| {
            key.strip_prefix(table)?
                .strip_prefix('.')
                .map(str::to_owned)
        };
        let names: Vec<String> = self.settings.keys().filter_map(name).collect();
        let mut entries = BTreeMap::new();
        for name in names {
            let value = self.find(&format!("{table}.{name}"), text(&parse));
            entries.extend(value.map(|value| (name, value)));
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

    /// Warns of a key.
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

    /// The number of `[[route]]` tables.
    pub(super) fn count_of_routes(&self) -> usize {
        let is_table = |number: &usize| self.settings.contains_key(&format!("route.{number}"));
        (0..).take_while(is_table).count()
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
    let of_route = || key.strip_prefix("route.")?.split_once('.');
    let of_table = || FREE_TABLES.iter().find(|table| is_within(key, table));
    match (split_named_set(key), of_route()) {
        (Some((_, key)), _) => format!("credentials.{key}").into(),
        (_, Some((_, key))) => format!("route.{key}").into(),
        _ => of_table().map_or(key, |table| table).into(),
    }
}

/// True for a key in a table.
fn is_within(key: &str, table: &str) -> bool {
    key.strip_prefix(table)
        .is_some_and(|rest| rest.starts_with('.'))
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
    if key.starts_with("route.") {
        reference_name(key)
    } else {
        key.into()
    }
}

/// The problem with a key that the reference does not list.
fn unknown_key((key, setting): (&String, &Setting)) -> Option<Problem> {
    let name = reference_name(key);
    let is_route = key.starts_with("route.") && setting.value.is_table();
    if is_route || defaults::keys().iter().any(|known| known.name == name) {
        return None;
    }
    let message = match defaults::nearest(&name) {
        _ if key == "route" => {
            "routes are tables of the configuration file\nhint: write `[[route]]` there".to_owned()
        }
        Some(known) => format!("there is no such key\nhint: did you mean `{known}`?"),
        None => "there is no such key\nhint: `config/apig-proxy.toml` lists all of them".to_owned(),
    };
    // A secret may be in the place of a name.
    let is_part = |byte: u8| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'.' | b'-');
    let shown = shown_key(key);
    let is_name = shown.len() <= 40 && shown.bytes().all(is_part);
    let shown = if is_name { &shown } else { "a key" };
    Some(Problem::new(setting.place.clone(), shown, message))
}

/// The values of all keys. Logs show only the names of those that a reload changes: a value may be a
/// misplaced secret.
#[derive(Clone, Default)]
pub struct Settings(pub(super) Layer);

impl Settings {
    /// The names of the keys that differ from `before`, in their order; `route` for those of routes.
    #[must_use]
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
    /// The settings as a configuration file. Beside each that is not a default is its place.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut tables = BTreeMap::<&str, Vec<_>>::new();
        for (key, setting) in self
            .0
            .iter()
            .filter(|(_, setting)| !setting.value.is_table())
        {
            let (table, name) = key.rsplit_once('.').unwrap_or(("", key));
            tables.entry(table).or_default().push((name, setting));
        }
        for (table, settings) in tables {
            match table {
                "" => {}
                _ if table.starts_with("route.") => writeln!(f, "\n[[route]]")?,
                table => writeln!(f, "\n[{table}]")?,
            }
            for (name, Setting { value, place }) in settings {
                let value = &shown_value(name, value);
                match place {
                    Place::Nowhere => writeln!(f, "{name} = {value}")?,
                    place => writeln!(f, "{name} = {value}  # {}", Escaped(place))?,
                }
            }
        }
        Ok(())
    }
}

/// A value as it is shown. Those of headers may be secrets.
fn shown_value<'a>(name: &str, value: &'a Value) -> Cow<'a, Value> {
    let redacted = |item: &Value| {
        let name = item.as_str().and_then(|text| text.split_once(':'));
        format!("{}: [redacted]", name.map_or("", |(name, _)| name))
    };
    match value {
        Value::Array(items) if name == "headers" => {
            Cow::Owned(items.iter().map(redacted).collect::<Vec<_>>().into())
        }
        Value::String(_) if name == "headers" => Cow::Owned("[redacted]".into()),
        value => Cow::Borrowed(value),
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
