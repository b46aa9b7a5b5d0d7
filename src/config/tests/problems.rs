//! What is wrong is named, all of it, and never quoted.

use std::path::Path;

use super::URL;
use crate::config::{
    AuthMode, CredentialSource, Environment, KEYS, Overrides, TokenSource, from_text, load,
};

pub(super) fn problems(text: &str) -> Vec<String> {
    match from_text(Path::new("x.toml"), text) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.0.iter().map(ToString::to_string).collect(),
    }
}

/// The only problem with a configuration that has an upstream and this.
pub(super) fn problem(text: &str) -> String {
    let text = if text.starts_with("upstream = ") {
        text.to_owned()
    } else {
        format!("upstream = \"{URL}\"\n{text}")
    };
    let mut problems = problems(&text);
    assert_eq!(problems.len(), 1, "{text}: {problems:?}");
    problems.remove(0)
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
    let overrides = Overrides::default().text("admin", "--admin", Some("on"));
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
fn a_route_says_what_its_credentials_lack() {
    let route =
        |keys: &str| format!("[[route]]\npath = \"/a\"\nupstream = \"https://gw.example\"\n{keys}");
    for (text, expected) in [
        (
            "[auth]\nmode = \"token\"".to_owned(),
            "need one: set token_file",
        ),
        (
            "[limits]\nlarge_body = \"token\"".to_owned(),
            "need one: set token_file",
        ),
        (route("large_body = \"token\""), "need one: set token_file"),
        (route("auth = \"app-code\""), "need one: set app_code_file"),
        (route("auth = \"api-key\""), "need one: set api_key_file"),
        (route("credentials = \"b\""), "no such set of credentials"),
        (
            "[credentials]\niam_user_file = \"u\"\niam_domain_file = \"d\"".to_owned(),
            "credentials.iam_password_file: a token of IAM needs",
        ),
        (
            "[credentials.b]\ntoken_file = \"t\"\niam_user_file = \"u\"".to_owned(),
            "credentials.b.token_file: expected either",
        ),
        (
            "[credentials.b]\nfiel = \"t\"".to_owned(),
            "did you mean credentials.file?",
        ),
        (
            "[credentials]\niam_endpoint = \"http://iam.example\"".to_owned(),
            "credentials.iam_endpoint: plain http is for addresses of this machine",
        ),
    ] {
        let problem = problem(&text);
        assert!(problem.contains(expected), "{problem}");
    }
}

#[test]
fn sets_of_credentials_have_names_and_routes_use_them() {
    let text = "upstream = \"https://gw.example\"\n[credentials]\nuser = \"a\"\n[credentials.team-b]\nfile = \"b.csv\"\n\
                token_file = \"t\"\n[[route]]\npath = \"/b\"\nupstream = \"https://gw.example\"\ncredentials = \"team-b\"\n\
                auth = \"token\"\n";
    let config = from_text(Path::new("/etc/c.toml"), text).unwrap();
    let labels: Vec<&str> = config.credentials.iter().map(|set| set.label()).collect();
    assert_eq!(labels, ["default", "team-b"]);
    let [first, second] = &config.credentials[..] else {
        panic!("there are two");
    };
    assert_eq!(first.source, CredentialSource::Auto);
    // What a set does not say is the default, and nothing that the other one says.
    assert_eq!(
        (second.user.as_deref(), second.source),
        (None, CredentialSource::File)
    );
    assert_eq!(second.file, Path::new("/etc/b.csv"));
    let expected = TokenSource::File("/etc/t".into());
    assert_eq!(second.token, Some(expected));
    let [named, top] = &config.routes[..] else {
        panic!("there are two");
    };
    assert_eq!(
        (named.auth.mode, named.auth.credentials),
        (AuthMode::Token, 1)
    );
    assert_eq!((top.auth.mode, top.auth.credentials), (AuthMode::AkSk, 0));
}

#[test]
fn values_outside_their_bounds_are_refused() {
    for text in [
        "listen = []",
        "admin = \"\"",
        "[log]\nlevel = \"\"",
        "listen = [\"127.0.0.1\"]",
        "admin = \"x\"",
        "admin = \"unix:run/x.sock\"",
        "admin = \"https://127.0.0.1:8081\"",
        "admin = \"127.0.0.1:8080\"",
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
        "[timeouts]\ndrain_delay = \"-1s\"",
        "[timeouts]\ndrain_delay = 5",
        "[access]\nhosts = [\"a:1\"]",
        "[access]\norigins = [\"null\"]",
        "[upstream_tls]\nca_file = \"none.pem\"",
        "[clock]\ncorrect = \"yes\"",
        "[log]\nformat = \"xml\"",
        "[log]\nlevel = 3",
        "[log]\naccess = \"yes\"",
        "limits = 3",
        "route = 3",
        "[[route]]\npath = \"a\"\nupstream = \"https://gw.example\"",
        "[[route]]\npath = \"/a?b\"\nupstream = \"https://gw.example\"",
        "[[route]]\npath = \"/a\"",
        "[[route]]\nupstream = \"https://gw.example\"",
        "[[route]]\npath = \"/\"\nupstream = \"https://gw.example\"",
        "[[route]]\npath = \"/%2F\"\nupstream = \"https://gw.example\"",
        "[[route]]\npath = \"/a%2Fb\"\nupstream = \"https://gw.example\"\n[[route]]\npath = \"//a/%62\"\nupstream = \"https://gw.example\"",
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
        &Overrides::default().list("listen", "--listen", &["MARKER".to_owned()]),
        &environment,
    )
    .unwrap_err();
    assert!(!format!("{shown}{shown:?}").contains("MARKER"), "{shown}");
}

#[test]
fn an_upstream_that_is_the_proxy_itself_is_refused() {
    for (listen, upstream) in [
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("127.0.0.1:8080", "https://localhost:8080/base"),
        ("[::1]:8080", "http://localhost:8080"),
        ("[::1]:8080", "https://[::1]:8080"),
    ] {
        let said = problem(&format!(
            "upstream = \"{upstream}\"\nlisten = \"{listen}\"\n"
        ));
        assert!(said.contains("come back for ever"), "{said}");
    }
    let route = "[[route]]\npath = \"/a\"\nupstream = \"http://127.0.0.1:8080/x\"\n";
    let said = problem(route);
    assert!(said.starts_with("x.toml:4: route.upstream: "), "{said}");
    // Another port of the same machine is another program.
    assert!(problems("upstream = \"http://127.0.0.1:8082\"\n").is_empty());
    assert!(problems("upstream = \"http://127.0.0.2:8080\"\n").is_empty());
}

#[test]
fn bounds_of_the_pool_have_to_make_sense() {
    for (text, key) in [
        ("[pool]\nconnections = 0\n", "pool.connections"),
        ("[pool]\nwarm = -1\n", "pool.warm"),
        ("[pool]\nhttp2 = \"on\"\n", "pool.http2"),
        ("[pool]\nidle = \"0s\"\n", "pool.idle"),
        ("[pool]\nage = 5\n", "pool.age"),
    ] {
        let said = problem(text);
        assert!(said.contains(&format!("{key}: expected ")), "{said}");
    }
}

#[test]
fn fault_70_an_address_that_others_reach_needs_to_be_wanted_and_guarded() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "0123456789abcdef\n").unwrap();
    std::fs::set_permissions(&token, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let token = format!("token_file = \"{}\"\n", token.display());
    let wanted = "allow_remote = true\n";
    for listen in [
        "0.0.0.0:8080",
        "[::]:8080",
        "10.0.0.1:8080",
        "http://192.168.0.1:80",
    ] {
        let said = |access: &str| {
            problems(&format!(
                "upstream = \"{URL}\"\nlisten = [\"127.0.0.1:1\", \"{listen}\"]\n[access]\n{access}"
            ))
        };
        assert!(said("")[0].contains("allow_remote"), "{listen}");
        assert!(said(&token)[0].contains("allow_remote"), "{listen}");
        assert!(
            said(wanted)[0].contains("have to show who they are"),
            "{listen}"
        );
        let empty = said(&format!("{wanted}token_file = \"\"\n"));
        assert!(empty[0].contains("have to show who they are"), "{empty:?}");
        let both = said(&format!("{wanted}{token}"));
        assert!(both.is_empty(), "{listen} {both:?}");
    }
    // What only this machine reaches needs neither.
    let text = format!("upstream = \"{URL}\"\nlisten = [\"[::1]:1\", \"unix:/run/x.sock\"]\n");
    assert!(problems(&text).is_empty());
}

