//! Whole configurations: what is set in files, variables and options, and what comes of it.

mod cloud;
mod problems;

use std::path::Path;

use super::*;

const URL: &str = "https://gw.example";

/// Loads without opening sources of credentials.
fn loaded(overrides: &Overrides, variables: &[(&str, &str)]) -> Result<Loaded, Problems> {
    let environment = Environment::from_pairs(variables.iter().copied());
    load(overrides, &environment, |_, _| ()).map(|(loaded, ())| loaded)
}

/// The configuration of a file with an upstream and this text.
fn config(text: &str) -> Config {
    let text = format!("upstream = \"{URL}\"\n{text}");
    from_text(Path::new("/etc/x.toml"), &text).unwrap()
}

#[test]
fn the_reference_is_a_valid_configuration_of_the_defaults() {
    let reference = include_str!("../../../config/apig-proxy.toml");
    let defaults = format!("{:?}", config(""));
    assert_eq!(format!("{:?}", config(reference)), defaults);
    let lines = keys()
        .iter()
        .filter_map(|key| Some(format!("{} = {}\n", key.name, key.default?)));
    let set = format!("{:?}", config(&lines.collect::<String>()));
    // Naming the file of the key makes it the source.
    let set = set
        .replace("source: \"file\"", "source: \"auto\"")
        .replace("/etc/", "");
    assert_eq!(set, defaults);
}

#[test]
fn later_layers_win() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    let text = "stage = \"FILE\"\nlimits = {body = \"1MiB\", connections = 5}\n";
    std::fs::write(&file, format!("upstream = \"{URL}\"\n{text}")).unwrap();
    let overrides = Overrides::new(Some(file.clone()));
    let mut variables = vec![("APIG_PROXY_LIMITS__BODY", "2MiB")];
    let read = loaded(&overrides, &variables).unwrap();
    let limits = &read.config.limits;
    assert_eq!(
        (limits.body, limits.connections, limits.header),
        (2 << 20, 5, 64 << 10)
    );
    assert_eq!(
        (&read.config.routes[0].stage, read.file),
        (&"FILE".parse().unwrap(), Some(file))
    );
    // A variable is text, unchanged.
    variables.push(("APIG_PROXY_STAGE", "0123"));
    let config = loaded(&overrides, &variables).unwrap().config;
    assert_eq!(config.routes[0].stage, "0123");
    let overrides = overrides.text("stage", "--stage", Some("OPTION"));
    let overrides = overrides.text("credentials.file", "--credentials", Some("key.csv"));
    let config = loaded(&overrides, &variables).unwrap().config;
    assert_eq!(config.routes[0].stage, "OPTION");
    let set = &config.credentials[0];
    assert_eq!((set.source, &*set.file), ("file", Path::new("key.csv")));
}

#[test]
fn lists_in_variables_are_separated_by_commas_or_arrays() {
    let listen = |value: &'static str| {
        let variables = [("APIG_PROXY_UPSTREAM", URL), ("APIG_PROXY_LISTEN", value)];
        loaded(&Overrides::default(), &variables).map(|loaded| loaded.config.listen)
    };
    let both: [Listen; 2] = ["127.0.0.1:1", "[::1]:2"].map(|text| text.parse().unwrap());
    for value in [
        "127.0.0.1:1, [::1]:2",
        "[\"127.0.0.1:1\", \"[::1]:2\"]",
        "['127.0.0.1:1', '[::1]:2',]",
        "[\"127.0.0.1\\u003a1\",\"[::1]:2\"]",
    ] {
        assert_eq!(listen(value).unwrap(), both, "{value}");
    }
    assert_eq!(listen("[::1]:2").unwrap(), both[1..]);
    assert_eq!(listen("[9090]").unwrap(), listen("9090").unwrap());
    for value in ["[", "[]", "[\"127.0.0.1:1\"", "[true]", ",", "[\"x\"]"] {
        assert_eq!(listen(value).unwrap_err().0.len(), 1, "{value}");
    }
}

#[test]
fn routes_are_sorted_and_take_the_top_level_values() {
    let config = config(
        "stage = \"TEST\"\n[[route]]\npath = \"/a\"\nupstream = \"https://gw.example/x/\"\n\
         [[route]]\npath = \"/a/b/\"\nupstream = \"https://gw.example\"\nstage = \"OTHER\"\n\
         timeouts.idle = \"7s\"\norigin = \"keep\"\n",
    );
    let expected = [
        ("/a/b", "", "OTHER"),
        ("/a", "/x", "TEST"),
        ("", "", "TEST"),
    ];
    for (route, (prefix, base_path, stage)) in config.routes.iter().zip(expected) {
        assert_eq!(
            (&*route.prefix, &*route.upstream.base_path),
            (prefix, base_path)
        );
        assert_eq!(route.stage, stage);
    }
    assert_eq!(config.routes.len(), 3);
    let own = config
        .routes
        .iter()
        .map(|route| (route.idle_timeout, route.keeps_origin));
    let seven = Some(Duration::from_secs(7));
    assert!(own.eq([(seven, true), (None, false), (None, false)]));
}

