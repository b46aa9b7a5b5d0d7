//! Whole configurations: what is said in files, variables and options, and what comes of it.

mod access;
mod problems;
mod remote;

use std::path::Path;

use super::*;

const URL: &str = "https://gw.example";

fn key_pair() -> [(&'static str, &'static str); 2] {
    [("HUAWEICLOUD_SDK_AK", "AK"), ("HUAWEICLOUD_SDK_SK", "SK")]
}

#[test]
fn the_example_file_says_the_defaults_and_every_key() {
    let example = include_str!("../../../config/apig-proxy.toml");
    let said = from_text(
        Path::new("config/apig-proxy.toml"),
        &format!("upstream = \"{URL}\"\n{example}"),
    )
    .unwrap();
    let mut said_debug = format!("{said:?}");
    let defaults = format!("{:?}", with_upstream(URL).unwrap());
    // Saying where the key is makes that file the source, and a path is relative to the file that says it.
    said_debug = said_debug.replace(
        "source: File, file: \"config/credentials.csv\"",
        "source: Auto, file: \"credentials.csv\"",
    );
    assert_eq!(said_debug, defaults);

    let table: toml::Table = toml::from_str(example).unwrap();
    for key in KEYS.iter().filter(|key| !key.default.is_empty()) {
        let mut value = &toml::Value::Table(table.clone());
        for part in key.name.split('.') {
            value = value
                .get(part)
                .unwrap_or_else(|| panic!("{} is not in the example", key.name));
        }
        let expected: toml::Table = toml::from_str(&format!("v = {}", key.default)).unwrap();
        assert_eq!(value, &expected["v"], "{}", key.name);
    }
    for key in ["# upstream", "[[route]]", "# path", "# auth"] {
        assert!(example.contains(key), "{key}");
    }
}

#[test]
fn later_layers_win() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    std::fs::write(
        &file,
        format!(
            "upstream = \"{URL}\"\nstage = \"FILE\"\n[limits]\nbody = \"1MiB\"\nconnections = 5\n"
        ),
    )
    .unwrap();
    let overrides = Overrides::of(Some(file.clone()));
    let mut environment = key_pair().to_vec();
    environment.extend([
        ("APIG_PROXY_LIMITS__BODY", "2MiB"),
        ("APIG_PROXY_LISTEN", "127.0.0.1:1, [::1]:2"),
        ("APIG_PROXY_CLOCK__CORRECT", "false"),
    ]);
    let loaded = load(&overrides, &Environment::from_pairs(environment.clone())).unwrap();
    assert_eq!(loaded.file.as_deref(), Some(file.as_path()));
    let config = loaded.config;
    assert_eq!(
        (
            config.limits.body,
            config.limits.connections,
            config.limits.header
        ),
        (2 << 20, 5, 64 << 10)
    );
    assert_eq!(
        config.listen,
        [
            Listen::Tcp("127.0.0.1:1".parse().unwrap()),
            Listen::Tcp("[::1]:2".parse().unwrap())
        ]
    );
    assert_eq!(
        (
            config.routes[0].stage.to_str().unwrap(),
            config.clock.correct
        ),
        ("FILE", false)
    );
    environment.push(("APIG_PROXY_STAGE", "0123"));
    let staged = |overrides: &Overrides| {
        let loaded = load(overrides, &Environment::from_pairs(environment.clone())).unwrap();
        loaded.config.routes[0].stage.to_str().unwrap().to_owned()
    };
    assert_eq!(staged(&overrides), "0123", "a variable is text as it is");
    let overrides = overrides.text("stage", "--stage", Some("OPTION"));
    assert_eq!(staged(&overrides), "OPTION");
}

#[test]
fn routes_are_sorted_and_take_the_top_level_stage() {
    let text = format!(
        "upstream = \"{URL}/base/\"\nstage = \"TEST\"\n[[route]]\npath = \"/a\"\nupstream = \"{URL}/x\"\n[[route]]\npath = \"/a/b/\"\nupstream = \"{URL}\"\nstage = \"OTHER\"\n"
    );
    let config = from_text(Path::new("x"), &text).unwrap();
    let routes: Vec<_> = config
        .routes
        .iter()
        .map(|r| {
            (
                r.prefix.as_str(),
                r.upstream.base_path.as_str(),
                r.stage.to_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        routes,
        [
            ("/a/b", "", "OTHER"),
            ("/a", "/x", "TEST"),
            ("", "/base", "TEST")
        ]
    );
}

#[test]
fn a_file_that_is_named_must_be_there() {
    let environment = Environment::from_pairs(
        key_pair()
            .into_iter()
            .chain([("APIG_PROXY_CONFIG", "no/such.toml")]),
    );
    let shown = load(&Overrides::default(), &environment)
        .unwrap_err()
        .to_string();
    assert!(
        shown.contains("no/such.toml: the file does not exist"),
        "{shown}"
    );
}

#[test]
fn a_file_that_is_named_for_the_key_is_its_only_source() {
    let environment = Environment::from_pairs(key_pair());
    let overrides = Overrides::default()
        .text("upstream", "--upstream", Some(URL))
        .text("credentials.file", "--credentials", Some("no/such.csv"));
    let shown = load(&overrides, &environment).unwrap_err().to_string();
    assert_eq!(
        shown,
        "credentials: no/such.csv does not exist; correct the path, or put the file there"
    );
}

#[test]
fn extra_roots_are_read_from_a_file_beside_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let certificate = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()])
        .unwrap()
        .cert;
    std::fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
    let file = folder.path().join("c.toml");
    let text = format!("upstream = \"{URL}\"\n[upstream_tls]\nca_file = \"ca.pem\"\n");
    let config = from_text(&file, &text).unwrap();
    assert_eq!(config.upstream_tls.extra_roots, [certificate.der().clone()]);
    std::fs::write(folder.path().join("ca.pem"), "no certificate").unwrap();
    assert!(
        from_text(&file, &text)
            .unwrap_err()
            .to_string()
            .contains("has no certificate")
    );
}