#[test]
fn sockets_tokens_and_certificates_have_to_make_sense() {
    let folder = tempfile::tempdir().unwrap();
    let short = folder.path().join("short");
    std::fs::write(&short, "0123456789abcde").unwrap();
    std::fs::set_permissions(&short, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let short = format!("[access]\ntoken_file = \"{}\"", short.display());
    for (text, fragment) in [
        (short.as_str(), "openssl rand"),
        ("[access]\ntoken_file = \"none\"", "does not exist"),
        ("[unix_socket]\nmode = 600", "octal"),
        ("[unix_socket]\nmode = \"1777\"", "octal"),
        (
            "[unix_socket]\nowner = \"nobody at all\"",
            "this machine knows",
        ),
        (
            "[unix_socket]\ngroup = \"no such group\"",
            "this machine knows",
        ),
        ("[unix_socket]\nallowed_uids = [\"me\"]", "numbers of users"),
        ("listen = \"https://127.0.0.1:1\"", "tls.cert_file"),
        ("[tls]\nkey_file = \"none.pem\"", "tls.cert_file"),
        ("[tls]\ncert_file = \"none.pem\"", "tls.key_file"),
        ("[tls]\nclient_ca_file = \"none.pem\"", "tls.cert_file"),
        (
            "[tls]\ncert_file = \"none.pem\"\nkey_file = \"none.pem\"",
            "the file does not exist",
        ),
    ] {
        let said = problem(text);
        assert!(said.contains(fragment), "{text}: {said}");
    }
}

#[test]
fn methods_and_paths_of_a_route_have_to_be_its_own() {
    for (keys, is_good) in [
        ("methods = [\"GET\"]\npaths = [\"/a\", \"/a/b/*\"]", true),
        ("paths = \"/a/*\"", true),
        ("methods = [\"get\"]", false),
        ("methods = []", false),
        ("paths = []", false),
        ("paths = [\"/b\"]", false),
        ("paths = [\"/ab\"]", false),
        ("paths = [\"/a/../b\"]", false),
        ("paths = [\"/a/*/b\"]", false),
        ("paths = [\"/a*\"]", false),
        ("paths = [\"/a?b\"]", false),
    ] {
        let text = format!("[[route]]\npath = \"/a\"\nupstream = \"https://gw.example\"\n{keys}\n");
        let found = problems(&text);
        assert_eq!(found.is_empty(), is_good, "{keys}: {found:?}");
        assert!(
            found
                .iter()
                .all(|problem| problem.starts_with("x.toml:4: route.")),
            "{found:?}"
        );
    }
}
