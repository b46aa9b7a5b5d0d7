//! The corpus: raw requests and raw answers in data files, each with its expected outcome. The tests have the numbers of
//! docs/faults.md.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{ANSWERED, FAULT, Scene, faulty, own_code};

/// One case of a file.
struct Case {
    name: String,
    expected: String,
    bytes: Vec<u8>,
}

#[test]
fn fault_01_a_host_that_is_missing_doubled_malformed_or_foreign_is_refused() {
    requests("hosts");
}

#[test]
fn fault_03_a_foreign_origin_is_refused() {
    requests("origins");
}

#[test]
fn fault_06_an_absolute_target_is_taken_only_when_it_names_the_host() {
    requests("absolute-targets");
}

#[test]
fn fault_07_connect_is_not_allowed_and_other_forms_of_target_are_bad() {
    requests("other-targets");
}

#[test]
fn fault_08_a_body_whose_length_can_be_read_in_two_ways_is_refused() {
    requests("lengths");
}

#[test]
fn fault_09_fields_that_servers_read_differently_are_refused() {
    requests("fields");
}

#[test]
fn fault_09_chunks_that_servers_read_differently_are_refused() {
    requests("chunks");
}

#[test]
fn fault_10_heads_and_targets_over_the_limits_are_refused() {
    requests("limits");
}

#[test]
fn fault_11_a_target_that_cannot_be_signed_alike_everywhere_is_refused() {
    requests("targets");
}

#[test]
fn fault_14_upgrades_to_anything_but_websocket_are_refused() {
    requests("upgrades");
}

#[test]
fn fault_15_what_is_not_http_is_refused() {
    requests("first-lines");
}

#[test]
fn fault_20_what_follows_a_request_is_the_next_one_and_never_part_of_it() {
    requests("pipelines");
}

#[test]
fn fault_98_too_many_hops_and_those_that_cannot_be_read_are_refused() {
    requests("hops");
}

#[test]
fn fault_46_a_body_that_is_cut_off_or_malformed_looks_aborted() {
    answers("cut-off");
}

#[test]
fn fault_47_what_is_not_the_head_of_an_answer_is_a_bad_response() {
    answers("heads");
}

#[test]
fn fault_48_a_body_whose_length_can_be_read_in_two_ways_is_never_relayed() {
    answers("bodies");
}

#[test]
fn every_file_of_the_corpus_has_its_test() {
    for folder in ["requests", "answers"] {
        for file in fs::read_dir(path(folder)).unwrap() {
            let file = file.unwrap().path();
            let name = file.file_stem().unwrap().to_str().unwrap();
            let call = format!("{folder}(\"{name}\")");
            assert!(include_str!("corpus.rs").contains(&call), "{name}");
        }
    }
}

/// Sends the requests of a file. What is forwarded arrives signed, and the next request is served.
fn requests(file: &str) {
    let scene = Scene::plain();
    let mut mismatches = Vec::new();
    for case in cases("requests", file) {
        let before = scene.upstream.requests().len();
        let got = answers_to(&scene, &case);
        if got.join(", ") != case.expected {
            mismatches.push(format!("{}: {got:?}, not {}", case.name, case.expected));
        }
        let arrived = scene.upstream.requests().split_off(before);
        let forwarded = got.iter().filter(|answer| *answer == "200").count();
        assert_eq!(arrived.len(), forwarded, "{}", case.name);
        for request in arrived {
            assert!(!request.target().contains("evil"), "{}", case.name);
            request.verified();
        }
        scene.serves();
    }
    assert_eq!(mismatches, [""; 0]);
}

/// All answers to the bytes of a case. The caller closes its sending side only after the expected answers, since that
/// cancels what is in flight.
fn answers_to(scene: &Scene, case: &Case) -> Vec<String> {
    let expected = case.expected.split(", ").count();
    let mut client = scene.client();
    let _ = client.try_send(&case.bytes);
    let mut got = Vec::new();
    loop {
        if got.len() == expected {
            client.finish_sending();
        }
        let Ok(answer) = client.try_answer(false) else {
            return got;
        };
        got.push(match answer.status {
            200 => "200".to_owned(),
            status => {
                answer.assert_hides("evil");
                format!("{status} {}", own_code(&answer))
            }
        });
    }
}

/// Lets the upstream send the answers of a file. The caller gets one framing of each, the connection to the upstream is
/// not reused, and the next request is served.
fn answers(file: &str) {
    let mut mismatches = Vec::new();
    for case in cases("answers", file) {
        let bytes = case.bytes;
        let scene = Scene::before(faulty(move |link| {
            // The proxy may have read enough before all is sent.
            let _ = link.send(&bytes);
            link.finish()
        }));
        let mut client = scene.client();
        let answer = client.send(FAULT).try_answer(false);
        let got = match &answer {
            Err(_) => "aborted".to_owned(),
            Ok(answer) if answer.status == 502 => format!("502 {}", answer.code()),
            Ok(answer) => format!("{} {}", answer.status, answer.text()),
        };
        if got.trim_end() != case.expected {
            mismatches.push(format!("{}: {got}, not {}", case.name, case.expected));
        }
        assert_eq!(scene.upstream.requests().len(), 1, "{}", case.name);
        if let Ok(answer) = answer {
            let framing = ["content-length", "transfer-encoding"].map(|name| answer.all(name));
            let expected = usize::from(![204, 304].contains(&answer.status));
            assert_eq!(framing.concat().len(), expected, "{}", case.name);
            client.get("/next").assert_text(200, ANSWERED);
        } else {
            // A caller with HTTP/1.0 gets no chunks, so only a reset tells it.
            let old = FAULT.replace("HTTP/1.1", "HTTP/1.0");
            assert!(
                scene.client().send(old).try_answer(false).is_err(),
                "{}",
                case.name
            );
            scene.serves();
        }
        // Each answer ends its connection.
        let (connections, requests) = (scene.upstream.connections(), scene.upstream.requests());
        assert_eq!(connections, requests.len(), "{}: reused", case.name);
    }
    assert_eq!(mismatches, [""; 0]);
}

fn path(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/corpus")
        .join(folder)
}

fn cases(folder: &str, file: &str) -> Vec<Case> {
    let text = fs::read_to_string(path(folder).join(file).with_extension("txt")).unwrap();
    let blocks = text.split("== ").skip(1);
    let case = |block: &str| {
        let mut lines = block.lines();
        let name = lines.next().unwrap().to_owned();
        let expected = lines.next().unwrap().strip_prefix("-- ");
        let lines: String = lines.collect();
        Case {
            name,
            expected: expected.unwrap().to_owned(),
            bytes: unescaped(&repeated(&lines)),
        }
    };
    blocks.map(case).collect()
}

/// Expands `{text*N}`.
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
