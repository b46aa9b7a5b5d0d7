//! How requests are read: as they are on the wire, as people paste them, and from options.

use super::*;

fn refused(raw: impl AsRef<[u8]>) -> String {
    reported(&arguments(), &key("AK", "MARKERsecret"), raw)
        .unwrap_err()
        .message
}

fn verifies(raw: impl AsRef<[u8]>) -> bool {
    json(raw)["verified"] == true
}

#[test]
fn both_line_ends_and_a_missing_last_line_are_accepted() {
    let raw = right("/a?b=c", "");
    for raw in [
        raw.replace("\r\n", "\n"),
        raw.trim_end().to_owned(),
        format!("\r\n\n{raw}"),
    ] {
        assert!(verifies(&raw), "{raw:?}");
    }
    let (head, body) = (right("/", "a\r\nb\n\nc"), "a\r\nb\n\nc");
    let head = head.strip_suffix(body).unwrap().replace("\r\n", "\n");
    assert!(verifies(head + body));
}

#[test]
fn a_body_is_cut_to_its_length_with_a_note() {
    let raw = right("/", "{}").replacen("\r\n", "\r\nContent-Length: 2\r\n", 1);
    let note = |raw: &str| {
        reported(&arguments(), &key("AK", "MARKERsecret"), raw)
            .unwrap()
            .1
    };
    assert!(verifies(format!("{raw}\n")));
    assert!(
        note(&format!("{raw}\n")).contains("cut to the 2 bytes of `Content-Length`; 1 after it")
    );
    assert_eq!(note(&raw), "");
    assert!(note(&raw[..raw.len() - 1]).contains("says 2 bytes, and the body has 1"));
}

#[test]
fn a_chunked_body_is_decoded() {
    let raw = right("/", "hello").replacen("\r\n", "\r\nTransfer-Encoding: chunked\r\n", 1);
    let head = raw.strip_suffix("hello").unwrap();
    assert!(verifies(format!("{head}2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")));
    for broken in ["2\nhe\n3\nllo\n0\n\n", "2\r\nhe", "2\r\nhel"] {
        let message = refused(format!("{head}{broken}"));
        assert!(message.contains("give it decoded"), "{message}");
    }
}

#[test]
fn the_output_of_curl_and_targets_in_absolute_form_are_accepted() {
    let raw = right("/a?b=c", "");
    let head = raw.trim_end();
    assert!(verifies(head.replacen(
        "/a?b=c",
        "https://gw.example:8443/a?b=c",
        1
    )));
    let lines: String = head.lines().map(|line| format!("> {line}\n")).collect();
    let curl = |lines: &str, body: &str| {
        format!("* Connected to gw.example\n{lines}> \n* done\n< HTTP/1.1 401 x\n< \n{body}")
    };
    assert!(verifies(curl(&lines, "{ [5 bytes data]")));
    assert!(verifies(curl(&lines.replace("HTTP/1.1", "HTTP/2"), "{}")));
    // Its body is not in the output.
    let lines: String = right("/", "{}")
        .lines()
        .map(|line| format!("> {line}\n"))
        .collect();
    let mut arguments = arguments();
    arguments.request.data = Some("{}".to_owned());
    let report = reported(&arguments, &key("AK", "MARKERsecret"), curl(&lines, "{}"));
    assert!(report.unwrap().0.contains("\"verified\": true"));
}

#[test]
fn what_is_no_request_is_refused() {
    for (raw, expected) in [
        ("", "not a request"),
        ("hello", "not a request"),
        ("GET / HTTP/2\r\nHost: a\r\n\r\n", "not a request"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
            "not a request",
        ),
        (
            "GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
            "not a request",
        ),
        (
            "GET / HTTP/1.1\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
            "not a request",
        ),
        (
            &format!("GET / HTTP/1.1\r\n{}", "a: b\r\n".repeat(50_000)),
            "longer than 256 KiB",
        ),
        (&"x".repeat((64 << 20) + 1), "longer than 64 MiB"),
    ] {
        let message = refused(raw);
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn options_describe_a_request() {
    let raw = right("/a?b=c", "{}");
    let headers = raw.lines().skip(1).take_while(|line| !line.is_empty());
    let described = VerifyArguments {
        request: RequestArguments {
            method: None,
            headers: headers.map(str::to_owned).collect(),
            data: Some("{}".to_owned()),
            data_file: None,
        },
        source: Some("https://gw.example:8443/a?b=c#top".to_owned()),
        ..arguments()
    };
    let with = |change: fn(&mut VerifyArguments), stdin: &str| {
        let mut arguments = described.clone();
        change(&mut arguments);
        let report = reported(&arguments, &key("AK", "MARKERsecret"), stdin);
        report.map(|report| report.0.contains("\"verified\": true"))
    };
    assert!(with(|_| {}, "").unwrap());
    let from_stdin: fn(&mut VerifyArguments) = |arguments| {
        arguments.request.data = None;
        arguments.request.data_file = Some("-".into());
    };
    assert!(with(from_stdin, "{}").unwrap());
    let wrong: [fn(&mut VerifyArguments); 6] = [
        |arguments| arguments.request.headers.push("x".to_owned()),
        |arguments| arguments.request.headers.push("x y: v".to_owned()),
        |arguments| arguments.source = None,
        |arguments| arguments.source = Some("file".to_owned()),
        |arguments| arguments.source = Some("ftp://gw.example/".to_owned()),
        |arguments| arguments.source = Some("https://gw.example/a b".to_owned()),
    ];
    for wrong in wrong {
        assert_eq!(with(wrong, "").unwrap_err().exit, Exit::Usage);
    }
}
