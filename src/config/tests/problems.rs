//! All problems are reported at once, with their places, and without quoting values.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{URL, loaded};
use crate::config::{Overrides, from_text, keys};

fn problems(text: &str) -> Vec<String> {
    let read = from_text(Path::new("x.toml"), text);
    let problems = read.err().map_or_else(Vec::new, |problems| problems.0);
    let shown = problems
        .iter()
        .map(|problem| problem.to_string().replace('\n', " "));
    shown.collect()
}

/// The problems of a configuration with an upstream on the first line, and this.
fn problems_with_upstream(text: &str) -> Vec<String> {
    problems(&format!("upstream = \"{URL}\"\n{text}"))
}

#[test]
fn fault_63_all_problems_are_named_at_once_with_their_places() {
    let found = problems(
        "stage = 5\nlisten = \"0.0.0.0:8080\"\n[limits]\nbdoy = 1\nbody = \"12 apples\"\n\n[log]\nlevel = \"loud\"\n",
    );
    let starts = "x.toml:1: stage|x.toml:2: listen|x.toml:4: limits.bdoy|x.toml:5: limits.body|x.toml:8: log.level|upstream";
    for start in starts.split('|').map(|start| format!("{start}: ")) {
        let mut problems = found.iter();
        let is_found = problems.any(|problem| problem.starts_with(&start));
        assert!(is_found, "{start} {found:#?}");
    }
    let overrides = Overrides::default().text("admin", "--admin", Some("on"));
    let variables = [
        ("APIG_PROXY_STAGES", "x"),
        ("APIG_PROXY_CREDENTIALS", "x"),
        ("APIG_PROXY_TIMEOUTS__IDLE", "soon"),
        ("APIG_PROXY_ROUTE__0__PATH", "x"),
    ];
    let found = loaded(&overrides, &variables).unwrap_err().to_string();
    for expected in [
        "6 problems:",
        "did you mean `APIG_PROXY_CREDENTIALS__FILE`?",
        "APIG_PROXY_STAGES: stages: there is no such key\n  hint: did you mean `APIG_PROXY_STAGE`?",
        "APIG_PROXY_TIMEOUTS__IDLE: timeouts.idle: ",
        "--admin: expected an address",
        "`[[route]]`",
        "`--upstream https://",
    ] {
        assert!(found.contains(expected), "{expected} in {found}");
    }
}

#[test]
fn a_file_that_is_not_toml_is_one_problem_at_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.toml");
    for (line, expected) in [
        ("stage = MARKER", "string values must be quoted"),
        ("stage \"MARKER\"", "key with no value"),
        ("[log", "unclosed table"),
        (
            "stage = \"C:\\Users\"",
            "too few unicode value digits, expected unicode hexadecimal value\nhint: put text with",
        ),
    ] {
        fs::write(&path, format!("# a comment\n{line}")).unwrap();
        let problems = loaded(&Overrides::new(Some(path.clone())), &[]).unwrap_err();
        let line = 1 + line.lines().count();
        let shown = problems.to_string();
        assert!(
            shown.contains(&format!(
                "x.toml:{line}: this is not valid TOML: {expected}"
            )),
            "{shown}"
        );
        let is_one = problems.0.len() == 1;
        assert!(is_one && !shown.contains("MARKER"), "{shown}");
    }
    let named = [("APIG_PROXY_CONFIG", "no/such.toml")];
    let problems = loaded(&Overrides::default(), &named).unwrap_err().0;
    let shown: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "no/such.toml: the file does not exist\nhint: correct `--config` or `APIG_PROXY_CONFIG`, which names it"
        ]
    );
    let route = format!("[[route]]\npath = \"/trees/*\"\nupstream = \"{URL}\"");
    fs::write(&path, route).unwrap();
    let warnings = loaded(&Overrides::new(Some(path)), &[]).unwrap().warnings;
    let warning = warnings[0].to_string();
    assert!(
        warning.contains("x.toml:2: route.path: `*` stands for itself"),
        "{warning}"
    );
}

