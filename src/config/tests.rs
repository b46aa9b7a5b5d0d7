//! Whole configurations: what is said in files, variables and options, and what comes of it.

use std::path::Path;

use super::*;

const URL: &str = "https://gw.example";

fn problems(text: &str) -> Vec<String> {
    match from_text(Path::new("x.toml"), text) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.0.iter().map(ToString::to_string).collect(),
    }
}

/// The only problem with a configuration that has an upstream and this.
fn problem(text: &str) -> String {
    let text = if text.starts_with("upstream = ") {
        text.to_owned()
    } else {
        format!("upstream = \"{URL}\"\n{text}")
    };
    let mut problems = problems(&text);
    assert_eq!(problems.len(), 1, "{text}: {problems:?}");
    problems.remove(0)
}

fn key_pair() -> [(&'static str, &'static str); 2] {
    [("HUAWEICLOUD_SDK_AK", "AK"), ("HUAWEICLOUD_SDK_SK", "SK")]
}

#[test]
fn the_example_file_says_the_defaults_and_every_key() {
    let example = include_str!("../../config/apig-proxy.toml");
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
    let mut overrides = Overrides {
        config: Some(file.clone()),
        ..Overrides::default()
    };
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
        ["127.0.0.1:1".parse().unwrap(), "[::1]:2".parse().unwrap()]
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
    overrides.stage = Some("OPTION".to_owned());
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
fn all_problems_are_named_at_once_with_their_places() {
    let text = "stage = 5\nlisten = \"0.0.0.0:8080\"\n[limits]\nbdoy = 1\nbody = \"12 apples\"\n\n[log]\nlevel = \"loud\"\n";
    let problems = problems(text);
    let expected = [
        "x.toml:1: stage: ",
        "x.toml:2: listen: ",
        "x.toml:4: limits.bdoy: ",
        "x.toml:5: limits.body: ",
        "x.toml:8: log.level: ",
        "upstream: ",
    ];
    for start in expected {
        assert!(
            problems.iter().any(|problem| problem.starts_with(start)),
            "{start} {problems:#?}"
        );
    }
}

#[test]
fn a_start_with_several_things_wrong_names_them_all() {
    let environment = Environment::from_pairs([
        ("APIG_PROXY_STAGES", "x"),
        ("APIG_PROXY_TIMEOUTS__IDLE", "soon"),
        ("HUAWEICLOUD_SDK_AK", "AK"),
        ("APIG_PROXY_ROUTE", "x"),
    ]);
    let overrides = Overrides {
        admin: Some("on".to_owned()),
        ..Overrides::default()
    };
    let problems = load(&overrides, &environment).unwrap_err().to_string();
    for expected in [
        "6 problems:",
        "APIG_PROXY_STAGES: stages: there is no such key; did you mean stage?",
        "APIG_PROXY_TIMEOUTS__IDLE: timeouts.idle: ",
        "--admin: admin: ",
        "[[route]]",
        "--upstream https://",
        "HUAWEICLOUD_SDK_SK is not",
    ] {
        assert!(problems.contains(expected), "{expected} in {problems}");
    }
}

#[test]
fn keys_that_are_not_served_yet_say_so() {
    for text in [
        "listen = \"unix:/run/x.sock\"",
        "listen = \"0.0.0.0:8080\"",
        "admin = \"127.0.0.1:9\"",
        "[auth]\nmode = \"token\"",
        "[credentials]\nsource = \"metadata\"",
        "[limits]\nlarge_body = \"token\"",
        "[access]\ntoken_file = \"t\"",
        "[access]\nallow_remote = true",
        "[[route]]\npath = \"/a\"\nupstream = \"https://gw.example\"\nauth = \"api-key\"",
    ] {
        assert!(
            problem(text).contains("not served by this version yet"),
            "{}",
            problem(text)
        );
    }
}

#[test]
fn values_outside_their_bounds_are_refused() {
    for text in [
        "listen = []",
        "listen = [\"127.0.0.1\"]",
        "admin = \"x\"",
        "stage = \"\"",
        "stage = \"a b\"",
        "methods = []",
        "methods = [\"get\"]",
        "methods = [\"*\", \"GET\"]",
        "methods = [\"CONNECT\"]",
        "upstream = \"http://gw.example\"",
        "upstream = \"gw.example\"",
        "upstream = 1",
        "[auth]\nmode = \"x\"",
        "[credentials]\nsource = \"x\"",
        "[credentials]\nfile = \"\"",
        "[credentials]\nproject_id = \"é\"",
        "[signing]\nunsigned = [\"multipart\"]",
        "[signing]\nunsigned = [1]",
        "[limits]\nbody = \"2GiB\"\nbuffered = \"4GiB\"",
        "[limits]\nbody = 0",
        "[limits]\nbody = -1",
        "[limits]\nbuffered = \"1MiB\"",
        "[limits]\nconnections = 0",
        "[limits]\nconnections = 1.5",
        "[limits]\nheader = \"1KiB\"",
        "[timeouts]\nconnect = 5",
        "[timeouts]\nconnect = \"0s\"",
        "[timeouts]\nidle = \"-1s\"",
        "[timeouts]\nidle = \"25h\"",
        "[access]\nhosts = [\"a:1\"]",
        "[access]\norigins = [\"null\"]",
        "[upstream_tls]\nca_file = \"none.pem\"",
        "[clock]\ncorrect = \"yes\"",
        "[log]\nformat = \"xml\"",
        "[log]\nlevel = 3",
        "limits = 3",
        "route = 3",
        "[[route]]\npath = \"a\"\nupstream = \"https://gw.example\"",
        "[[route]]\npath = \"/a?b\"\nupstream = \"https://gw.example\"",
        "[[route]]\npath = \"/a\"",
        "[[route]]\nupstream = \"https://gw.example\"",
        "[[route]]\npath = \"/\"\nupstream = \"https://gw.example\"",
        "[[route]]\npath = \"/a\"\nupstream = \"https://gw.example\"\nstgae = \"x\"",
    ] {
        let problem = problem(text);
        assert!(problem.starts_with("x.toml:"), "{text}: {problem}");
    }
}

#[test]
fn no_problem_quotes_what_was_said() {
    let mut text = "upstream = \"MARKER\"\n[limits]\nMARKER = \"MARKER\"\n[MARKER]\na = 1\n[[route]]\nMARKER = 1\n".to_owned();
    for key in KEYS.iter().filter(|key| key.name.contains('.')) {
        let (table, name) = key.name.split_once('.').unwrap();
        if table != "limits" {
            text.push_str(&format!("[[{table}x]]\n"));
        }
        let shown = problems(&format!("[{table}]\n{name} = \"MARKER MARKER\"\n")).join("\n");
        assert!(!shown.contains("MARKER"), "{shown}");
    }
    for text in [
        text.as_str(),
        "MARKER",
        "stage = MARKER",
        "stage = \"MARKER",
        "a = 1\na = \"MARKER\"",
        "MARKER = 'MARKER'\n[MARKER]",
        "[[MARKER",
    ] {
        let shown = problems(text).join("\n");
        assert!(
            !shown.is_empty() && !shown.contains("MARKER"),
            "{text}: {shown}"
        );
    }
    let environment = Environment::from_pairs([
        ("APIG_PROXY_STAGE", "MARKER é"),
        ("APIG_PROXY_LOG__LEVEL", "MARKER"),
        ("HUAWEICLOUD_SDK_SK", "MARKER"),
    ]);
    let shown = load(
        &Overrides {
            listen: vec!["MARKER".to_owned()],
            ..Overrides::default()
        },
        &environment,
    )
    .unwrap_err();
    assert!(!format!("{shown}{shown:?}").contains("MARKER"), "{shown}");
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
    let overrides = Overrides {
        upstream: Some(URL.to_owned()),
        credentials: Some("no/such.csv".into()),
        ..Overrides::default()
    };
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
