//! Walks the corpus: raw requests and raw answers in data files, each with what has to come of it.

use std::fs;
use std::path::Path;

use crate::support::{FAULT, Scene, faulty};

/// One case of a file.
struct Case {
    name: String,
    expected: String,
    bytes: Vec<u8>,
}

#[test]
fn each_request_of_the_corpus_is_forwarded_or_refused_as_it_says() {
    let scene = Scene::plain();
    let cases = cases("requests");
    assert!(cases.len() >= 80, "only {} cases", cases.len());
    let mut mismatches = Vec::new();
    for case in &cases {
        let before = scene.upstream.requests().len();
        let got = answers(&scene, case);
        if got.join(", ") != case.expected {
            mismatches.push(format!("{}: {got:?}, not {}", case.name, case.expected));
        }
        let arrived = scene.upstream.requests().split_off(before);
        let forwarded = got.iter().filter(|answer| *answer == "200").count();
        assert_eq!(arrived.len(), forwarded, "{}", case.name);
        for seen in arrived {
            assert!(!seen.target().contains("evil"), "{}", case.name);
            seen.verified();
        }
        scene.serves();
    }
    assert!(mismatches.is_empty(), "{mismatches:#?}");
}

/// All answers to the bytes of a case. The end of the caller's stream means that it has gone, so that does
/// not come before the answers that are expected.
fn answers(scene: &Scene, case: &Case) -> Vec<String> {
    let expected = case.expected.split(", ").count();
    let mut client = scene.client();
    let _ = client.try_send(&case.bytes);
    let mut got = Vec::new();
    loop {
        if got.len() == expected {
            client.finish_sending_if_open();
        }
        let Ok(answer) = client.try_answer(false) else {
            return got;
        };
        got.push(match answer.status {
            200 => "200".to_owned(),
            status => format!("{status} {}", answer.code()),
        });
    }
}

#[test]
fn each_answer_of_the_corpus_is_relayed_or_refused_as_it_says() {
    let cases = cases("answers");
    assert!(cases.len() >= 45, "only {} cases", cases.len());
    let mut mismatches = Vec::new();
    for case in cases {
        let bytes = case.bytes;
        let scene = Scene::before(faulty(move |link| {
            // The proxy may have read enough before all is sent.
            let _ = link.send(&bytes);
            link.finish()
        }));
        let mut client = scene.client();
        let got = match client.send(FAULT).try_answer(false) {
            Err(_) => "aborted".to_owned(),
            Ok(answer) if answer.status == 502 => format!("502 {}", answer.code()),
            Ok(answer) => format!("{} {}", answer.status, answer.text()),
        };
        if got.trim_end() != case.expected {
            mismatches.push(format!("{}: {got}, not {}", case.name, case.expected));
        }
        assert_eq!(scene.upstream.requests().len(), 1, "{}", case.name);
        scene.serves();
        assert_eq!(scene.upstream.connections(), 2, "{}: used again", case.name);
    }
    assert!(mismatches.is_empty(), "{mismatches:#?}");
}

fn cases(folder: &str) -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/corpus")
        .join(folder);
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let texts = files.iter().map(|file| fs::read_to_string(file).unwrap());
    let cases: Vec<Case> = texts.flat_map(|text| parse(&text)).collect();
    assert!(cases.iter().all(|case| !case.expected.is_empty()));
    cases
}

fn parse(text: &str) -> Vec<Case> {
    let blocks = text.split("== ").skip(1);
    let case = |block: &str| {
        let mut lines = block.lines();
        let name = lines.next().unwrap().to_owned();
        let expected = lines
            .next()
            .unwrap()
            .strip_prefix("-- ")
            .unwrap()
            .to_owned();
        let lines: String = lines.collect();
        let bytes = unescaped(&repeated(&lines));
        Case {
            name,
            expected,
            bytes,
        }
    };
    blocks.map(case).collect()
}

/// Carries `{text*N}` out.
fn repeated(text: &str) -> String {
    let mut rest = text;
    let mut out = String::new();
    while let Some((before, after)) = rest.split_once('{') {
        let (inner, after) = after.split_once('}').unwrap();
        let (part, times) = inner.split_once('*').unwrap();
        out.extend([before, &part.repeat(times.parse().unwrap())]);
        rest = after;
    }
    out + rest
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut chars = text.chars();
    while let Some(next) = chars.next() {
        if next != '\\' {
            out.extend(next.to_string().bytes());
            continue;
        }
        out.push(match chars.next().unwrap() {
            'r' => b'\r',
            'n' => b'\n',
            't' => b'\t',
            '0' => 0,
            '\\' => b'\\',
            'x' => {
                let digits: String = chars.by_ref().take(2).collect();
                u8::from_str_radix(&digits, 16).unwrap()
            }
            other => panic!("unknown escape {other}"),
        });
    }
    out
}
