//! How requests are read: as they are on the wire, as people paste them, and from options.

use super::*;

const URL: &str = "https://gw.example/a?b=c";

fn refused(raw: impl AsRef<[u8]>) -> VerifyError {
    said(&arguments(), &key(), raw).unwrap_err()
}

#[test]
fn both_line_ends_and_a_missing_last_line_are_taken() {
    let raw = signed("GET", URL, &[], "");
    for raw in [
        raw.clone(),
        raw.replace("\r\n", "\n"),
        raw.trim_end().to_owned(),
        format!("\r\n\n{raw}"),
    ] {
        assert_eq!(reason(&raw), "verified", "{raw:?}");
    }
    let raw = signed("POST", URL, &[], "a\r\nb\n\nc").replace("\r\n", "\n");
    let raw = raw.replace("\n\na\nb\n\nc", "\n\na\r\nb\n\nc");
    assert_eq!(reason(&raw), "verified");
}

#[test]
fn a_body_is_cut_to_its_length_and_that_is_said() {
    let raw = signed("POST", URL, &[], "{}").replacen("\r\n", "\r\nContent-Length: 2\r\n", 1);
    let (out, notes) = said(&arguments(), &key(), format!("{raw}\n")).unwrap();
    assert!(out.contains("\"verified\": true"), "{out}");
    assert!(
        notes.contains("cut to the 2 bytes of Content-Length; 1 after it were left out"),
        "{notes}"
    );
    assert_eq!(said(&arguments(), &key(), &raw).unwrap().1, "");
    let (_, notes) = said(&arguments(), &key(), &raw[..raw.len() - 1]).unwrap();
    assert!(
        notes.contains("says 2 bytes, and the body has 1"),
        "{notes}"
    );
    // Without a length, all that follows is the body.
    let unbounded = format!("{}\n", signed("POST", URL, &[], "{}"));
    let said = json(unbounded);
    assert!(
        said["explanation"]
            .as_str()
            .unwrap()
            .contains("without the line feed")
    );
}

#[test]
fn a_chunked_body_is_decoded() {
    let raw =
        signed("POST", URL, &[], "hello").replacen("\r\n", "\r\nTransfer-Encoding: chunked\r\n", 1);
    let (head, _) = raw.split_once("\r\n\r\n").unwrap();
    let with = |body: &str| format!("{head}\r\n\r\n{body}");
    assert_eq!(reason(with("2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n")), "verified");
    let message = refused(with("2\nhe\n3\nllo\n0\n\n")).to_string();
    assert!(message.contains("give it decoded"), "{message}");
    assert!(matches!(
        refused(with("2\r\nhe")),
        VerifyError::ChunksIncomplete
    ));
}

#[test]
fn what_is_not_a_request_is_refused() {
    for raw in [
        "",
        "hello",
        "GET / HTTP/2\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
    ] {
        assert!(matches!(refused(raw), VerifyError::Malformed(_)), "{raw:?}");
    }
    let long = format!("GET / HTTP/1.1\r\n{}", "a: b\r\n".repeat(50_000));
    assert!(matches!(refused(long), VerifyError::HeadTooLong));
    assert!(matches!(
        refused(vec![b'x'; (64 << 20) + 1]),
        VerifyError::TooLong
    ));
}

#[test]
fn a_request_can_be_described_by_options() {
    let raw = signed("PUT", URL, &["x-a: 1"], "{}");
    let headers: Vec<String> = raw
        .lines()
        .skip(1)
        .take_while(|line| !line.is_empty() && !line.starts_with("host"))
        .chain(
            raw.lines()
                .filter(|line| line.starts_with("x-") || line.starts_with("auth")),
        )
        .map(str::to_owned)
        .collect();
    let described = VerifyArguments {
        request: Described {
            method: Some("PUT".to_owned()),
            headers,
            data: Some("{}".to_owned()),
            data_file: None,
        },
        source: Some(format!("{URL}#top")),
        ..arguments()
    };
    let (out, _) = said(&described, &key(), "").unwrap();
    assert!(out.contains("\"verified\": true"), "{out}");
    let from_input = VerifyArguments {
        request: Described {
            data: None,
            data_file: Some("-".into()),
            ..described.request.clone()
        },
        ..described.clone()
    };
    assert!(from_input.reads_standard_input());
    let (out, _) = said(&from_input, &key(), "{}").unwrap();
    assert!(out.contains("\"verified\": true"), "{out}");
    let ended = |arguments: VerifyArguments| said(&arguments, &key(), "").unwrap_err().exit();
    let with_header = |header: &str| VerifyArguments {
        request: Described {
            headers: vec![header.to_owned()],
            ..described.request.clone()
        },
        ..described.clone()
    };
    let with_source = |source: Option<&str>| VerifyArguments {
        source: source.map(str::to_owned),
        ..described.clone()
    };
    for wrong in [
        with_header("x"),
        with_header(": v"),
        with_header("x y: v"),
        with_source(None),
        with_source(Some("file")),
        with_source(Some("ftp://gw.example/")),
        with_source(Some("https://gw.example/a b")),
    ] {
        assert_eq!(ended(wrong), Exit::Usage);
    }
}

#[test]
fn a_file_that_cannot_be_read_is_a_failure() {
    let missing = VerifyArguments {
        source: Some("/nonexistent/request".to_owned()),
        ..arguments()
    };
    let error = said(&missing, &key(), "").unwrap_err();
    assert_eq!(error.exit(), Exit::Failed);
    assert!(
        error.to_string().contains("correct the path of its file"),
        "{error}"
    );
}

#[test]
fn windows_are_times() {
    assert_eq!(parse_window("90s"), Ok(Duration::from_secs(90)));
    assert_eq!(parse_window("2h"), Ok(Duration::from_secs(7200)));
    for text in ["", "15", "-1m", "soon"] {
        assert!(parse_window(text).is_err(), "{text}");
    }
}
