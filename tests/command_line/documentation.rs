//! README and docs say what is true.

use std::fmt::Write;

use apig_proxy::config::{KEYS, Key, ROUTE_KEYS};
use apig_proxy::telemetry::metrics::FAMILIES;

use crate::program::Place;

const README: &str = include_str!("../../README.md");
const CONFIGURATION: &str = include_str!("../../docs/configuration.md");
const COMMANDS: &str = include_str!("../../docs/commands.md");
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
    for family in FAMILIES {
        let labels: Vec<String> = family
            .labels
            .iter()
            .map(|name| format!("`{name}`"))
            .collect();
        let (name, kind) = (family.name, family.kind.as_str());
        let (labels, meaning) = (labels.join(", "), family.help);
        writeln!(expected, "| `{name}` | {kind} | {labels} | {meaning} |").unwrap();
    }
    let table = table(OPERATIONS, "metrics");
    assert_eq!(table, expected, "the table should be:\n{expected}");
}

#[test]
fn the_configuration_table_lists_every_key_with_its_default() {
    let table = table(CONFIGURATION, "keys");
    let mut expected = "| key | default | meaning |\n|---|---|---|\n".to_owned();
    let mut row = |name: String, key: &Key| {
        let default = if key.default.is_empty() {
            String::new()
        } else {
            format!("`{}`", key.default)
        };
        writeln!(expected, "| `{name}` | {default} | {} |", key.meaning).unwrap();
    };
    KEYS.iter().for_each(|key| row(key.name.to_owned(), key));
    ROUTE_KEYS
        .iter()
        .for_each(|key| row(format!("route.{}", key.name), key));
    assert_eq!(table, expected, "the table should be:\n{expected}");
}

#[test]
fn the_readme_is_short_and_begins_with_a_quick_start() {
    let before = README.split_once("```sh\n").unwrap().0;
    assert!(README.lines().count() <= 150 && before.lines().count() < 30);
}

#[test]
fn links_between_pages_lead_to_files_and_headings() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = std::fs::read_dir(root.join("docs")).unwrap();
    let mut pages: Vec<_> = pages.map(|page| page.unwrap().path()).collect();
    pages.extend(
        [
            "README.md",
            "SECURITY.md",
            "CONTRIBUTING.md",
            "deploy/README.md",
        ]
        .map(|name| root.join(name)),
    );
    let slug = |heading: &str| -> String {
        let kept = heading
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.collect::<String>().to_lowercase().replace(' ', "-")
    };
    let mut links = 0;
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            if link.contains("://") {
                continue;
            }
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
                let found =
                    headings.any(|line| slug(line.trim_start_matches('#').trim()) == anchor);
                assert!(found, "{}: {link}", page.display());
            }
        }
    }
    assert!(links > 50, "{links}");
}

#[test]
fn every_option_and_command_is_documented_and_none_takes_a_secret() {
    let place = Place::new();
    let (_, help, _) = place.run(&["serve", "--help"], &[]);
    let options: Vec<&str> = help
        .split_whitespace()
        .filter(|word| word.starts_with("--"))
        .collect();
    assert!(options.contains(&"--listen"), "{help}");
    for option in options.iter().filter(|option| **option != "--help") {
        assert!(COMMANDS.contains(&format!("`{option}`")), "{option}");
    }
    let (_, help, _) = place.run(&["--help"], &[]);
    let commands = help
        .split_once("Commands:")
        .unwrap()
        .1
        .split_once("Options:")
        .unwrap()
        .0;
    for command in commands
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|word| !word.is_empty())
    {
        assert!(
            COMMANDS.contains(&format!("apig-proxy {command}")) || command == "serve",
            "{command}"
        );
    }
    for command in ["serve", "demo", "gateway", "sign", "verify", "check"] {
        let (_, help, _) = place.run(&[command, "--help"], &[]);
        for word in ["secret", "--sk", "password"] {
            let options = help
                .lines()
                .filter(|line| line.trim_start().starts_with('-'));
            assert!(
                !options
                    .into_iter()
                    .any(|line| line.to_lowercase().contains(word)),
                "{help}"
            );
        }
    }
}