#[test]
fn sets_of_credentials_have_names_and_routes_use_them() {
    let config = config(
        "[credentials]\nuser = \"a\"\n[credentials.team-b]\nfile = \"b.csv\"\ntoken_file = \"t\"\n\
         [[route]]\npath = \"/b\"\nupstream = \"https://gw.example\"\ncredentials = \"team-b\"\nauth = \"token\"\n",
    );
    let [first, second] = &config.credentials[..] else {
        panic!("there are two sets");
    };
    assert_eq!((first.label(), first.source), ("default", "auto"));
    assert_eq!((second.label(), second.source), ("team-b", "file"));
    // A set has the defaults, and nothing that the other one sets.
    assert_eq!((first.user.as_deref(), &second.user), (Some("a"), &None));
    assert_eq!(second.file, Path::new("/etc/b.csv"));
    assert_eq!(second.token, Some(TokenSource::File("/etc/t".into())));
    let auth = config.routes.iter().map(|route| route.auth);
    let named = Auth {
        mode: AuthMode::Token,
        credentials: 1,
    };
    assert!(auth.eq([named, Auth::default()]));
}

#[test]
fn connections_may_go_elsewhere_than_to_the_host_that_is_signed() {
    let text = "upstream = \"https://gw.example/v1/\"\nupstream_address = \"10.0.0.8:8443\"\n\
         [[route]]\npath = \"/b\"\nupstream = \"https://gw.example/v1\"\nupstream_address = \"[fd00::1]:1\"\n\
         [[route]]\npath = \"/cc\"\nupstream = \"https://gw.example\"\n";
    let config = from_text(Path::new("c.toml"), text).unwrap();
    let upstreams = config.routes.iter().map(|route| &route.upstream);
    let found = upstreams.map(|url| (url.destination(), url.ends_with_slash));
    assert!(found.eq([
        (("gw.example", 443), false),
        (("fd00::1", 1), false),
        (("10.0.0.8", 8443), true),
    ]));
    assert!(!config.routes[0].shares_origin(&config.routes[2]));
}

#[test]
fn both_loopback_addresses_are_listened_on_by_default() {
    let listen = config("").listen;
    assert_eq!(listen[0], "127.0.0.1:8080".parse().unwrap());
    let has_ipv6 = std::net::UdpSocket::bind("[::1]:0").is_ok();
    let second = has_ipv6.then(|| "[::1]:8080".parse().unwrap());
    assert_eq!(listen.get(1), second.as_ref());
}

#[test]
fn the_settings_are_shown_as_a_file_of_the_same_configuration_with_their_places() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("c.toml");
    let text = "headers = []\nmethods = [\"GET\"]\n[credentials.b]\nfile = \"/k\"\n[[route]]\npath = \"/a\"\nupstream = \"https://a.example\"\n";
    std::fs::write(&file, format!("upstream = \"{URL}\"\n{text}")).unwrap();
    let overrides = Overrides::new(Some(file.clone())).text("stage", "--stage", Some("TEST"));
    let variables = [
        ("APIG_PROXY_ADMIN_QUIT", "true"),
        ("APIG_PROXY_LISTEN", "127.0.0.1:1,[::1]:1"),
    ];
    let read = loaded(&overrides, &variables).unwrap();
    let shown = read.settings.to_string();
    for line in [
        "stage = \"TEST\"  # --stage",
        "admin_quit = \"true\"  # APIG_PROXY_ADMIN_QUIT",
        "methods = [\"GET\"]  # FILE:3",
        "[credentials.b]\nfile = \"/k\"  # FILE:5",
        "[limits]\n# answer_header = \"256KiB\"\n",
        "[[route]]\npath = \"/a\"  # FILE:7",
    ] {
        let line = line.replace("FILE", &file.display().to_string());
        assert!(shown.contains(&line), "{line} in {shown}");
    }
    let secret = overrides.list("headers", "--x", &["x-key: MARKER".to_owned()]);
    let secret = loaded(&secret, &variables).unwrap().settings.to_string();
    assert!(secret.contains("headers = [\"[redacted]\"]") && !secret.contains("MARKER"));
    let again = from_text(Path::new("c.toml"), &shown).unwrap();
    assert_eq!(format!("{again:?}"), format!("{:?}", read.config));
}

#[test]
fn a_reload_names_the_keys_that_changed() {
    let settings = |text: &str| {
        let layer = layers::from_file(Path::new("c.toml"), text).unwrap();
        Settings(reader::Reader::new(vec![layer]).settings)
    };
    let before = settings("stage = \"A\"\nlisten = [\"127.0.0.1:1\"]\n[limits]\nbody = \"1MiB\"\n");
    let same =
        settings("listen = [\"127.0.0.1:1\"]\n# moved\nstage = \"A\"\n[limits]\nbody = \"1MiB\"\n");
    assert_eq!(same.changed_since(&before), [""; 0]);
    let after = settings(
        "stage = \"A\"\nlisten = [\"127.0.0.1:2\"]\n[credentials.b]\nfile = \"MARKER\"\n\
         [[route]]\npath = \"/a\"\nupstream = \"https://gw.example\"\n",
    );
    let changed = after.changed_since(&before);
    assert_eq!(
        changed,
        ["credentials.b.file", "limits.body", "listen", "route"]
    );
    assert!(!format!("{after:?}").contains("MARKER"));
}

#[test]
fn memory_of_the_inspector_and_of_held_bodies_share_three_eighths() {
    let mib = |count: u64| count << 20;
    for (enabled, memory, inspected, buffered) in [
        (true, 160, 30, 30),
        (true, 800, 32, 256),
        (true, 240, 32, 58),
        (false, 160, 32, 60),
    ] {
        let mut config = config("");
        config.inspect.enabled = enabled;
        config.limits.connections = 1;
        let is_too_much = memory::fit(&mut config.limits, &mut config.inspect, mib(memory));
        assert_eq!(config.inspect.memory as u64, mib(inspected), "{memory}");
        assert_eq!(config.limits.buffered, mib(buffered), "{memory}");
        assert_eq!(is_too_much, memory < 800, "{memory}");
    }
}
