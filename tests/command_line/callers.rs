//! `apig-proxy caller`: what it prints, what it writes, and what it refuses.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::thread;

use crate::program::{Place, assert_has, exit_code, mode};

/// What is said of a file that is not as it was written.
const NOT_SO: &str = "of the file does not have the format";

const LIST: [&str; 4] = ["caller", "list", "--file", "callers.toml"];

/// Runs `caller` with the file `callers.toml`: what it prints.
#[track_caller]
fn caller(place: &Place, arguments: &[&str]) -> String {
    let all = [&["caller"], arguments, &["--file", "callers.toml"]].concat();
    let (code, out, said) = place.run(&all, &[]);
    assert_eq!(code, 0, "{arguments:?}: {out} {said}");
    out
}

fn content(place: &Place) -> String {
    fs::read_to_string(place.path().join("callers.toml")).unwrap()
}

#[test]
fn a_credential_is_printed_once_and_kept_for_its_owner() {
    let place = Place::new();
    let printed = caller(&place, &["new", "ci"]);
    let fields: Vec<&str> = printed
        .lines()
        .filter_map(|line| line.split_whitespace().last())
        .collect();
    let [access_key, secret, token, path] = fields[..] else {
        panic!("{printed}");
    };
    assert!(access_key.starts_with("APX") && token.starts_with("apx_") && path.starts_with("/~"));
    let file = place.path().join("callers.toml");
    assert_eq!(mode(&file), 0o600);
    let kept = content(&place);
    assert_has(&kept, &[access_key, secret]);
    for hashed in [token, path.trim_matches(['/', '~'])] {
        assert!(!kept.contains(hashed), "{kept}");
    }
    let listed = caller(&place, &["list"]);
    assert_has(&listed, &["ci", access_key, "all paths", "all methods"]);
    assert!(!listed.contains(secret), "{listed}");
    // The mode that an administrator has given stays, but for other users.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    caller(&place, &["revoke", "ci"]);
    assert_eq!(mode(&file), 0o640);
    assert!(!content(&place).contains("[[caller]]"));
    let left = fs::read_dir(place.path()).unwrap().count();
    assert_eq!(left, 1, "only the file itself is left");
}

#[test]
fn a_caller_whose_credential_could_not_be_printed_is_not_kept() {
    let place = Place::new();
    let mut command = place.command(&["caller", "new", "ci", "--file", "callers.toml"], &[]);
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    command.stdout(full).stderr(Stdio::null());
    assert_eq!(exit_code(command.status().unwrap()), 1);
    assert!(!content(&place).contains("[[caller]]"));
}

#[test]
fn each_format_is_what_its_program_reads() {
    let place = Place::new();
    let sdk = ["HUAWEICLOUD_SDK_AK=APX", "HUAWEICLOUD_SDK_SK="];
    let csv = ["User Name,Access Key Id,Secret Access Key", "csv,APX"];
    for (format, lines) in [
        ("sdk", &sdk[..]),
        ("openai", &["OPENAI_API_KEY=apx_"]),
        ("csv", &csv),
    ] {
        let printed = caller(&place, &["new", format, "--format", format]);
        assert_eq!(printed.lines().count(), lines.len(), "{printed}");
        for (line, start) in printed.lines().zip(lines) {
            assert!(line.starts_with(start), "{printed}");
        }
        // The proxy's own commands read the CSV.
        if format == "csv" {
            place.file("caller.csv", &printed);
            let url = "http://localhost/v1";
            let sign = ["sign", "--credentials", "caller.csv", url];
            let (code, out, said) = place.run(&sign, &[]);
            assert_eq!(code, 0, "{said}");
            assert_has(&out, &["SDK-HMAC-SHA256 Access=APX"]);
        }
    }
}

