//! What a configuration says, key by key, to tell what has changed when it is read again.
//!
//! Names are told, values never: one may be a secret that was put in the wrong place.

use std::collections::BTreeMap;

use figment::value::Value;

use super::keys::KEYS;
use super::raw::Raw;

/// The value of each key, defaults included, and of each route.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Said(BTreeMap<String, String>);

impl Said {
    pub(super) fn of(raw: &Raw) -> Self {
        let names = KEYS.iter().map(|key| key.name);
        let names = names.chain(raw.said().map(|(name, _)| name));
        let mut said = BTreeMap::new();
        for name in names {
            if let Some((value, _)) = raw.get(name) {
                said.insert(name.to_owned(), plain(&value));
            }
        }
        for route in &raw.routes {
            let path = route.values.get("path");
            let path = path.and_then(|(path, _)| path.as_str()).unwrap_or_default();
            let mut values = String::new();
            for (name, (value, _)) in &route.values {
                values.push_str(name);
                put(value, &mut values);
            }
            said.insert(format!("route {path}"), values);
        }
        Self(said)
    }

    /// The names of the keys that say something else than in `before`, in their order.
    #[must_use]
    pub fn changed_since(&self, before: &Self) -> Vec<String> {
        let names = self.0.keys().chain(before.0.keys());
        let changed = names.filter(|name| self.0.get(*name) != before.0.get(*name));
        let mut changed: Vec<String> = changed.cloned().collect();
        changed.sort_unstable();
        changed.dedup();
        changed
    }
}

impl std::fmt::Debug for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A value without where it was said, in one way for each value.
fn plain(value: &Value) -> String {
    let mut text = String::new();
    put(value, &mut text);
    text
}

/// Each text with its length before it, rather than quoted: quotes of quotes would double with each level.
fn put(value: &Value, out: &mut String) {
    match value {
        Value::String(_, text) => out.push_str(&format!("{}:{text}", text.len())),
        Value::Num(_, number) => out.push_str(&format!("{number:?}")),
        Value::Array(_, items) => {
            out.push('[');
            items.iter().for_each(|item| put(item, out));
            out.push(']');
        }
        other => out.push_str(&format!("{:?}", other.to_bool())),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::raw::Layer;
    use super::*;

    fn said(text: &str) -> Said {
        let (layer, routes) = Layer::of_file(Path::new("c.toml"), text).unwrap();
        Said::of(&Raw::new(vec![Layer::defaults(), layer], routes))
    }

    #[test]
    fn what_has_changed_is_named_wherever_it_stands() {
        let before = said("stage = \"A\"\nlisten = [\"127.0.0.1:1\"]\n[limits]\nbody = \"1MiB\"\n");
        let same =
            said("listen = [\"127.0.0.1:1\"]\n# moved\nstage = \"A\"\n[limits]\nbody = \"1MiB\"\n");
        assert_eq!(same.changed_since(&before), Vec::<String>::new());
        let after = said(
            "stage = \"A\"\nlisten = [\"127.0.0.1:2\"]\n[credentials.b]\nfile = \"MARKER\"\n\
             [[route]]\npath = \"/a\"\nupstream = \"https://gw.example\"\n",
        );
        let changed = after.changed_since(&before);
        assert_eq!(
            changed,
            ["credentials.b.file", "limits.body", "listen", "route /a"]
        );
        assert!(!format!("{after:?}").contains("MARKER"));
    }
}
