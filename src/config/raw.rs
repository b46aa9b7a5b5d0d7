//! What was said, not judged yet: layers of values, each with the place where it was said.
//!
//! figment lays the layers over one another. Its own sources are not used: the one for the
//! environment retypes values (`0123` becomes a number, `"ab"` loses its quotes), and none knows lines.

use std::collections::BTreeMap;
use std::path::Path;

use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use toml::de::{DeTable, DeValue};

use super::environment::{Environment, PREFIX};
use super::keys::KEYS;
use super::passed::PassedAddresses;
use super::problem::{Place, Problem};

/// Values of one source.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer {
    values: Dict,
    /// Where each key was said, by its dotted name.
    places: BTreeMap<String, Place>,
}

/// One `[[route]]` of the file.
#[derive(Clone, Debug)]
pub(super) struct RawRoute {
    pub(super) place: Place,
    /// Values, with where they were said.
    pub(super) values: BTreeMap<String, (Value, Place)>,
}

/// All layers, laid over one another.
#[derive(Debug)]
pub(super) struct Raw {
    figment: Figment,
    /// What came of laying the layers over one another, which is done once.
    merged: Value,
    layers: Vec<Layer>,
    pub(super) routes: Vec<RawRoute>,
    /// Sockets in place of addresses.
    pub(super) passed: PassedAddresses,
}

impl Raw {
    /// Lays the layers over one another; later ones win.
    pub(super) fn new(layers: Vec<Layer>, routes: Vec<RawRoute>) -> Self {
        let start = Figment::new();
        let figment = layers
            .iter()
            .enumerate()
            .fold(start, |figment, (at, layer)| {
                figment.merge(Numbered(at, layer))
            });
        let merged = figment.data().unwrap_or_default();
        let merged = merged.into_values().next().unwrap_or_default();
        Self {
            figment,
            merged: merged.into(),
            layers,
            routes,
            passed: PassedAddresses::default(),
        }
    }

    /// With sockets in place of addresses.
    pub(super) fn with_passed(self, passed: PassedAddresses) -> Self {
        Self { passed, ..self }
    }

    /// What was said of a key, and where.
    pub(super) fn get(&self, key: &str) -> Option<(Value, Place)> {
        let value = self.merged.find_ref(key)?.clone();
        let metadata = self.figment.get_metadata(value.tag())?;
        let layer = self.layers.get(metadata.name.parse::<usize>().ok()?)?;
        Some((
            value,
            layer.places.get(key).cloned().unwrap_or(Place::Nowhere),
        ))
    }

    /// All keys that were said, by their dotted names, with where.
    pub(super) fn said(&self) -> impl Iterator<Item = (&str, &Place)> {
        self.layers.iter().flat_map(|layer| {
            layer
                .places
                .iter()
                .map(|(key, place)| (key.as_str(), place))
        })
    }
}

/// A layer as a provider that is found again by its number.
struct Numbered<'a>(usize, &'a Layer);

impl Provider for Numbered<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.0.to_string())
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Ok(Map::from([(Profile::Default, self.1.values.clone())]))
    }
}

impl Layer {
    /// The defaults of all keys.
    pub(super) fn defaults() -> Self {
        let mut layer = Self::default();
        for key in KEYS.iter().filter(|key| !key.default.is_empty()) {
            let value = DeValue::parse(key.default).expect("defaults are valid TOML");
            layer.put(key.name, plain_value(value.get_ref()), None);
        }
        layer
    }

    /// What the environment says. Every value is text, as it is.
    pub(super) fn of_environment(environment: &Environment, problems: &mut Vec<Problem>) -> Self {
        let mut layer = Self::default();
        for (name, value) in environment.keys() {
            let key = name[PREFIX.len()..].to_ascii_lowercase().replace("__", ".");
            let place = Place::Variable(name.to_owned());
            match value.to_str() {
                Some(text) => layer.put(&key, Value::from(text), Some(place)),
                None => problems.push(not_text(place, key)),
            }
        }
        layer
    }

