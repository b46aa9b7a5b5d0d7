//! `credentials.source = "auto"`: which source wins, and what is said of the others.

use std::fs;

use apig_proxy::emulator::{Accounts, FaultMode, POD_IDENTITY_PATH, Service};
use secrecy::ExposeSecret;

use crate::gateway::{Region, configure, region};
use crate::program::{GET, KEY, NOBODY, Place, Running, SERVE, assert_has, exchange};

const METADATA: &str = "APIG_PROXY_CREDENTIALS__METADATA_ENDPOINT";

/// A place where every source is there, and a gateway that takes the key of each.
struct Sources {
    place: Place,
    region: Region,
    /// As `NAME=value`.
    variables: Vec<String>,
}

impl Sources {
    fn new() -> Self {
        let place = Place::new();
        let accounts = Accounts::throw_away();
        let region = region(&place, accounts.clone());
        let key = &accounts.keys[0];
        let (access_key, secret) = (key.access_key.clone(), key.secret_key.expose_secret());
        let federation = accounts.federation.as_ref().unwrap();
        place.file("id_token", federation.id_token.expose_secret());
        let pod_token = accounts.pod_token.as_ref().unwrap();
        place.file("pod_token", pod_token.expose_secret());
        let csv = format!("Access Key Id,Secret Access Key\n{access_key},{secret}\n");
        let profile = format!("[basic]\nak={access_key}\nsk={secret}\n");
        place.file("credentials.csv", &csv);
        for (folder, name, content) in [
            ("systemd", "credentials.csv", &csv),
            (".huaweicloud", "credentials", &profile),
        ] {
            fs::create_dir(place.path().join(folder)).unwrap();
            place.file(&format!("{folder}/{name}"), content);
        }
        configure(&place, region.address, "");
        let (services, urns) = (
            &region.services,
            (&federation.provider_urn, &federation.agency_urn),
        );
        let variables = format!(
            "HUAWEICLOUD_SDK_STS_ENDPOINT={services} HUAWEICLOUD_SDK_IAM_ENDPOINT={services} {METADATA}={services} \
             HUAWEICLOUD_OIDC_PROVIDER_URN={} HUAWEICLOUD_OIDC_AGENCY_URN={} HUAWEICLOUD_OIDC_TOKEN_FILE=id_token \
             HUAWEICLOUD_SDK_IDP_ID={} HUAWEICLOUD_SDK_ID_TOKEN_FILE=id_token CREDENTIALS_DIRECTORY=systemd \
             HUAWEICLOUD_SDK_AK={access_key} HUAWEICLOUD_SDK_SK={secret} \
             HC_CONTAINER_CREDENTIALS_FULL_URI={services}{POD_IDENTITY_PATH} HC_CONTAINER_AUTHORIZATION_TOKEN_FILE=pod_token",
            urns.0, urns.1, federation.idp_id
        );
        let variables = variables.split(' ').map(str::to_owned).collect();
        Self {
            place,
            region,
            variables,
        }
    }

    fn variables(&self) -> Vec<(&str, &str)> {
        let all = self.variables.iter();
        all.map(|pair| pair.split_once('=').unwrap()).collect()
    }

    fn unset(&mut self, start: &str) {
        self.variables.retain(|pair| !pair.starts_with(start));
    }

    fn spoil(&self, service: Service, fault: FaultMode) {
        self.region.cloud.set_fault(service, fault);
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.place.path().join(name)).unwrap();
    }

    /// Takes away a source that is there.
    fn take_away(&mut self, source: &str) {
        match source {
            "oidc" => self.unset("HUAWEICLOUD_OIDC"),
            "idp" => self.unset("HUAWEICLOUD_SDK_ID"),
            "env" => {
                self.unset("HUAWEICLOUD_SDK_AK");
                self.unset("HUAWEICLOUD_SDK_SK");
            }
            "systemd" => self.remove("systemd/credentials.csv"),
            "file" => self.remove("credentials.csv"),
            "profile" => self.remove(".huaweicloud/credentials"),
            "metadata" => self.spoil(Service::Metadata, FaultMode::Unauthorized),
            "pod-identity" => self.spoil(Service::PodIdentity, FaultMode::Broken),
            other => panic!("{other}"),
        }
    }

    /// The line of the log that names the winner, after a request has passed with its key.
    fn winner(&self) -> String {
        let mut running = Running::start(self.place.command(&[], &self.variables()));
        let line = running.line_with("signing with the key");
        let answer = exchange(running.address(), GET);
        assert!(answer.starts_with("HTTP/1.1 200 "), "{line} {answer}");
        running.stops();
        line
    }
}

/// All sources in their order: what the log calls each, and what it says of it when it has nothing.
const ORDER: [(&str, &str, &str); 8] = [
    ("oidc", "from STS (oidc), good for", NO_OIDC),
    ("idp", "from IAM (identity provider), good for", NO_IDP),
    ("env", "from the environment (HUAWEICLOUD_SDK_AK)", NO_ENV),
    ("systemd", "systemd/credentials.csv", NO_SYSTEMD),
    ("file", "from credentials.csv", NO_FILE),
    ("profile", ".huaweicloud/credentials", NO_PROFILE),
    (
        "metadata",
        "from the metadata service, good for",
        "the metadata service: this server has no agency",
    ),
    (
        "pod-identity",
        "from pod identity, good for",
        "pod identity: it answered with status 500",
    ),
];