#[test]
fn rights_are_kept_as_they_were_given_and_wrong_ones_are_refused() {
    let place = Place::new();
    let rights = "--route /flowers --route /trees/ --method GET --method POST --read-only --expires 8h --rate 60/1m";
    let mut arguments = vec!["new", "ci", "--reads", "POST /flowers/*/search"];
    arguments.extend(rights.split(' '));
    caller(&place, &arguments);
    caller(&place, &["new", "another", "--expires", "90d"]);
    caller(&place, &["new", "slow", "--rate", "1000/1d"]);
    for (option, value, note) in [
        ("--route", "/trees/*", "`*` in `--route` stands for itself"),
        ("--reads", "POST /a", "`--reads` limits nothing by itself"),
    ] {
        let arguments = ["caller", "new", "noted", option, value, "--expires", "90d"];
        let (code, _, said) = place.run(&[&arguments, &LIST[2..]].concat(), &[]);
        assert_eq!(code, 0);
        assert_has(&said, &["note: ", note]);
        caller(&place, &["revoke", "noted"]);
    }
    let listed = caller(&place, &["list"]);
    let [line, without_rate, without_end] = listed.lines().collect::<Vec<_>>()[..] else {
        panic!("{listed}");
    };
    assert_eq!(
        line.find("until 20"),
        without_rate.find("until 20"),
        "{listed}"
    );
    assert_eq!(line.find("60/1m"), without_end.find("1000/1d"), "{listed}");
    assert_has(
        line,
        &["/flowers,/trees/", "GET,POST", "read only", "60/1m"],
    );
    assert_has(line, &["reads POST /flowers/*/search", "until 20"]);
    assert!(line.starts_with("ci       APX"), "{listed}");
    for (arguments, exit_code, expected) in [
        ("new ci", 1, "a caller with this name"),
        ("new a,b", 64, "at most 40 letters"),
        ("new x --route flowers", 64, "a path that starts with"),
        ("new x --method get", 64, "capital letters"),
        ("new x --reads /a", 64, "a method and a path"),
        ("new x --rate 60", 64, "60/1m"),
        ("new x --rate 0/1m", 64, "60/1m"),
        ("new x --expires tomorrow", 64, "expected a time"),
        ("revoke x", 1, "no caller with this name"),
    ] {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let all = [&["caller"], &arguments[..], &LIST[2..]].concat();
        place.fails(&all, &[], exit_code, &[expected]);
    }
    assert_eq!(caller(&place, &["list"]).lines().count(), 3);
    place.fails(&LIST[..2], &[], 78, &["access.callers_file", "--file"]);
}

#[test]
fn a_file_that_is_not_as_it_was_written_is_refused_and_never_quoted() {
    let place = Place::new();
    caller(&place, &["new", "ci", "--route", "/flowers"]);
    let right = content(&place);
    let secret = right
        .lines()
        .find_map(|line| line.strip_prefix("secret_key = "))
        .unwrap();
    let secret = secret.trim_matches('"').to_owned();
    for (from, to, expected) in [
        ("name = ", "name ", "line 4"),
        ("routes = [\"/flowers\"]", "routes = \"SECRET\"", NOT_SO),
        ("\"/flowers\"", "\"flowers\"", "caller `ci`"),
        ("secret_key = \"", "secret_key = \" ", "keys of a caller"),
        (
            "access_key = \"APX",
            "access_key = \"AKX",
            "keys of a caller",
        ),
        ("[[caller]]", "[caller]", NOT_SO),
    ] {
        assert!(right.contains(from), "{from}");
        place.file(
            "callers.toml",
            &right.replacen(from, &to.replace("SECRET", &secret), 1),
        );
        let said = place.fails(&LIST, &[], 78, &[expected]);
        assert!(!said.contains(&secret), "{said}");
    }
    place.file_with_mode("callers.toml", &right, 0o644);
    place.fails(&LIST, &[], 78, &["chmod o-rwx"]);
    let toml = "upstream = \"https://127.0.0.1:1\"\n[access]\ncallers_file = \"callers.toml\"\n";
    place.file("apig-proxy.toml", toml);
    let place_of_key = ["apig-proxy.toml:3: access.callers_file", "chmod o-rwx"];
    place.fails(&LIST[..2], &[], 78, &place_of_key);
    place.file("callers.toml", &right);
    place.file("token", "0123456789abcdef");
    let with_token = format!("{toml}token_file = \"token\"\n");
    place.file("apig-proxy.toml", &with_token);
    place.fails(&LIST[..2], &[], 78, &["replaces the token"]);
}

#[test]
fn commands_at_the_same_time_lose_no_caller() {
    let place = Place::new();
    thread::scope(|scope| {
        for number in 0..8 {
            let place = &place;
            scope.spawn(move || caller(place, &["new", &format!("n{number}")]));
        }
    });
    assert_eq!(caller(&place, &["list"]).lines().count(), 8);
}
