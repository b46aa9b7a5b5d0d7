//! What the program finds in its environment, and what it does not.

use std::collections::BTreeMap;

use super::{configured, outcome, printed};
use crate::program::{AK, BINARY, KEY, Place, Running, SECRET, assert_has, key_file};

/// The environment of a program, as the system shows it.
fn environment(place: &Place, options: &[&str], more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let arguments = [&["run"], options, &["--", "cat", "/proc/self/environ"]].concat();
    let (code, out, err) = place.run(&arguments, &[&KEY, more].concat());
    assert_eq!((code, err.as_str()), (0, ""));
    let pairs = out.split_terminator('\0');
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap());
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn the_program_gets_credentials_of_this_run_and_the_urls_of_its_ports() {
    let place = configured("");
    let service = ["--service", "vpc.cn-north-4"];
    let options = [service, ["--openai", "/v1/infers/7/v1/"]].concat();
    let found = environment(&place, &options, &[]);
    let url = &found["APIG_PROXY_URL"];
    let (origin, capability) = url.split_once("/~").unwrap();
    assert!(capability.len() == 32 && capability.bytes().all(|byte| byte.is_ascii_hexdigit()));
    assert_eq!(found["OPENAI_BASE_URL"], format!("{url}/v1/infers/7/v1"));
    assert_eq!(found["OPENAI_API_KEY"], found["APIG_PROXY_TOKEN"]);
    assert!(found["APIG_PROXY_TOKEN"].starts_with("apx_"));
    assert!(found["HUAWEICLOUD_SDK_AK"].starts_with("APX"));
    assert_ne!(found["HUAWEICLOUD_SDK_SK"], SECRET);
    for half in ["AK", "SK"] {
        let names = ["CLOUD_SDK", "HUAWEICLOUD_SDK"].map(|start| format!("{start}_{half}"));
        assert_eq!(found[&names[0]], found[&names[1]]);
    }
    let mut ports = vec![origin];
    for name in ["REGION_VPC_CN_NORTH_4", "IAM_ENDPOINT"] {
        let url = &found[&format!("HUAWEICLOUD_SDK_{name}")];
        assert!(url.starts_with("http://127.0.0.1:"), "{url}");
        ports.push(url);
    }
    ports.dedup();
    assert_eq!(ports.len(), 3);
    let again = environment(&place, &options, &[]);
    let own = "APIG_PROXY_TOKEN HUAWEICLOUD_SDK_AK HUAWEICLOUD_SDK_SK APIG_PROXY_URL";
    for name in own.split(' ') {
        assert_ne!(found[name], again[name], "{name} is the same in two runs");
    }
}

#[test]
fn no_variable_with_a_secret_or_that_leads_to_one_is_passed_on() {
    let place = configured("");
    let secrets = "HUAWEICLOUD_SDK_SECURITY_TOKEN CLOUD_SDK_SK HW_SECRET_KEY HW_SECURITY_TOKEN HW_AUTH_TOKEN \
        OS_SECRET_KEY OS_PASSWORD HC_CONTAINER_AUTHORIZATION_TOKEN HUAWEICLOUD_OIDC_ID_TOKEN";
    // The file of credentials wins over all of these.
    key_file(&place, "key.csv", SECRET);
    let marked = secrets.split_whitespace().map(|name| (name, "MARKER"));
    let mut variables: Vec<(&str, &str)> = marked.collect();
    let other_name = format!("key={SECRET};");
    let log_level = ("APIG_PROXY_LOG__LEVEL", "trace");
    variables.extend([log_level, ("MY_KEY", &other_name), ("PLAIN", "stays")]);
    let options = ["--credentials", "key.csv"];
    let found = environment(&place, &options, &variables);
    for (name, value) in &found {
        assert!(
            !value.contains("MARKER") && !value.contains(SECRET),
            "{name}"
        );
    }
    assert!(!found.contains_key("MY_KEY") && !found.contains_key("APIG_PROXY_LOG__LEVEL"));
    assert_eq!(found["PLAIN"], "stays");
    let kept = ["--keep", "OS_PASSWORD", "--keep", "MY_KEY"];
    let found = environment(&place, &[&options[..], &kept].concat(), &variables);
    assert_eq!(&*found["OS_PASSWORD"], "MARKER");
    assert_eq!(found["MY_KEY"], other_name);
    // A secret key is of no use with another access key.
    let found = environment(&place, &["--keep", "HUAWEICLOUD_SDK_SK"], &[]);
    let own = ["HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK"].map(|name| &*found[name]);
    assert_eq!(own, [AK, SECRET]);
}

