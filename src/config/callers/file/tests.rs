use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::config::from_text;

#[test]
fn what_is_written_is_read_with_all_rights() {
    let (issued, surrogate) = IssuedCaller::new("ci", Rights::default());
    let texts = |items: &[&str]| items.iter().map(ToString::to_string).collect();
    let record = CallerRecord {
        routes: texts(&["/a/", "/caf\u{e9}\"x"]),
        methods: texts(&["GET"]),
        read_only: true,
        reads: texts(&["POST /a/*"]),
        expires: Some("2026-12-01T08:00:00Z".to_owned()),
        rate: Some("60/1m".to_owned()),
        ..CallerRecord::new(&issued, &surrogate)
    };
    let text = CallerRecord::write(&[record.clone(), CallerRecord::new(&issued, &surrogate)]);
    let read: Records = toml::from_str(&text).unwrap();
    assert_eq!(format!("{:?}", read.caller[0]), format!("{record:?}"));
    let caller = read.caller[0].surrogate().unwrap();
    assert_eq!(caller.rights.routes, ["/a", "/caf%C3%A9\"x"]);
    assert_eq!(caller.rights.expires, Some(1_796_112_000));
    let (requests, seconds) = (60, 60);
    assert_eq!(caller.rights.rate, Some(Rate { requests, seconds }));
    assert!(caller.token.is(issued.token.expose_secret().as_bytes()));
    assert_eq!(
        read.caller[1].surrogate().unwrap().rights,
        Rights::default()
    );
}

#[test]
fn no_two_callers_share_a_name_or_a_credential() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("callers.toml");
    let [first, second] = ["a", "b"].map(|name| {
        let (issued, surrogate) = IssuedCaller::new(name, Rights::default());
        CallerRecord::new(&issued, &surrogate)
    });
    let both = CallerRecord::write(&[first.clone(), second.clone()]);
    let read = |text: &str| {
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        CallerRecord::read(&path).map(|records| records.len())
    };
    assert_eq!(read(&both), Ok(2));
    for of in UNIQUE {
        let quoted = |record| format!("\"{}\"", of(record));
        let same = both.replace(&quoted(&second), &quoted(&first));
        assert!(read(&same).unwrap_err().starts_with("two callers"));
    }
}

#[test]
fn a_file_of_callers_protects_an_address_and_may_not_exist_yet() {
    let text = "upstream = \"https://gateway.example\"\nlisten = [\"0.0.0.0:8080\"]\n\
        [access]\nallow_remote = true\n";
    let load = |more: &str| from_text(Path::new("x.toml"), &format!("{text}{more}"));
    assert!(load("").is_err());
    let config = load("callers_file = \"not-there.toml\"").unwrap();
    let file = config.callers.file.unwrap();
    assert!(file.current().is_empty() && file.path.ends_with("not-there.toml"));
}
