//! Copies reproduce a request byte for byte, and nothing in it is read as a part of a command.

use std::io::Write as _;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::super::copy::{ReplaySource, copy, replay_source};
use super::*;

const BASE: &str = "http://127.0.0.1:8080";

/// A shell function in the place of curl, which prints its arguments and what it reads.
const STUB: &str = r#"curl() { for argument; do printf '%s\0' "$argument"; if [ "$argument" = @- ]; then cat; fi; done; }"#;

/// A store with a request of a caller.
fn store_with(request: &ReplaySource) -> Store {
    let (method, target) = (&request.method, &request.target);
    let mut text = format!("{method} {target} HTTP/1.1\r\nhost: localhost\r\n").into_bytes();
    for (name, value) in &request.headers {
        text.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    let Event::Begun(mut begun) = beginning("") else {
        unreachable!()
    };
    begun.head = HeadText(text.into());
    let end = ended(200, request.body.len() as u64, 0);
    let body = body(Side::In, &request.body);
    store_of(vec![Event::Begun(begun), body, end])
}

/// The request that a command would send.
fn run(command: &[u8]) -> ReplaySource {
    let script = [STUB.as_bytes(), b"\n", command].concat();
    let script = String::from_utf8(script).expect("a command is text");
    assert!(
        !script.contains(|c: char| c.is_control() && !"\n\t".contains(c)),
        "{script:?}"
    );
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(script.as_bytes()).unwrap();
    let mut shell = Command::new("sh");
    let shell = shell.arg("-u").arg(file.path()).stdin(Stdio::null());
    let output = shell.output().unwrap();
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{script}: {output:?}"
    );
    parse(&output.stdout)
}

fn parse(output: &[u8]) -> ReplaySource {
    const READS: &[u8] = b"--data-binary\0@-\0";
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    // What the command reads follows its last argument.
    let end = memchr::memmem::find(output, READS).unwrap_or(output.len());
    let mut request = ReplaySource {
        method: "GET".to_owned(),
        body: output.get(end + READS.len()..).unwrap_or_default().to_vec(),
        ..ReplaySource::default()
    };
    let mut arguments = output[..end].split(|byte| *byte == 0);
    while let Some(argument) = arguments.next() {
        match argument {
            b"" | b"--globoff" | b"--path-as-is" | b"--compressed" => {}
            b"--head" => request.method = "HEAD".to_owned(),
            b"-X" => request.method = text(arguments.next().unwrap()),
            b"--data-raw" => request.body = arguments.next().unwrap().to_vec(),
            b"-H" => {
                let header = arguments.next().unwrap();
                let colon = header.iter().position(|byte| b":;".contains(byte)).unwrap();
                // `name:` removes a header that curl sends of its own.
                if header.len() > colon + 1 || header[colon] == b';' {
                    let value = header.get(colon + 2..).unwrap_or_default();
                    let header = (text(&header[..colon]), value.to_vec());
                    request.headers.push(header);
                }
            }
            url => request.target = text(url).strip_prefix(BASE).unwrap().to_owned(),
        }
    }
    request
}

/// The request that the inspector itself would send, but for its `Host`.
fn own(store: &Store) -> ReplaySource {
    let mut source = replay_source(store.get(1).unwrap()).unwrap();
    source.headers.retain(|(name, _)| name != "host");
    source
}

