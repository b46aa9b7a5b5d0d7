//! Who may call the ports of a run, and what becomes of the requests.

use std::collections::HashMap;
use std::io::Read;
use std::net::SocketAddr;
use std::process::{Child, Stdio};

use super::{configured, outcome, script, skip};
use crate::gateway::{configure, gateway};
use crate::program::{
    BINARY, KEY, Place, SECRET, assert_has, assert_status, exchange, exit_code, signal,
};

/// A proxy without a program, and the variables that it printed.
struct Serving {
    child: Child,
    variables: HashMap<String, String>,
}

impl Serving {
    fn start(place: &Place, options: &[&str]) -> Self {
        let mut command = place.command(&[&["run", "--print-env"], options].concat(), &KEY);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        // It ends although the proxy goes on.
        let mut printed = String::new();
        child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut printed)
            .unwrap();
        let pairs = printed.lines().map(|line| line.split_once('=').unwrap());
        let variables = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let variables = variables.collect();
        Self { child, variables }
    }

    /// The address in a variable, and the path behind it.
    fn url(&self, variable: &str) -> (SocketAddr, &str) {
        let rest = self.variables[variable].strip_prefix("http://").unwrap();
        let (address, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        (address.parse().unwrap(), path)
    }

    /// Sends a request with these headers to the port in a variable.
    fn send(&self, method: &str, variable: &str, path: &str, headers: &str) -> String {
        let (address, _) = self.url(variable);
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n");
        exchange(address, &request)
    }

    fn stop(mut self) {
        signal(self.child.id(), "TERM");
        assert_eq!(exit_code(self.child.wait().unwrap()), 0);
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn only_who_shows_a_credential_of_the_run_is_served() {
    let place = configured("");
    let serving = Serving::start(&place, &[]);
    let token = &serving.variables["APIG_PROXY_TOKEN"];
    let (_, capability) = serving.url("APIG_PROXY_URL");
    let inside = format!("{capability}/v1/x");
    let wrong = format!("/~{}/v1/x", "0".repeat(32));
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let header = format!("X-Apig-Proxy-Token: {token}\r\n");
    for (path, headers, status, fragment) in [
        (&*inside, "", 200, "\"path\":\"/v1/x\""),
        ("/v1/x", &bearer(token), 200, "\"path\":\"/v1/x\""),
        ("/v1/x", &header, 200, "\"path\":\"/v1/x\""),
        ("/v1/x", "", 401, "PROXY.caller_required"),
        (&wrong, "", 401, "PROXY.caller_"),
        ("/v1/x", &bearer("apx_0000"), 401, "PROXY.caller_"),
    ] {
        let answer = serving.send("GET", "APIG_PROXY_URL", path, headers);
        assert_status(&answer, status);
        assert_has(&answer, &[fragment]);
        for secret in [SECRET, &capability[2..], token] {
            assert!(!answer.contains(secret), "{answer}");
        }
    }
    serving.stop();
}

#[test]
fn another_user_of_the_machine_is_not_served_and_reads_no_variable() {
    let place = configured("");
    let text = "other() { setpriv --reuid 65534 --regid 65534 --clear-groups \"$@\"; }; \
        other true || exit 44; \
        other curl -sS ${APIG_PROXY_URL%/~*}/x || exit 1; \
        other cat /proc/$PPID/environ && exit 2; other cat /proc/$$/environ && exit 3; \
        other cat /proc/$PPID/mem && exit 4; cat /proc/$PPID/environ | head -c 1 | wc -c";
    let (code, out, err) = place.run(&script(&[], text), &KEY);
    if code == 44 {
        return skip(&err);
    }
    assert_eq!(code, 0, "{out}{err}");
    assert_has(&out, &["PROXY.caller_required"]);
    assert_eq!(err.matches("Permission denied").count(), 3, "{err}");
}

#[test]
fn a_bare_run_serves_everybody_on_its_port() {
    let place = configured("");
    let serving = Serving::start(&place, &["--bare"]);
    assert_eq!(serving.url("APIG_PROXY_URL").1, "");
    let answer = serving.send("GET", "APIG_PROXY_URL", "/v1/x", "");
    assert_has(&answer, &["\"verified\":true"]);
    serving.stop();
}

#[test]
fn the_token_and_the_callers_of_a_longer_lived_proxy_are_of_no_use_here() {
    let place = configured("[access]\ntoken_file = \"token\"\n");
    place.file("token", "0123456789abcdef0123\n");
    let serving = Serving::start(&place, &[]);
    let with_token = "X-Apig-Proxy-Token: 0123456789abcdef0123\r\n";
    let answer = serving.send("GET", "APIG_PROXY_URL", "/x", with_token);
    assert_has(&answer, &["PROXY.caller_required"]);
    let path = format!("{}/x", serving.url("APIG_PROXY_URL").1);
    let answer = serving.send("GET", "APIG_PROXY_URL", &path, "");
    assert_has(&answer, &["\"verified\":true"]);
}

#[test]
fn a_read_only_run_serves_nothing_that_changes_something() {
    let place = configured("");
    let serving = Serving::start(&place, &["--read-only"]);
    let path = format!("{}/x", serving.url("APIG_PROXY_URL").1);
    let get = serving.send("GET", "APIG_PROXY_URL", &path, "");
    assert_has(&get, &["\"verified\":true"]);
    let delete = serving.send("DELETE", "APIG_PROXY_URL", &path, "Content-Length: 0\r\n");
    assert_has(&delete, &["HTTP/1.1 403", "PROXY.read_only"]);
    serving.stop();
}

#[test]
fn the_port_of_a_service_takes_its_whole_path_and_the_credentials_of_the_run() {
    let place = Place::new();
    let gateway = gateway(&place, SECRET, None);
    let service = format!(
        "[cloud]\nendpoints.\"vpc.cn-north-4\" = \"https://{gateway}\"\nprojects.cn-north-4 = \"0123\""
    );
    configure(&place, gateway, &service);
    let serving = Serving::start(&place, &["--service", "vpc.cn-north-4"]);
    let port = "HUAWEICLOUD_SDK_REGION_VPC_CN_NORTH_4";
    let bearer = format!(
        "Authorization: Bearer {}\r\n",
        serving.variables["APIG_PROXY_TOKEN"]
    );
    let answer = serving.send("GET", port, "/v1/0123/vpcs?limit=1", &bearer);
    assert_has(
        &answer,
        &["\"verified\":true", "\"path\":\"/v1/0123/vpcs\""],
    );
    let answer = serving.send("GET", port, "/v1/0123/vpcs?limit=1", "");
    assert_has(&answer, &["PROXY.caller_required"]);
    serving.stop();
}

#[test]
fn the_variables_of_a_proxy_without_a_program_suit_an_env_file() {
    let place = configured("");
    let text = "\"$0\" run --print-env --set 'A=b c' > env & \
        while ! grep -qs no_proxy env; do sleep 0.01; done; kill $!; wait $!; echo $?; grep -c = env; grep A= env";
    let command = place.other_command(&["sh", "-c", text, BINARY], &KEY);
    let (code, out, err) = outcome(command);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.starts_with("0\n") && out.ends_with("A=b c\n"), "{out}");
}
