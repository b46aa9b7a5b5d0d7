//! The layers of the configuration, which figment lays over one another: defaults, file,
//! environment, options.
//!
//! A layer is a flat map from dotted keys to values and the places that set them. Figment sees only
//! which layer has which key: it would change types (`0123` becomes a number, `"ab"` loses its
//! quotes), and quotes values in its errors.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::LazyLock;

use figment::Figment;
use figment::providers::Serialized;
use serde::Deserialize;
use toml::de::{DeTable, DeValue, ValueDeserializer};
use toml::{Spanned, Table, Value};

use super::environment::{Environment, PREFIX};
use super::problem::{Place, Problem};
use super::reference::keys;

/// A value, and the place where it was set.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) value: Value,
    pub(super) place: Place,
}

impl Setting {
    pub(super) fn new(value: impl Into<Value>, place: Place) -> Self {
        let value = value.into();
        Self { value, place }
    }
}

/// The settings of one source, by dotted key. The keys of the first `[[route]]` begin with
/// `route.0.`; `route.0` itself is the place of the table.
pub(super) type Layer = BTreeMap<String, Setting>;

pub(super) fn defaults() -> &'static Layer {
    static DEFAULTS: LazyLock<Layer> = LazyLock::new(|| {
        let with_default = keys().iter().filter_map(|key| Some((key, key.default?)));
        let defaults = with_default.map(|(key, default)| {
            let value = ValueDeserializer::parse(default).map(plain_value);
            let value = value.expect("the reference has valid defaults");
            (key.name.clone(), Setting::new(value, Place::Nowhere))
        });
        defaults.collect()
    });
    &DEFAULTS
}

/// The settings that win: those of later layers.
pub(super) fn merge(layers: &[Layer]) -> Layer {
    let numbered = layers.iter().enumerate();
    let figment = numbered.fold(Figment::new(), |figment, (at, layer)| {
        let keys: BTreeMap<&String, usize> = layer.keys().map(|key| (key, at)).collect();
        figment.merge(Serialized::defaults(keys))
    });
    let winners: BTreeMap<String, usize> = figment.extract().unwrap_or_default();
    let winners = winners.into_iter();
    let settings =
        winners.filter_map(|(key, at)| Some((key.clone(), layers[at].get(&key)?.clone())));
    settings.collect()
}

/// The layer of the environment. All variables about routes become the key `route`, which no variable
/// can set.
pub(super) fn from_environment(environment: &Environment) -> (Layer, Vec<Problem>) {
    const NOT_TEXT: &str = "the value is not UTF-8\nhint: give it as UTF-8 text";
    let (mut layer, mut problems) = (Layer::new(), Vec::new());
    for (name, value) in environment.keys() {
        let key = name[PREFIX.len()..].to_ascii_lowercase().replace("__", ".");
        let is_route = key.starts_with("route");
        let key = if is_route { "route".to_owned() } else { key };
        let place = Place::Variable(name.to_owned());
        match value.to_str() {
            Some(text) => drop(layer.insert(key, Setting::new(text, place))),
            None => problems.push(Problem::new(place, key, NOT_TEXT)),
        }
    }
    (layer, problems)
}

/// The layer of a file. One that is not TOML is one problem.
pub(super) fn from_file(path: &Path, text: &str) -> Result<Layer, Problem> {
    // Looked up rather than counted for each key: a file of short lines has 200,000 of them.
    let line_ends: Vec<usize> = memchr::memchr_iter(b'\n', text.as_bytes()).collect();
    let place = |span: Range<usize>| {
        let line = line_ends.partition_point(|end| *end < span.start) + 1;
        Place::File(path.to_owned(), line)
    };
    let document = DeTable::parse(text).map_err(|error| {
        // A fixed text of the parser, which quotes nothing.
        let wrong = error.message();
        let hint = match wrong {
            _ if wrong.contains("duplicate") => "remove one of the two",
            _ if wrong.contains("boolean") => {
                "write `true` or `false`, or put text in double quotes"
            }
            _ if wrong.contains("unicode") || wrong.contains("escape") => {
                "put text with `\\` in single quotes"
            }
            _ => "write `key = value`, with text in double quotes",
        };
        let message = format!("this is not valid TOML: {wrong}\nhint: {hint}");
        Problem::new(place(error.span().unwrap_or(0..0)), "", message)
    })?;
    let mut layer = Layer::new();
    for (name, value) in document.get_ref() {
        let (name, place_of_key) = (name.get_ref().to_string(), place(name.span()));
        collect(&mut layer, name, value, place_of_key, &place);
    }
    Ok(layer)
}

/// Adds a value, or all values of a table.
fn collect(
    layer: &mut Layer,
    name: String,
    value: &Spanned<DeValue<'_>>,
    place_of_key: Place,
    place: &dyn Fn(Range<usize>) -> Place,
) {
    let is_table = |value: &Spanned<DeValue<'_>>| matches!(value.get_ref(), DeValue::Table(_));
    match value.get_ref() {
        DeValue::Array(tables) if name == "route" && tables.iter().all(is_table) => {
            for (number, table) in tables.iter().enumerate() {
                let (name, start) = (format!("route.{number}"), place(table.span()));
                let marker = Setting::new(Table::new(), start.clone());
                layer.insert(name.clone(), marker);
                collect(layer, name, table, start, place);
            }
        }
        DeValue::Table(table) if name != "route" => {
            for (key, value) in table {
                let name = format!("{name}.{}", key.get_ref());
                collect(layer, name, value, place(key.span()), place);
            }
        }
        _ => {
            let value = plain_value(ValueDeserializer::from(value.clone()));
            layer.insert(name, Setting::new(value, place_of_key));
        }
    }
}

/// A value without its position. A number that does not fit becomes a table, which no key accepts.
fn plain_value(value: ValueDeserializer<'_>) -> Value {
    Deserialize::deserialize(value).unwrap_or_else(|_: toml::de::Error| Table::new().into())
}
