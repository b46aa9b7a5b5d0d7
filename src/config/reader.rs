//! The config reader: reads typed values of keys, and collects everything that is wrong.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use figment::value::Value;

use super::layers::{self, Layer, Setting};
use super::problem::{Place, Problem};
use super::value::Parsed;
use super::{credentials, reference};

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
        for layer in &layers {
            let unknown = layer.iter();
            let unknown = unknown.filter_map(|(key, setting)| unknown_key(layer, key, setting));
            problems.extend(unknown);
        }
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
        let problem = match parse(setting) {
            Ok(value) => return Some(value),
            Err(expected) => expected,
        };
        self.report(key, problem);
        None
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
        self.settings
            .get(key)
            .is_some_and(|setting| setting.place != Place::Nowhere)
    }

    /// The number of `[[route]]` tables.
    pub(super) fn count_of_routes(&self) -> usize {
        let table = |number| self.settings.get(&format!("route.{number}"));
        let is_table =
            |number: &usize| table(*number).is_some_and(|table| table.value.as_dict().is_some());
        (0..).take_while(is_table).count()
    }

    /// All keys that have a value.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.settings.keys().map(String::as_str)
    }

    fn problem(&self, key: &str, message: Cow<'static, str>) -> Problem {
        // A key that a route lacks has the place of the route.
        let table = key.rsplit_once('.').map_or("", |(table, _)| table);
        let setting = self.settings.get(key);
        let setting = setting.or_else(|| self.settings.get(table));
        let place = setting.map_or(Place::Nowhere, |setting| setting.place.clone());
        let is_route = key.starts_with("route.");
        let key = if is_route {
            reference_name(key)
        } else {
            key.into()
        };
        Problem::new(place, key, message)
    }
}

/// The name of a key in the reference: `credentials.file` for that of a named set, `route.path` for
/// that of each route.
fn reference_name(key: &str) -> Cow<'_, str> {
    let of_route = || key.strip_prefix("route.")?.split_once('.');
    match (credentials::split(key), of_route()) {
        (Some((_, key)), _) => format!("credentials.{key}").into(),
        (_, Some((number, key))) if number.parse::<usize>().is_ok() => {
            format!("route.{key}").into()
        }
        _ => key.into(),
    }
}

/// The problem with a key that the reference does not list.
fn unknown_key(layer: &Layer, key: &str, setting: &Setting) -> Option<Problem> {
    let name = reference_name(key);
    let is_listed = reference::keys().iter().any(|known| known.name == name);
    let route = key
        .strip_prefix("route.")
        .map(|rest| rest.split_once('.').unwrap_or((rest, "")));
    // Keys of a `[route]`, or in variables, belong to no element of the array `[[route]]`.
    let is_of_route = route.is_some_and(|(number, _)| {
        let table = layer.get(&format!("route.{number}"));
        table.is_some_and(|table| table.value.as_dict().is_some())
    });
    let is_known = match route {
        Some((_, inner)) => is_of_route && (inner.is_empty() || is_listed),
        None => is_listed,
    };
    if is_known {
        return None;
    }
    let is_misplaced =
        key == "route" || key.starts_with("route_") || (route.is_some() && !is_of_route);
    let message = match reference::nearest(&name) {
        _ if is_misplaced => {
            "routes are tables of the configuration file; write [[route]] there".to_owned()
        }
        Some(known) => format!("there is no such key; did you mean {known}?"),
        None => "there is no such key; config/apig-proxy.toml lists all of them".to_owned(),
    };
    let shown = shown(if route.is_some() { &name } else { key });
    Some(Problem::new(setting.place.clone(), shown, message))
}

/// An unknown key, as messages show it: a secret may be in the place of a name.
fn shown(name: &str) -> String {
    let is_name = |byte: u8| byte.is_ascii_lowercase() || matches!(byte, b'_' | b'.');
    if name.len() <= 40 && name.bytes().all(is_name) {
        name.to_owned()
    } else {
        "a key".to_owned()
    }
}

/// The values of all keys, to tell what a reload changes. Only names are shown: a value may be a
/// misplaced secret.
#[derive(Clone, Default)]
pub struct Settings(pub(super) Layer);

impl Settings {
    /// The names of the keys that differ from `before`, in their order. A route is one name, like
    /// `route /flowers`.
    #[must_use]
    pub fn changed_since(&self, before: &Self) -> Vec<String> {
        let (now, before) = (self.by_name(), before.by_name());
        let names = now.keys().chain(before.keys());
        let changed = names.filter(|name| now.get(*name) != before.get(*name));
        let mut changed: Vec<String> = changed.cloned().collect();
        changed.sort_unstable();
        changed.dedup();
        changed
    }

    fn by_name(&self) -> BTreeMap<String, Vec<(&str, &Value)>> {
        let mut names = BTreeMap::<_, Vec<_>>::new();
        for (key, setting) in &self.0 {
            let of_route = key
                .strip_prefix("route.")
                .map(|rest| rest.split_once('.').unwrap_or((rest, "")));
            let (name, inner) = match of_route {
                Some((number, inner)) => {
                    let path = self.0.get(&format!("route.{number}.path"));
                    let path = path
                        .and_then(|path| path.value.as_str())
                        .unwrap_or_default();
                    (format!("route {path}"), inner)
                }
                None => (key.clone(), ""),
            };
            names.entry(name).or_default().push((inner, &setting.value));
        }
        names
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
