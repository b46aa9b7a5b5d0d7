//! What the commands print, and what they say of files that are wrong.

use super::{EGRESS, SECRET, Source, TOKEN, TRACES, assert_clean, configure};
use crate::program::{AK, Place, Running, SERVE, assert_has};

#[test]
fn commands_show_no_secret_but_the_token_that_sign_is_asked_for() {
    let place = Place::new();
    for source in Source::all(&place) {
        configure(&place, &source, "level = \"trace\"");
        let signed = format!(
            "GET /v1 HTTP/1.1\r\nHost: a.example\r\nX-Sdk-Date: 20261123T080000Z\r\nX-Security-Token: {TOKEN}\r\n\
             Authorization: SDK-HMAC-SHA256 Access={AK}, SignedHeaders=host;x-sdk-date;x-security-token, Signature={}\r\n\r\n",
            "0".repeat(64)
        );
        place.file("request.txt", &signed);
        let now = "20261123T080000Z";
        let sign = [
            "sign",
            "--format",
            "json",
            "-d",
            "x",
            "https://a.example/v1",
        ];
        for (arguments, expected) in [
            (&["check", "config"][..], 0),
            (&["check", "upstream"], 1),
            (&["verify", "--now", now, "request.txt"], 1),
            (&["--help"], 0),
            (&sign, 0),
        ] {
            let (code, out, err) = place.run(arguments, &source.variables());
            assert_eq!(code, expected, "{} {arguments:?}: {out}{err}", source.name);
            let asked = arguments[0] == "sign" && source.has_token;
            assert_eq!(out.contains(TOKEN), asked, "{arguments:?}: {out}");
            let out = out.replace(TOKEN, "");
            assert_clean(source.name, &(out + &err), &["MARKER", TRACES[3]]);
        }
    }
}

/// What files with a key can be instead, each with secrets in it.
fn broken_files() -> Vec<(&'static str, Vec<u8>)> {
    let utf16: Vec<u8> = format!("\u{feff}{SECRET}")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let head = "User Name,Access Key Id,Secret Access Key";
    vec![
        ("columns", format!("{AK},{SECRET}\n").into()),
        ("blanks", format!("{head}\nme,{AK},{SECRET} MARKER\n").into()),
        ("other cloud", format!("{head}\nme,AKIA000000MARKER0000,{SECRET}\n").into()),
        ("comma", format!("{head}\nme,\"MARKER,\",{SECRET}\n").into()),
        ("API key", format!("name,api_key\nMARKER,{SECRET}\n").into()),
        ("not UTF-8", [SECRET.as_bytes(), b"\xff"].concat()),
        ("UTF-16", utf16),
        ("no profile", format!("[basic]\n{SECRET}\n").into()),
        ("half a profile", format!("[basic]\nsk={SECRET}\n").into()),
        ("no JSON", format!("{{\"secretAccessKey\": \"{SECRET}\"").into()),
        ("encrypted", format!("{{\"profiles\":[{{\"accessKeyId\":\"{SECRET}\",\"secretAccessKey\":\"{SECRET}==\"}}]}}").into()),
    ]
}

#[test]
fn a_credentials_file_that_is_wrong_is_not_quoted_by_any_command() {
    let place = Place::new();
    for (what, content) in broken_files() {
        std::fs::write(place.file("key", ""), content).unwrap();
        let url = "https://a.example";
        let upstream = ["--upstream", url];
        for command in [
            [&["--log-level", "trace"], &upstream[..]].concat(),
            [&["check", "config"], &upstream[..]].concat(),
            vec!["sign", url],
        ] {
            let arguments = [&command[..], &["--credentials", "key"]].concat();
            let (code, out, err) = place.run(&arguments, &[EGRESS]);
            assert_eq!(code, 78, "{what}: {out}{err}");
            assert_clean(what, &(out + &err), &["MARKER"]);
        }
    }
    let half = [("HUAWEICLOUD_SDK_SK", SECRET)];
    let (code, out, err) = place.run(&["--upstream", "https://a.example"], &half);
    assert_eq!(code, 78, "{out}{err}");
    assert_clean("half a key", &(out + &err), &["MARKER"]);
}

#[test]
fn names_of_files_forge_no_line_of_a_message_or_of_the_log() {
    let place = Place::new();
    let name = "key\n\u{1b}[2J\u{202e}apig-proxy: forged";
    place.file(name, &format!("[basic]\nak={AK}\nsk={SECRET}\n"));
    let arguments = [&SERVE[..], &["--credentials", name]].concat();
    let mut running = Running::start(place.command(&arguments, &[]));
    running.address();
    let said = running.stops();
    let (_, out, _) = place.run(&[&["check", "config"], &arguments[..]].concat(), &[]);
    place.file_with_mode(name, "x", 0o644);
    let err = place.fails(&arguments, &[], 78, &[]);
    for text in [said, out, err] {
        assert_has(&text, &["key\\n\\u{1b}[2J\\u{202e}apig-proxy: forged"]);
        assert!(
            !text.contains(['\u{1b}', '\u{202e}']) && !text.contains("\napig-proxy: forged"),
            "{text:?}"
        );
    }
}