const NO_OIDC: &str = "oidc: HUAWEICLOUD_OIDC_PROVIDER_URN is not set";
const NO_IDP: &str = "idp: HUAWEICLOUD_SDK_IDP_ID is not set";
const NO_ENV: &str =
    "env: none of HUAWEICLOUD_SDK_AK, HW_ACCESS_KEY, OS_ACCESS_KEY and CLOUD_SDK_AK is set";
const NO_SYSTEMD: &str = "systemd: CREDENTIALS_DIRECTORY is not set, or holds no key";
const NO_FILE: &str = "file: there is no credentials.csv";
const NO_PROFILE: &str = "profile: there is no ~/.huaweicloud/credentials";

#[test]
fn the_first_source_that_is_there_wins_and_the_log_says_why_the_others_did_not() {
    let mut sources = Sources::new();
    for (at, (source, wins, _)) in ORDER.into_iter().enumerate() {
        let line = sources.winner();
        assert!(line.contains(wins), "{source} should have won: {line}");
        for (position, (_, _, lost)) in ORDER.into_iter().enumerate() {
            assert_eq!(line.contains(lost), position < at, "{source}: {line}");
        }
        sources.take_away(source);
    }
    let lost = ORDER.map(|(_, _, lost)| lost);
    let said = sources.place.fails(&[], &sources.variables(), 78, &[]);
    let complaint = said
        .split("apig-proxy: ")
        .last()
        .expect("a split has a last part");
    assert_has(complaint, &lost);
    assert_has(complaint, &["there is no key"]);
}

#[test]
fn with_nothing_at_all_the_start_fails_and_names_every_source_and_why() {
    let place = Place::new();
    let expected = [
        NO_OIDC,
        NO_IDP,
        NO_ENV,
        NO_SYSTEMD,
        NO_FILE,
        NO_PROFILE,
        "pod-identity: HC_CONTAINER_CREDENTIALS_FULL_URI is not set",
        "the metadata service: it cannot be reached",
        "--credentials credentials.csv",
    ];
    place.fails(&SERVE, &[], 78, &expected);
}

#[test]
fn a_source_that_is_named_is_the_only_one() {
    let sources = Sources::new();
    for (source, wins) in [
        ("metadata", ORDER[6].1),
        ("pod-identity", ORDER[7].1),
        ("profile", ORDER[5].1),
        ("idp", ORDER[1].1),
    ] {
        let mut variables = sources.variables();
        variables.push(("APIG_PROXY_CREDENTIALS__SOURCE", source));
        let mut running = Running::start(sources.place.command(&[], &variables));
        let line = running.line_with("signing with the key");
        assert!(line.contains(wins) && !line.contains("not from"), "{line}");
        running.address();
        running.stops();
    }
    let no_pod = "HC_CONTAINER_CREDENTIALS_FULL_URI is not set";
    for (source, expected) in [
        ("oidc", &NO_OIDC["oidc: ".len()..]),
        ("idp", &NO_IDP["idp: ".len()..]),
        ("pod-identity", no_pod),
        ("env", &NO_ENV["env: ".len()..]),
    ] {
        let variables = [("APIG_PROXY_CREDENTIALS__SOURCE", source)];
        sources.place.fails(&[], &variables, 78, &[expected]);
    }
}

#[test]
fn a_source_that_is_there_but_broken_is_not_passed_over() {
    let mut sources = Sources::new();
    sources.unset("HUAWEICLOUD_OIDC_AGENCY_URN");
    let missing = "HUAWEICLOUD_OIDC_AGENCY_URN is not";
    let variables = sources.variables();
    sources.place.fails(&[], &variables, 78, &[missing]);

    // One that is named by the environment but does not answer is waited for.
    let sources = Sources::new();
    sources.spoil(Service::Sts, FaultMode::Broken);
    let mut running = Running::start(sources.place.command(&[], &sources.variables()));
    let line = running.line_with("cannot get the key of credentials \"default\" from STS (oidc)");
    assert!(line.contains("status 500"), "{line}");
    running.address();
    sources.spoil(Service::Sts, FaultMode::None);
    running.line_with("provides the key of credentials \"default\" again");
    running.stops();
}

#[test]
fn nobody_is_asked_for_a_key_where_one_is_there() {
    // Else the start would take as long as a metadata service that does not answer is waited for.
    let sources = Sources::new();
    let variables = [KEY[0], KEY[1], (METADATA, &sources.region.services)];
    let mut running = Running::start(sources.place.command(&[], &variables));
    running.address();
    running.stops();
    assert_eq!(sources.region.cloud.calls(Service::Metadata), 0);
    let (code, _, _) = sources
        .place
        .run(&["check", "config"], &[(METADATA, NOBODY)]);
    assert_eq!(code, 0);
}
