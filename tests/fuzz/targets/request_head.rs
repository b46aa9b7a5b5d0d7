//! The head of a request is found and read the same however its bytes come, and nothing in it can be
//! read in two ways.
//!
//! The input is what a caller sends.

use apig_proxy::http1::{Framing, RequestHead, Scanner};
use bytes::Bytes;

/// The longest head, in bytes; short, so that inputs get past it.
const LIMIT: usize = 512;

pub(crate) fn target(data: &[u8]) {
    let mut bytewise = Scanner::default();
    let found = (1..=data.len())
        .find_map(|end| bytewise.find(&data[..end], LIMIT).transpose())
        .transpose();
    let at_once = Scanner::default().find(data, LIMIT);
    assert_eq!(at_once, found, "at once and byte by byte");
    let Ok(Some(span)) = at_once else { return };
    let bytes = Bytes::copy_from_slice(&data[span.start..span.end]);
    assert!(bytes.len() <= LIMIT && bytes.ends_with(b"\r\n\r\n"));
    let Ok(head) = RequestHead::parse(&bytes) else {
        return;
    };
    check_lines(&head);
    check_lengths(&bytes, head.framing);
    assert_eq!(said(&head), said(&written_anew(&head)));
}

fn check_lines(head: &RequestHead) {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_name = |text: &[u8]| !text.is_empty() && text.iter().copied().all(is_token);
    assert!(is_name(head.method().as_bytes()));
    assert!(!head.target().is_empty());
    assert!(
        !head
            .target()
            .contains(|c: char| c.is_ascii_control() || c == ' ')
    );
    for field in head.fields.iter() {
        assert!(is_name(field.name), "{field:?}");
        let is_text = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
        assert!(field.value.iter().all(is_text), "{field:?}");
        assert_eq!(field.value, field.value.trim_ascii(), "{field:?}");
    }
}

/// Looks for lengths as the most careless reader would: in every line, whatever is around the name.
fn check_lengths(head: &[u8], framing: Framing) {
    let values = |name: &[u8]| -> Vec<Vec<u8>> {
        let lines = head.split(|byte| matches!(byte, b'\r' | b'\n'));
        lines
            .filter_map(|line| {
                let colon = line.iter().position(|byte| *byte == b':')?;
                let is_named = line[..colon].trim_ascii().eq_ignore_ascii_case(name);
                is_named.then(|| line[colon + 1..].trim_ascii().to_ascii_lowercase())
            })
            .collect()
    };
    let lengths = values(b"content-length");
    match (lengths.as_slice(), values(b"transfer-encoding").as_slice()) {
        ([], []) => assert_eq!(framing, Framing::Length(0)),
        ([], [coding]) => assert_eq!(
            (coding.as_slice(), framing),
            (&b"chunked"[..], Framing::Chunked)
        ),
        ([length], []) => {
            assert!(length.iter().all(u8::is_ascii_digit));
            let length = str::from_utf8(length).expect("digits are text").parse();
            assert_eq!(Ok(framing), length.map(Framing::Length));
        }
        _ => panic!("more than one length"),
    }
}

/// Names and values.
type Lines = Vec<(Vec<u8>, Vec<u8>)>;

/// What a head says, in a form that can be compared.
fn said(head: &RequestHead) -> (String, String, Lines, String) {
    let fields = head.fields.iter();
    (
        head.method().to_owned(),
        head.target().to_owned(),
        fields
            .map(|field| (field.name.to_owned(), field.value.to_vec()))
            .collect(),
        format!(
            "{:?} {:?} {}",
            head.version,
            head.framing,
            head.keeps_alive()
        ),
    )
}

fn written_anew(head: &RequestHead) -> RequestHead {
    let version = if format!("{:?}", head.version) == "Http10" {
        0
    } else {
        1
    };
    let first = format!("{} {} HTTP/1.{version}\r\n", head.method(), head.target());
    let mut text = first.into_bytes();
    for field in head.fields.iter() {
        apig_proxy::http1::push_field(&mut text, field.name, field.value);
    }
    text.extend_from_slice(b"\r\n");
    RequestHead::parse(&text.into()).expect("what was read can be read again")
}
