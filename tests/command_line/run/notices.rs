//! What a run says itself: nothing on standard streams that are not a terminal, and no secret anywhere.

use super::{configured, outcome, printed, script};
use crate::program::{AK, BINARY, KEY, SECRET, assert_has, mode};

#[test]
fn the_standard_streams_are_those_of_the_program() {
    let place = configured("");
    // The gateway cannot be reached, of which the log warns.
    let options = [
        "--upstream",
        "https://127.0.0.1:1",
        "--keep",
        "HUAWEICLOUD_SDK_SK",
    ];
    let text = "cat; curl -sS -o /dev/null $APIG_PROXY_URL/x; echo err >&2";
    let shell = format!("echo in | {BINARY} \"$@\"");
    let run = script(&options, text);
    let command = place.other_command(&[&["sh", "-c", &shell, "sh"], &run[..]].concat(), &KEY);
    let (code, out, err) = outcome(command);
    assert_eq!((code, out.as_str(), err.as_str()), (0, "in\n", "err\n"));
}

#[test]
fn the_program_has_no_descriptor_of_the_proxy() {
    let place = configured("");
    let text = "exec ls /proc/self/fd";
    let alone = place.other_command(&["sh", "-c", text], &[]);
    let (_, expected, _) = outcome(alone);
    assert_eq!(printed(&place, &["--log-file", "log"], text), expected);
}

#[test]
fn the_log_goes_to_a_file_of_its_owner_and_has_no_secret() {
    let place = configured("");
    place.file_with_mode("run.log", "before\n", 0o600);
    for name in ["run.log", "new.log"] {
        let options = ["--log-file", name, "--log-level", "trace"];
        let text = "curl -sS --fail -o /dev/null $APIG_PROXY_URL/seen; curl -sS -o /dev/null ${APIG_PROXY_URL%/~*}/refused; \
            curl -sS --fail -o /dev/null -H \"Authorization: Bearer $APIG_PROXY_TOKEN\" ${APIG_PROXY_URL%/~*}/by-token; \
            echo ${APIG_PROXY_URL#*/~} $HUAWEICLOUD_SDK_SK $APIG_PROXY_TOKEN";
        let secrets = printed(&place, &options, text);
        let path = place.path().join(name);
        let log = std::fs::read_to_string(&path).unwrap();
        assert_has(
            &log,
            &[
                "/seen 200",
                "/refused 401",
                "/by-token 200",
                "listening on",
                "not a sandbox",
            ],
        );
        assert_eq!(log.starts_with("before\n"), name == "run.log");
        for secret in secrets.split_whitespace().chain([SECRET]) {
            assert!(!log.contains(secret), "{log}");
        }
        assert_eq!(mode(&path), 0o600);
    }
}

#[test]
fn a_strict_run_starts_only_if_no_file_with_a_secret_can_be_read() {
    let place = configured("");
    assert_eq!(printed(&place, &["--strict"], "echo started"), "started\n");
    std::fs::create_dir(place.path().join(".huaweicloud")).unwrap();
    let profile = format!("[basic]\nak={AK}\nsk={SECRET}\n");
    place.file(".huaweicloud/credentials", &profile);
    let arguments = script(&["--strict"], "echo started");
    place.fails(
        &arguments,
        &KEY,
        78,
        &[".huaweicloud/credentials", "hint: ", "--strict"],
    );
}