fn hostile() -> impl Strategy<Value = ReplaySource> {
    let byte = prop::sample::select(
        [
            b"'\"\\$`!;|&<>(){}[]*?~#%@ -=\t".to_vec(),
            (b'a'..=b'z').collect(),
            (0x80..=0xff).collect(),
        ]
        .concat(),
    );
    let value =
        prop::collection::vec(byte.clone(), 0..12).prop_map(|value| value.trim_ascii().to_vec());
    let name = "x-[a-z!#$%&'*+.^_`|~]{1,6}".prop_filter("owned", |name| {
        !crate::config::owned_headers::is_owned(name)
    });
    let body = prop_oneof![
        Just(Vec::new()),
        prop::collection::vec(prop_oneof![byte, Just(b'\n')], 0..40),
        prop::collection::vec(any::<u8>(), 0..40),
        Just("%s\\n\\0\\c".repeat(20_000).into_bytes()),
        Just(b"@/etc/passwd".to_vec()),
        Just("\x1b]0;x\x07é\u{202e}\n".as_bytes().to_vec()),
    ];
    let headers = prop::collection::vec((name, value), 0..4);
    ("[A-Z'$`!]{1,5}", "/[!-~&&[^#]]{0,20}", headers, body).prop_map(
        |(method, target, headers, body)| ReplaySource {
            method,
            target,
            headers,
            body,
            route: None,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_command_of_curl_reproduces_any_request(request in hostile()) {
        let store = store_with(&request);
        prop_assert_eq!(&own(&store), &request);
        prop_assert_eq!(run(&copied(&store, "curl")), request);
    }
}

fn copied(store: &Store, form: &str) -> Vec<u8> {
    copy(store.get(1).unwrap(), form, BASE).unwrap()
}

const SHOWN: &str = "POST /a?token=‹token, 5 bytes, sha256 0011aabb› HTTP/1.1
    host: localhost
    connection: x-hop
    x-hop: 1
    content-length: 3
    authorization: ‹authorization, 5 bytes, sha256 0011aabb›
    user-agent: it's me
    cookie: a=‹a, 5 bytes, sha256 0011aabb›
    x-a: 1
    x-a: 2";

#[test]
fn copies_have_the_caller_s_own_headers_and_placeholders_for_hidden_values() {
    let copied = |form: &str, bytes: &[u8]| {
        let end = ended(200, bytes.len() as u64, 0);
        let store = store_of(vec![beginning(SHOWN), body(Side::In, bytes), end]);
        String::from_utf8(copied(&store, form)).unwrap()
    };
    let expected = r#"curl -X POST 'http://127.0.0.1:8080/a?token=HIDDEN_TOKEN' -H 'user-agent: it'\''s me' -H 'cookie: a=HIDDEN_A' -H 'x-a: 1' -H 'x-a: 2' -H accept: -H content-type: --data-raw 'a'\''b'
"#;
    assert_eq!(copied("curl", b"a'b"), expected);
    let python = copied("python", b"a\"\n\xff");
    for line in [
        "    \"http://127.0.0.1:8080/a?token=HIDDEN_TOKEN\",\n",
        "        \"x-a\": \"1, 2\",\n",
        "        \"accept\": None,\n",
        "    data=b\"a\\\"\\n\\xff\",\n",
    ] {
        assert!(python.contains(line), "{python}");
    }
    let expected = "POST /a?token=HIDDEN_TOKEN HTTP/1.1\r\nhost: 127.0.0.1:8080\r\nuser-agent: it's me\r\n\
                    cookie: a=HIDDEN_A\r\nx-a: 1\r\nx-a: 2\r\ncontent-length: 3\r\n\r\nabc";
    assert_eq!(copied("raw", b"abc"), expected);
}

#[test]
fn a_host_that_names_a_cloud_service_is_copied() {
    for (host, is_copied) in [
        ("vpc.cn-north-4.localhost:8080", true),
        ("VPC.cn-north-4.localhost.", true),
        ("localhost:8080", false),
        ("proxy.internal", false),
    ] {
        let head = beginning(&format!("GET /a HTTP/1.1\nhost: {host}"));
        let store = store_of(vec![head, ended(200, 0, 0)]);
        for form in ["curl", "python", "raw"] {
            let copied = String::from_utf8(copied(&store, form)).unwrap();
            assert_eq!(copied.contains(host), is_copied, "{copied}");
        }
    }
}

#[test]
fn what_is_not_kept_as_a_whole_is_not_sent_again() {
    let sent = |fields: &str, kept: &[u8], length: u64| {
        let head = "POST /a HTTP/1.1\nhost: h\nauthorization: ‹a, 5 bytes, sha256 00›";
        let head = beginning(&format!("{head}{fields}"));
        store_of(vec![head, body(Side::In, kept), ended(200, length, 0)])
    };
    for (fields, kept, length, expected) in [
        ("", &b"a"[..], 1, ""),
        ("\nx-project-id: p", b"", 0, ""),
        ("", b"a", 9, "body_not_kept"),
        ("\ncontent-length: 9", b"", 0, "body_not_kept"),
        ("\ntransfer-encoding: chunked", b"", 0, "body_not_kept"),
        (
            "\ncookie: a=‹a, 5 bytes, sha256 0›",
            b"",
            0,
            "hidden_values",
        ),
        ("\nupgrade: WebSocket", b"", 0, "websocket"),
    ] {
        let store = sent(fields, kept, length);
        let found = replay_source(store.get(1).unwrap());
        let code = found.err().map_or("", |problem| problem.1);
        assert_eq!(code, expected, "{fields} {length}");
    }
    let curl = String::from_utf8(copied(&sent("", b"a", 9), "curl")).unwrap();
    let remark = "# the body is incomplete: 1 of 9 bytes were kept\ncurl ";
    assert!(curl.starts_with(remark), "{curl}");
}