    /// Adds what an option says.
    pub(super) fn option(&mut self, key: &str, option: &'static str, value: impl Into<Value>) {
        self.put(key, value.into(), Some(Place::Option(option)));
    }

    /// What a file says: its keys, and its routes.
    ///
    /// # Errors
    ///
    /// One [`Problem`] for a file that is not TOML.
    pub(super) fn of_file(path: &Path, text: &str) -> Result<(Self, Vec<RawRoute>), Problem> {
        // Looked up rather than counted for each key: a file of short lines has 200,000 of them.
        let line_ends: Vec<usize> = memchr::memchr_iter(b'\n', text.as_bytes()).collect();
        let line = |at: usize| line_ends.partition_point(|end| *end < at) + 1;
        let place = |at: usize| Place::File(path.to_owned(), line(at));
        let document = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            // The parser's own message may quote the file, which may hold a misplaced secret.
            let message =
                "this is not valid TOML: expected `key = value`, with text in double quotes"
                    .to_owned();
            Problem {
                place: place(at),
                key: String::new(),
                message,
            }
        })?;
        let mut layer = Self::default();
        let mut routes = Vec::new();
        for (name, value) in document.get_ref() {
            let at = name.span().start;
            match (name.get_ref().as_ref(), value.get_ref()) {
                ("route", DeValue::Array(tables)) => {
                    routes.extend(tables.iter().map(|table| {
                        raw_route(table.get_ref(), place(table.span().start), &place)
                    }));
                }
                (name, value) => layer.put_tree(name, value, at, &place),
            }
        }
        Ok((layer, routes))
    }

    fn put_tree(
        &mut self,
        name: &str,
        value: &DeValue<'_>,
        at: usize,
        place: &dyn Fn(usize) -> Place,
    ) {
        match value {
            DeValue::Table(table) => {
                for (inner, value) in table {
                    self.put_tree(
                        &format!("{name}.{}", inner.get_ref()),
                        value.get_ref(),
                        inner.span().start,
                        place,
                    );
                }
            }
            value => self.put(name, plain_value(value), Some(place(at))),
        }
    }

    fn put(&mut self, key: &str, value: Value, place: Option<Place>) {
        if let Some(place) = place {
            self.places.insert(key.to_owned(), place);
        }
        let mut parts: Vec<&str> = key.split('.').collect();
        let last = parts.pop().unwrap_or(key);
        let mut table = &mut self.values;
        for part in parts {
            let inner = table
                .entry(part.to_owned())
                .or_insert_with(|| Value::from(Dict::new()));
            // A value where a table should be is replaced; it is reported as an unknown key.
            if inner.as_dict().is_none() {
                *inner = Value::from(Dict::new());
            }
            let Value::Dict(_, inner) = inner else { return };
            table = inner;
        }
        table.insert(last.to_owned(), value);
    }
}

fn raw_route(value: &DeValue<'_>, place: Place, places: &dyn Fn(usize) -> Place) -> RawRoute {
    let values = value.as_table().into_iter().flatten().map(|(name, value)| {
        let said = (plain_value(value.get_ref()), places(name.span().start));
        (name.get_ref().to_string(), said)
    });
    RawRoute {
        place,
        values: values.collect(),
    }
}

fn not_text(place: Place, key: String) -> Problem {
    Problem {
        place,
        key,
        message: "the value is not UTF-8; give it as UTF-8 text".to_owned(),
    }
}

/// A TOML value without its place. Numbers keep their text, so that they are judged where the key is known.
fn plain_value(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Boolean(boolean) => Value::from(*boolean),
        DeValue::Integer(number) if number.radix() == 10 => number
            .as_str()
            .parse::<i64>()
            .map_or_else(|_| Value::from(f64::NAN), Value::from),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Datetime(_) => Value::from(f64::NAN),
        DeValue::Array(items) => items
            .iter()
            .map(|item| plain_value(item.get_ref()))
            .collect::<Vec<_>>()
            .into(),
        DeValue::Table(_) => Value::from(Dict::new()),
    }
}
