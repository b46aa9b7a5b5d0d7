//! The README says what is true.

use std::fmt::Write;

use apig_proxy::config::{KEYS, Key, ROUTE_KEYS};
use apig_proxy::telemetry::metrics::{FAMILIES, Kind};

use crate::program::Place;

const README: &str = include_str!("../../README.md");

/// What stands between the two marks of a table.
fn table(name: &str) -> &'static str {
    let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (_, rest) = README.split_once(&start).unwrap();
    rest.split_once(&end).unwrap().0
}

#[test]
fn the_table_of_metrics_lists_every_one() {
    let mut expected = "| metric | type | labels | meaning |\n|---|---|---|---|\n".to_owned();
    for family in FAMILIES {
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let labels: Vec<String> = family
            .labels
            .iter()
            .map(|name| format!("`{name}`"))
            .collect();
        let (name, labels, meaning) = (family.name, labels.join(", "), family.meaning);
        writeln!(expected, "| `{name}` | {kind} | {labels} | {meaning} |").unwrap();
    }
    let table = table("metrics");
    assert_eq!(table, expected, "the table should be:\n{expected}");
}

#[test]
fn the_configuration_table_lists_every_key_with_its_default() {
    let table = table("keys");
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
fn the_quick_start_comes_early_and_has_two_commands() {
    let (before, rest) = README.split_once("```sh\n").unwrap();
    let commands: Vec<&str> = rest.split_once("```").unwrap().0.lines().collect();
    assert!(before.lines().count() + commands.len() < 30);
    assert_eq!(commands.len(), 2, "{commands:?}");
    assert!(
        commands[0].starts_with("cargo run --release -- demo ")
            && commands[1].starts_with("cargo test ")
    );
}

#[test]
fn every_option_and_command_is_in_the_readme_and_none_takes_a_secret() {
    let place = Place::new();
    let (_, help, _) = place.run(&["serve", "--help"], &[]);
    let options: Vec<&str> = help
        .split_whitespace()
        .filter(|word| word.starts_with("--"))
        .collect();
    assert!(options.contains(&"--listen"), "{help}");
    for option in options.iter().filter(|option| **option != "--help") {
        assert!(README.contains(&format!("`{option}`")), "{option}");
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
            README.contains(&format!("apig-proxy {command}"))
                || ["serve", "demo"].contains(&command),
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