/// Wrong lines, each with the problem that is reported. ROUTE stands for the upstream of a route.
const WRONG: &str = r#"
limits.bdoy = 1 => limits.bdoy: there is no such key hint: did you mean `limits.body`?
body = 1 => did you mean `limits.body`?
Stagee = "MARKER" => Stagee: there is no such key hint: did you mean `stage`?
limits.upstream = "MARKER" => hint: move `upstream` above the first `[table]`
credentials.ak = "MARKER" => no key takes a secret
upstream_tls.verify = false => `upstream_tls.ca_file`
routes = 3 => write `[[route]]` there
limits = 3 => no such key
credentials = "MARKER" => did you mean `credentials.file`?
headers = {x-a = "MARKER"} => headers.x-a: `headers` is a key and not a table
credentials.project_id = "<MARKER>" => credentials.project_id: expected the id of a project
route = 3 => write `[[route]]` there
route.0.path = "/a" => write `[[route]]` there
route = [{path = "/a", ROUTE, stgae = "x"}] => route.stgae: there is no such key hint: did you mean `route.stage`?
cloud.services = ["VPC"] => cloud.services: expected services in lower case
cloud.services = ["vpc"] => cloud.services: a service needs a region hint: set `cloud.regions`
cloud.services = ["obs.cn-north-4"] => cloud.services: a service of `cloud.signs_otherwise` does not accept the signatures
cloud = {services = ["vpc.a"], endpoints = {"vpc.a" = "http://gw.example"}} => cloud.endpoints.vpc.a: plain http is for loopback addresses only
cloud = {services = ["vpc.a"], domain = "a/b"} => cloud.domain: expected host names
cloud.pattern = "{service}.{domain}" => cloud.pattern: expected a host name with {service} and {region}
run.services = ["vpc/x"] => run.services: expected services
run.openai = "/flowers?x" => run.openai: expected the path
run.env = ["1A=x"] => run.env: expected names
run.env = ["A"] => run.env: expected names
run.env = {A = 1} => expected text
signing.algorithm = "sha256" => signing.algorithm: expected "SDK-HMAC-SHA256", "SDK-HMAC-SM3" or "V11-HMAC-SHA256"
signing.algorithm = "V11-HMAC-SHA256" => signing.algorithm: `V11-HMAC-SHA256` derives keys for a region and a service
signing = {algorithm = "V11-HMAC-SHA256", region = "a", service = "b/c"} => signing.service: expected a name
route = [{path = "/a", ROUTE, timeouts.connect = "1s"}] => route.timeouts.connect: there is no such key
route = [{path = "/a", ROUTE, origin = "MARKER"}] => "keep"
limits.large_body = "token" => is configured hint: set `token_file`
route = [{path = "/a", ROUTE, large_body = "token"}] => route.large_body: requests are sent with a token, but none is configured hint: set `token_file`
route = [{path = "/a", ROUTE, auth = "app-code"}] => is configured hint: set `app_code_file`
route = [{path = "/a", ROUTE, auth = "api-key"}] => is configured hint: set `api_key_file`
route = [{path = "/a", ROUTE, credentials = "b"}] => there are no credentials of this name
credentials = {iam_user_file = "u", iam_domain_file = "d"} => credentials.iam_password_file: a token of IAM needs
listen = [] => listen: expected an address
listen = ["127.0.0.1:1", "127.0.0.1:1"] => listen: two of the addresses are the same
admin = "x" => or "off"
admin = "127.0.0.1:8080" => this address and one of `listen`
stage = "MARKER b" => without blanks
headers = ["x-a: MARKER", "MARKER"] => headers: entry 2: expected headers as `name: value`
headers = ["Authorization: MARKER"] => sets or consumes
headers = ["x-a: é"] => visible ASCII
forward_authorization_as = "Connection" => sets or consumes
route = [{path = "/a", ROUTE, headers = ["x-a: MARKER"], forward_authorization_as = "X-A"}] => route.forward_authorization_as: `headers` sets
methods = ["get"] => capital letters
methods = ["CONNECT"] => cannot be allowed
auth.mode = "x" => expected "aksk", "token", "app-code" or "api-key"
credentials.source = "x" => "oidc" or "idp"
credentials.file = "" => path of a file
credentials.agency = "name" => expected the URN of an agency
credentials.iam_endpoint = "http://iam.example" => plain http is for addresses of this machine
signing.unsigned = ["multipart"] => media types
signing.unsigned = [true] => list of texts
limits = {body = "2GiB", buffered = "4GiB"} => from "1B" to "1GiB"
limits.body = 0 => expected a size
limits.buffered = "1MiB" => at least `limits.body`
timeouts.idle = "-1s" => above zero
timeouts.drain_delay = "-1s" => "0s" for none
access.browser = "yes" => access.browser: expected true or false
access.hosts = 5 => list of texts
access.hosts = ["MARKER:1"] => without scheme and port
access.origins = ["http://MARKER:*"] => patterns are not supported
access.origins = ["null", "http://MARKER:80"] => list "http://localhost:3000" entry 2: browsers leave the default port out
unix_socket.mode = 600 => expected text in double quotes
unix_socket.mode = "1777" => octal
unix_socket.owner = "MARKER at all" => no user or group of this name
unix_socket.allowed_uids = ["me"] => expected user ids
log.level = 3 => "debug" or "trace"
inspect = {enabled = true, token_file = "none"} => does not exist
inspect.bodies = "on" => or "off"
inspect.reveal = ["MARKER é"] => names of headers
inspect.reveal = ["x-marker", "Authorization"] => cannot be revealed
route = [{path = "a", ROUTE}] => starts with "/"
route = [{path = "/a"}] => route.upstream: a `[[route]]` needs this key
route = [{path = "/a%2Fb", ROUTE}, {path = "//a/%62", ROUTE}] => route.path: another route has the same path
route = [{path = "/a", upstream = "http://127.0.0.1:8080/x"}] => route.upstream: this is the proxy's own address
route = [{path = "/a", upstream = "https://localhost:8081/inspect"}] => requests would loop
upstream_address = "127.0.0.1:8080" => requests would loop
upstream_address = "10.0.0.8" => expected a host and a port
route = [{path = "/a", ROUTE, paths = ["/b"]}] => route.paths: expected paths
"#;

