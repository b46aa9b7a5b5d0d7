//! The layers of the configuration, which figment lays over one another: defaults, file,
//! environment, options.
//!
//! The providers of figment are not used: its environment provider changes types (`0123` becomes a
//! number, `"ab"` loses its quotes), and none knows lines. Secrets never get here, because figment
//! quotes values in its errors.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::LazyLock;

use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::environment::{Environment, PREFIX};
use super::problem::{Place, Problem};
use super::reference::{ReferenceKey, keys};

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

/// The layer of all defaults.
pub(super) fn defaults() -> &'static Layer {
    static DEFAULTS: LazyLock<Layer> = LazyLock::new(|| {
        let default = |key: &ReferenceKey| {
            let value = ValueDeserializer::parse(key.default?).map(plain_value);
            let value = value.expect("the reference has valid defaults");
            Some((key.name.clone(), Setting::new(value, Place::Nowhere)))
        };
        keys().iter().filter_map(default).collect()
    });
    &DEFAULTS
}

/// The settings that win: those of later layers.
pub(super) fn merge(layers: &[Layer]) -> Layer {
    let numbered = layers.iter().enumerate();
    let figment = numbered.fold(Figment::new(), |figment, (at, layer)| {
        figment.merge(Numbered(at, layer))
    });
    let merged = figment.data().unwrap_or_default().into_values().flatten();
    let settings = merged.filter_map(|(key, value)| {
        let layer: usize = figment.get_metadata(value.tag())?.name.parse().ok()?;
        layers.get(layer)?.get_key_value(&key)
    });
    settings
        .map(|(key, setting)| (key.clone(), setting.clone()))
        .collect()
}

/// A layer as a provider that its number identifies.
struct Numbered<'a>(usize, &'a Layer);

impl Provider for Numbered<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.0.to_string())
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        let values = self
            .1
            .iter()
            .map(|(key, setting)| (key.clone(), setting.value.clone()));
        Ok(Map::from([(Profile::Default, values.collect())]))
    }
}

/// The layer of the environment. Every value is text, unchanged.
pub(super) fn from_environment(environment: &Environment, problems: &mut Vec<Problem>) -> Layer {
    const NOT_TEXT: &str = "the value is not UTF-8; give it as UTF-8 text";
    let mut layer = Layer::new();
    for (name, value) in environment.keys() {
        let key = name[PREFIX.len()..].to_ascii_lowercase().replace("__", ".");
        let place = Place::Variable(name.to_owned());
        match value.to_str() {
            Some(text) => drop(layer.insert(key, Setting::new(text, place))),
            None => problems.push(Problem::new(place, key, NOT_TEXT)),
        }
    }
    layer
}

/// The layer of a file. One that is not TOML is one problem.
pub(super) fn from_file(path: &Path, text: &str) -> Result<Layer, Problem> {
    // The message of the parser may quote the file, which may hold a misplaced secret.
    const NOT_TOML: &str =
        "this is not valid TOML: expected `key = value`, with text in double quotes";
    // Looked up rather than counted for each key: a file of short lines has 200,000 of them.
    let line_ends: Vec<usize> = memchr::memchr_iter(b'\n', text.as_bytes()).collect();
    let place = |span: Range<usize>| {
        let line = line_ends.partition_point(|end| *end < span.start) + 1;
        Place::File(path.to_owned(), line)
    };
    let document = DeTable::parse(text)
        .map_err(|error| Problem::new(place(error.span().unwrap_or(0..0)), "", NOT_TOML))?;
    let mut layer = Layer::new();
    for (name, value) in document.get_ref() {
        let (name, span) = (name.get_ref().to_string(), name.span());
        collect(&mut layer, name, value, span, &place);
    }
    Ok(layer)
}

fn collect(
    layer: &mut Layer,
    name: String,
    value: &Spanned<DeValue<'_>>,
    span: Range<usize>,
    place: &dyn Fn(Range<usize>) -> Place,
) {
    match value.get_ref() {
        DeValue::Table(table) => {
            for (inner, value) in table {
                collect(
                    layer,
                    format!("{name}.{}", inner.get_ref()),
                    value,
                    inner.span(),
                    place,
                );
            }
        }
        DeValue::Array(tables) if name == "route" => {
            for (number, table) in tables.iter().enumerate() {
                let (name, span) = (format!("{name}.{number}"), table.span());
                layer.insert(name.clone(), Setting::new(Dict::new(), place(span.clone())));
                collect(layer, name, table, span, place);
            }
        }
        _ => {
            let value = plain_value(ValueDeserializer::from(value.clone()));
            layer.insert(name, Setting::new(value, place(span)));
        }
    }
}

/// A value without its position. A number that does not fit becomes a table, which no key accepts.
fn plain_value(value: ValueDeserializer<'_>) -> Value {
    Deserialize::deserialize(value).unwrap_or_else(|_: toml::de::Error| Dict::new().into())
}
