//! `[access]`: which origins and hosts are taken, and what is warned of.

use std::path::Path;

use super::URL;
use super::problems::problem;
use crate::config::{Environment, Overrides, from_text, load};

#[test]
fn browsers_are_served_only_if_that_is_said() {
    for (text, expected) in [
        ("", false),
        ("[access]\nbrowser = false", false),
        ("[access]\nbrowser = true", true),
    ] {
        let text = format!("upstream = \"{URL}\"\n{text}");
        let config = from_text(Path::new("x.toml"), &text).unwrap();
        assert_eq!(config.access.browser, expected, "{text}");
    }
    let wrong = problem("[access]\nbrowser = \"yes\"");
    assert!(wrong.starts_with("x.toml:3: access.browser: "), "{wrong}");
}

#[test]
fn an_origin_that_no_browser_sends_is_refused_at_its_place_without_being_quoted() {
    for (origin, expected) in [
        ("http://MARKER:*", "patterns are not supported"),
        ("http://*.MARKER.example", "patterns are not supported"),
        ("https://MARKER.example:443", "write it without :80 or :443"),
        ("http://MARKER:80", "write it without :80 or :443"),
        ("http://MARKER/app", "without what follows the host"),
    ] {
        let problem = problem(&format!("[access]\norigins = [\"{origin}\"]"));
        assert!(
            problem.starts_with("x.toml:3: access.origins: "),
            "{problem}"
        );
        assert!(problem.contains(expected), "{problem}");
        assert!(!problem.contains("MARKER"), "{problem}");
    }
}

/// What is warned of with these variables.
fn warnings(variables: &[(&'static str, &'static str)]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.toml");
    std::fs::write(&file, format!("upstream = \"{URL}\"\n")).unwrap();
    let key = [("HUAWEICLOUD_SDK_AK", "AK"), ("HUAWEICLOUD_SDK_SK", "SK")];
    let pairs = key.into_iter().chain(variables.iter().copied());
    let loaded = load(&Overrides::of(Some(file)), &Environment::from_pairs(pairs)).unwrap();
    loaded.warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn names_to_which_browsers_send_no_fetch_metadata_are_warned_of() {
    const HOSTS: &str = "APIG_PROXY_ACCESS__HOSTS";
    for hosts in ["proxy.internal", "localhost,proxy.internal", "10.0.0.7"] {
        let [warning] = &warnings(&[(HOSTS, hosts)])[..] else {
            panic!("{hosts}: one warning");
        };
        assert!(
            warning.starts_with("APIG_PROXY_ACCESS__HOSTS: access.hosts: "),
            "{warning}"
        );
        assert!(!warning.contains("proxy.internal"), "{warning}");
    }
    for hosts in ["", "localhost", "a.localhost,127.0.0.2"] {
        assert!(warnings(&[(HOSTS, hosts)]).is_empty(), "{hosts}");
    }
    // Over a unix socket no browser calls.
    let unix = ("APIG_PROXY_LISTEN", "unix:/run/x.sock");
    assert!(warnings(&[(HOSTS, "proxy.internal"), unix]).is_empty());
}
