//! The reference of all keys: `config/apig-proxy.toml`, the only source of names and defaults.
//!
//! It lists each key as `# key = default`, below its description. The defaults are parsed from that
//! text, and `docs/configuration.md` is generated from it, so the program and its documentation cannot
//! differ.

use std::sync::LazyLock;

const REFERENCE: &str = include_str!("../../config/apig-proxy.toml");

/// A key, as the reference lists it.
#[derive(Clone, Debug)]
pub struct ReferenceKey {
    /// The name with its table: `limits.body`; `route.path` for a key of `[[route]]`.
    pub name: String,
    /// The default as TOML; `None` if the reference shows an example.
    pub default: Option<&'static str>,
}

/// All keys, in the order of the reference.
pub fn keys() -> &'static [ReferenceKey] {
    static KEYS: LazyLock<Vec<ReferenceKey>> = LazyLock::new(parse);
    &KEYS
}

fn parse() -> Vec<ReferenceKey> {
    let mut table = "";
    let mut keys = Vec::new();
    for line in REFERENCE.lines() {
        let text = line.strip_prefix("# ").unwrap_or(line);
        if text.starts_with('[') && text.ends_with(']') {
            table = text.trim_matches(['[', ']']);
        } else if let Some((key, value)) = text.split_once(" = ")
            && key.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.".contains(&byte)
            })
        {
            let is_example = table == "route" || value.contains('<');
            keys.push(ReferenceKey {
                name: [table, key].join(".").trim_start_matches('.').to_owned(),
                default: (!is_example).then_some(value),
            });
        }
    }
    keys
}

/// In how many letters a name differs from a known key, if it may be taken for that.
pub(super) fn distance(name: &str, known: &str) -> Option<usize> {
    Some(strsim::levenshtein(&name.to_ascii_lowercase(), known)).filter(|letters| *letters <= 2)
}

/// The known key that is spelled most like `name`, or is the main key of a table of this name, or has
/// the same name in another table.
/// Keys of routes are left out if they are not wanted.
pub(super) fn nearest(name: &str, with_routes: bool) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    let last = |name: &str| name.rsplit('.').next().map(str::to_owned);
    let is_wanted = |name: &&str| with_routes || !name.starts_with("route.");
    let names = || keys().iter().map(|key| key.name.as_str()).filter(is_wanted);
    let close = names().filter_map(|known| Some((distance(&name, known)?, known)));
    let close = close.min().map(|(_, known)| known);
    let mains = [".file", ".enabled", ".mode", "_file"].map(|end| format!("{name}{end}"));
    let main = || names().find(|known| mains.iter().any(|main| main == known));
    let elsewhere = || names().find(|known| last(known) == last(&name));
    close.or_else(main).or_else(elsewhere)
}
