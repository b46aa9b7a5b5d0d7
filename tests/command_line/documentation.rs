//! README and docs say what is true.

use std::fmt::Write;

use apig_proxy::config::{Environment, keys};
use apig_proxy::telemetry::metrics::families;

use crate::program::{Place, assert_has};

const README: &str = include_str!("../../README.md");
const CONFIGURATION: &str = include_str!("../../docs/configuration.md");
const REFERENCE: &str = include_str!("../../config/apig-proxy.toml");
const COMMANDS: &str = include_str!("../../docs/commands.md");
const ARCHITECTURE: &str = include_str!("../../docs/architecture.md");
const OPERATIONS: &str = include_str!("../../docs/operations.md");

/// The text between the two marks of a table.
fn table(page: &'static str, name: &str) -> &'static str {
    let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (_, rest) = page.split_once(&start).unwrap();
    rest.split_once(&end).unwrap().0
}

#[test]
fn the_table_of_metrics_lists_every_one() {
    let mut expected = "| metric | type | labels | meaning |\n|---|---|---|---|\n".to_owned();
    for family in families() {
        let labels = family.labels.iter().map(|name| format!("`{name}`"));
        let labels: Vec<String> = labels.collect();
        let (name, kind) = (family.name, family.kind.as_str());
        let (labels, meaning) = (labels.join(", "), family.help);
        writeln!(expected, "| `{name}` | {kind} | {labels} | {meaning} |").unwrap();
    }
    let table = table(OPERATIONS, "metrics");
    assert_eq!(table, expected, "the table should be:\n{expected}");
}

/// The sections on keys of `docs/configuration.md`, one for each table of the reference.
fn sections_of_keys() -> String {
    let mut page = String::new();
    let (mut table, mut description) = (String::new(), String::new());
    let header = "| key and variable | default | description |\n|---|---|---|\n";
    for line in REFERENCE.lines() {
        let text = line.trim_start_matches("# ");
        let key = text.split_once(" = ").filter(|(key, _)| {
            let is_name = |byte: u8| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.".contains(&byte)
            };
            key.bytes().all(is_name)
        });
        if text.starts_with('[') && text.ends_with(']') {
            table = text.trim_matches(['[', ']']).to_owned();
            write!(page, "\n## `{text}`\n\n{description}").unwrap();
            page.push_str(if description.is_empty() {
                header
            } else {
                "\n\n"
            });
            if !description.is_empty() {
                page.push_str(header);
            }
        } else if let Some((key, value)) = key {
            if table.is_empty() && !page.contains(header) {
                write!(page, "## Top level\n\n{header}").unwrap();
            }
            let name = format!("{table}.{key}").trim_start_matches('.').to_owned();
            let known = keys().iter().find(|known| known.name == name).unwrap();
            let variable = name.to_uppercase().replace('.', "__");
            let variable = format!("<br>`APIG_PROXY_{variable}`");
            let variable = if table == "route" { "" } else { &variable };
            let default = known.default.map(|default| format!("`{default}`"));
            let default = default.unwrap_or_else(|| format!("none, for example `{value}`"));
            writeln!(page, "| `{name}`{variable} | {default} | {description} |").unwrap();
        } else if line.starts_with('#') {
            description.push_str(if description.is_empty() { "" } else { " " });
            description.push_str(text);
            continue;
        }
        description.clear();
    }
    page
}

#[test]
fn the_page_of_the_configuration_is_generated_from_the_reference() {
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let expected = sections_of_keys();
    let is_there = |name: &str| expected.contains(&format!("| `{name}`"));
    assert!(keys().iter().all(|key| is_there(&key.name)));
    if Environment::from_env().get("UPDATE_DOCS").is_some() {
        let updated = CONFIGURATION.replace(table(CONFIGURATION, "keys"), &expected);
        std::fs::write(page, updated).unwrap();
        return;
    }
    let message = "run UPDATE_DOCS=1 cargo test --test command_line the_page_of_the_configuration";
    assert_eq!(table(CONFIGURATION, "keys"), expected, "{message}");
}

#[test]
fn the_keys_of_the_readme_have_the_defaults_that_it_gives_them() {
    let (_, section) = README.split_once("## Configuration").unwrap();
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let rows: Vec<&str> = rows.take(10).collect();
    let plain = |text: &str| text.replace(['[', ']', '"', '`'], "").trim().to_owned();
    for row in rows {
        let columns: Vec<&str> = row.split('|').map(str::trim).collect();
        let name = columns[1].trim_matches('`');
        let key = keys().iter().find(|key| key.name == name).unwrap();
        let default = key.default.unwrap_or_default();
        assert_eq!(plain(columns[2]), plain(default), "{name}");
    }
}

#[test]
fn links_between_pages_lead_to_files_and_headings() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = std::fs::read_dir(root.join("docs")).unwrap();
    let pages = pages.map(|page| page.unwrap().path());
    let mut pages: Vec<_> = pages.filter(|page| page.is_file()).collect();
    let others = [
        "README.md",
        "SECURITY.md",
        "CONTRIBUTING.md",
        "deploy/README.md",
    ];
    pages.extend(others.map(|name| root.join(name)));
    let slug = |heading: &str| -> String {
        let kept = heading
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    let mut links = 0;
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        let found = text.split("](").skip(1);
        let found = found.filter_map(|rest| rest.split(')').next());
        for link in found.filter(|link| !link.contains("://")) {
            links += 1;
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() {
                page.clone()
            } else {
                page.parent().unwrap().join(path)
            };
            assert!(target.exists(), "{}: {link}", page.display());
            if !anchor.is_empty() {
                let text = std::fs::read_to_string(&target).unwrap();
                let mut headings = text.lines().filter(|line| line.starts_with('#'));
                let slugs = |line: &str| slug(line.trim_start_matches('#').trim());
                assert!(
                    headings.any(|line| slugs(line) == anchor),
                    "{}: {link}",
                    page.display()
                );
            }
        }
    }
    assert!(links > 50, "{links}");
}

#[test]
fn every_option_and_command_is_documented() {
    let place = Place::new();
    let help = |arguments: &[&str]| place.run(&[arguments, &["--help"]].concat(), &[]).1;
    let serve = help(&["serve"]);
    let words = serve.split_whitespace();
    let options: Vec<&str> = words.filter(|word| word.starts_with("--")).collect();
    assert!(options.contains(&"--listen"), "{serve}");
    for option in options.iter().filter(|option| **option != "--help") {
        assert_has(COMMANDS, &[&format!("`{option}`")]);
    }
    let all = help(&[]);
    let (_, rest) = all.split_once("Commands:").unwrap();
    let (commands, _) = rest.split_once("Options:").unwrap();
    let commands = commands.lines();
    let names = commands.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    for name in names.filter(|name| !name.is_empty() && *name != "serve") {
        assert_has(COMMANDS, &[&format!("apig-proxy {name}")]);
    }
}

#[test]
fn the_places_that_the_architecture_page_names_exist() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let (_, table) = ARCHITECTURE.split_once("## Where would I change").unwrap();
    let words: Vec<&str> = table.split('`').skip(1).step_by(2).collect();
    let places = words.iter().filter(|word| word.contains('/'));
    for place in places.clone() {
        assert!(root.join(place).exists(), "{place}");
    }
    assert!(places.count() >= 20);
}