#[test]
fn variables_of_option_and_configuration_are_expanded() {
    let place = configured("[run.env]\nA = \"{url}/a\"\nB = \"file\"\n");
    let options = ["--set", "B={port}:{ak}:{x}", "--set", "C={token} {sk}"];
    let found = environment(&place, &options, &[("A", "replaced")]);
    let url = &found["APIG_PROXY_URL"];
    let port = url.rsplit_once(':').unwrap().1.split('/').next().unwrap();
    assert_eq!(found["A"], format!("{url}/a"));
    assert_eq!(
        found["B"],
        format!("{port}:{}:{{x}}", found["HUAWEICLOUD_SDK_AK"])
    );
    let [token, sk] = [&found["APIG_PROXY_TOKEN"], &found["HUAWEICLOUD_SDK_SK"]];
    assert_eq!(found["C"], format!("{token} {sk}"));
}

#[test]
fn a_program_of_a_run_may_start_a_run_of_its_own() {
    let place = configured("");
    key_file(&place, "key.csv", SECRET);
    let inner = format!(
        "first=$APIG_PROXY_URL {BINARY} run --credentials key.csv -- \
         sh -c 'test $first != $APIG_PROXY_URL && curl -sS --fail $APIG_PROXY_URL/x'"
    );
    let service = ["--service", "vpc.cn-north-4"];
    assert_has(&printed(&place, &service, &inner), &["\"verified\":true"]);
    // The outer one is neither the cloud nor its IAM.
    let inner = format!("{BINARY} run -- true; echo $?");
    let arguments = super::script(&service, &inner);
    let (_, code, said) = place.run(&arguments, &KEY);
    assert_eq!(code, "78\n", "{said}");
    assert_has(&said, &["none of HUAWEICLOUD_SDK_AK"]);
}

#[test]
fn a_value_with_a_line_break_is_not_printed_as_two_variables() {
    let place = configured("");
    let options = ["run", "--print-env", "--set", "A=x\nLD_PRELOAD=y"];
    place.fails(&options, &KEY, 78, &["the value of `A` has a line break"]);
}

#[test]
fn the_proxy_of_a_company_is_not_used_for_this_machine() {
    let place = configured("");
    let company = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", company.local_addr().unwrap());
    let variables = ["HTTP_PROXY", "http_proxy", "ALL_PROXY"].map(|name| (name, url.as_str()));
    let variables = [&variables[..], &KEY, &[("NO_PROXY", "corp.example")]].concat();
    let arguments = super::script(
        &[],
        "curl -sS --fail $APIG_PROXY_URL/x && echo \" $no_proxy\"",
    );
    let (code, out, err) = place.run(&arguments, &variables);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert_has(
        &out,
        &["\"verified\":true", " corp.example,127.0.0.1,localhost"],
    );
    company.set_nonblocking(true).unwrap();
    assert!(company.accept().is_err(), "the company's proxy was called");
}

#[test]
fn the_variables_are_printed_for_a_proxy_that_runs_already() {
    let place = configured("[run]\nopenai = \"/v1\"\nenv = [\"A={url}/it's\", \"B={token}\"]\n");
    let mut running = Running::start(place.command(&["--admin", "127.0.0.1:0"], &KEY));
    let admin = running.admin_address().to_string();
    let address = running.address();
    let listen = format!("APIG_PROXY_LISTEN={address}");
    let shell = format!(
        "eval \"$({listen} {BINARY} env --admin {admin})\"; echo $A; echo $OPENAI_BASE_URL $APIG_PROXY_URL; env"
    );
    let command = place.other_command(&["sh", "-c", &shell], &[]);
    let (code, out, err) = outcome(command);
    let expected = format!("http://{address}/it's\nhttp://{address}/v1 http://{address}\n");
    assert!(code == 0 && out.starts_with(&expected), "{out}{err}");
    assert_has(&err, &["credentials of callers are not printed"]);
    assert!(!out.contains("\nB="), "{out}");
    let elsewhere = [("APIG_PROXY_LISTEN", "127.0.0.1:1")];
    let env = ["env", "--admin", &admin];
    place.fails(
        &env,
        &elsewhere,
        78,
        &["nothing accepts connections at 127.0.0.1:1"],
    );
    running.stops();
    place.fails(&env, &KEY, 1, &["no proxy answers"]);
}

#[test]
fn the_command_line_of_no_process_has_a_secret() {
    let place = configured("");
    let lines = printed(
        &place,
        &[],
        "cat /proc/$$/cmdline /proc/$PPID/cmdline | tr '\\0' ' '",
    );
    assert_has(&lines, &["run", "sh -c"]);
    for secret in [SECRET, "APX", "apx_", "/~"] {
        assert!(!lines.contains(secret), "{lines}");
    }
}