#[test]
fn each_wrong_value_is_one_problem_at_its_place() {
    for line in WRONG.trim().lines() {
        let (text, expected) = line.split_once(" => ").unwrap();
        let text = text.replace("ROUTE", "upstream = \"https://gw.example\"");
        let found = problems_with_upstream(&text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        let found = &found[0];
        let is_there = found.starts_with("x.toml:2: ") || found.starts_with("credentials.");
        let is_right = found.contains(expected) && !found.contains("MARKER");
        assert!(is_there && is_right, "{text}: {found}");
    }
    let same =
        "[cloud]\nservices = ['a.b']\n[[route]]\npath = '/a.b'\nupstream = 'https://gw.example'";
    assert!(
        problems(same)[0].starts_with("x.toml:2: cloud.services: another route has the same path")
    );
    let off = problems_with_upstream("admin = \"off\"\ninspect.enabled = true");
    assert!(
        off.concat()
            .starts_with("x.toml:3: inspect.enabled: the inspector is served by")
    );
    // A key that is missing has no place.
    for (text, missing) in [
        ("listen = \"https://127.0.0.1:1\"", "tls.cert_file: "),
        ("tls.key_file = \"k\"", "tls.cert_file: "),
        ("tls.client_ca_file = \"c\"", "tls.cert_file: "),
        ("tls.cert_file = \"c\"", "tls.key_file: "),
    ] {
        let found = &problems_with_upstream(text)[0];
        assert!(
            found.starts_with(missing) && found.contains("expected"),
            "{text}: {found}"
        );
    }
    let route = "route = [{path = \"/a\", upstream = \"https://gw.example\", methods = [\"GET\"], paths = \"/a/*\"}]";
    assert_eq!(problems_with_upstream(route), [""; 0]);
}

#[test]
fn no_problem_quotes_a_value() {
    let route = "[[route]]\nMARKER = 1\npath = \"MARKER\"\nstage = \"MARKER é\"\n";
    let text =
        format!("upstream = \"MARKER\"\n[limits]\nMARKER = \"MARKER\"\n[MARKER]\na = 1\n{route}");
    let broken = "MARKER|stage = MARKER|stage = \"MARKER|a = 1\na = \"MARKER\"|MARKER = 'MARKER'\n[MARKER]|[[MARKER";
    let wrong = keys().iter().filter(|key| !key.name.starts_with("route."));
    let wrong = wrong.map(|key| format!("{} = \"MARKER MARKER\"\n", key.name));
    for text in wrong
        .chain(broken.split('|').map(str::to_owned))
        .chain([text])
    {
        let shown = problems(&text).join("\n");
        let is_right = !shown.is_empty() && !shown.contains("MARKER");
        assert!(is_right, "{text}: {shown}");
    }
    let overrides = Overrides::default().list("listen", "--listen", &["MARKER".to_owned()]);
    let variables = [
        ("APIG_PROXY_STAGE", "MARKER é"),
        ("APIG_PROXY_LOG__LEVEL", "MARKER"),
    ];
    let shown = loaded(&overrides, &variables).unwrap_err();
    assert!(!format!("{shown}{shown:?}").contains("MARKER"), "{shown}");
}

#[test]
fn fault_70_an_address_that_other_machines_reach_is_allowed_and_protected() {
    const PROTECT: &str = "have to authenticate";
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    let write = |content: &str| {
        fs::write(&token, content).unwrap();
        fs::set_permissions(&token, PermissionsExt::from_mode(0o600)).unwrap();
        format!("token_file = \"{}\"\n", token.display())
    };
    let short = problems_with_upstream(&format!("[access]\n{}", write("0123456789abcde")));
    assert!(short[0].contains("openssl rand"), "{short:?}");
    let token = write("0123456789abcdef\n");
    let allowed = "allow_remote = true\n";
    let protected = format!("{allowed}{token}");
    for listen in "0.0.0.0:8080 [::]:8080 10.0.0.1:8080 http://192.168.0.1:80".split(' ') {
        for (access, expected) in [
            ("", "allow_remote"),
            (allowed, PROTECT),
            (&protected, ""),
            (&format!("{allowed}callers_file = \"not-there.toml\""), ""),
        ] {
            let text = format!("listen = [\"127.0.0.1:1\", \"{listen}\"]\n[access]\n{access}");
            let found = problems_with_upstream(&text).concat();
            let is_right = found.contains(expected) && found.is_empty() == expected.is_empty();
            assert!(is_right, "{text} {found}");
        }
    }
    let local = problems_with_upstream("listen = [\"[::1]:1\", \"unix:/run/x.sock\"]\n");
    assert_eq!(local, [""; 0]);
    for admin in ["0.0.0.0:8081", "[::]:8081", "10.0.0.7:8081"] {
        let with = |access: &str| {
            problems_with_upstream(&format!("admin = \"{admin}\"\n[access]\n{access}"))
        };
        let refused = with("").concat();
        let is_there = refused.starts_with("x.toml:2: admin: ");
        assert!(is_there && refused.contains("`access.allow_remote = true`"));
        assert_eq!(with(allowed), [""; 0]);
        // A wrong value is reported once, although two keys depend on it.
        let unclear = with("allow_remote = \"perhaps\"");
        let named = unclear
            .iter()
            .filter(|found| found.contains("allow_remote: "));
        assert_eq!(named.count(), 1);
    }
}
