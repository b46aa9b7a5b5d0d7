//! The recipes of README, docs and deploy, run from their own text.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;

use crate::gateway::gateway;
use crate::program::{
    BINARY, GET, KEY, Place, Running, SECRET, assert_has, assert_status, exchange, finish, key_file,
};

const README: &str = include_str!("../../README.md");
const DEPLOY: &str = include_str!("../../deploy/README.md");
const UNIT: &str = include_str!("../../deploy/systemd/apig-proxy.service");
const PAGES: [&str; 8] = [
    README,
    DEPLOY,
    include_str!("../../docs/access.md"),
    include_str!("../../docs/commands.md"),
    include_str!("../../docs/credentials.md"),
    include_str!("../../docs/operations.md"),
    include_str!("../../docs/run.md"),
    include_str!("../../docs/troubleshooting.md"),
];

/// The gateway of the recipes, in the place of which a test has its own.
const GATEWAY: &str = "https://<id>.apig.cn-north-4.huaweicloudapis.com";

/// The blocks of a page in this language.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let start = format!("```{language}\n");
    let blocks = page.split(start.as_str()).skip(1);
    blocks
        .map(|rest| rest.split("```").next().unwrap())
        .collect()
}

/// The command lines of a page that begin with this word, each as one line and without its comment.
fn command_lines(page: &str, word: &str) -> Vec<String> {
    let text = blocks(page, "sh").concat().replace("\\\n", " ");
    let lines = text.lines().filter(|line| line.starts_with(word));
    let command = |line: &str| line.split("  #").next().unwrap().to_owned();
    lines.map(command).collect()
}

/// Runs a script, which has to succeed.
fn succeeds(place: &Place, script: &str) -> String {
    let mut command = place.other_command(&["bash", "-euo", "pipefail", "-c", script], &[]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let (code, printed, said) = finish(command);
    assert_eq!(code, 0, "{script}: {printed}{said}");
    printed
}

#[test]
fn the_recipe_for_systemd_installs_what_its_service_starts_with() {
    let place = Place::new();
    let gateway = gateway(&place, SECRET, None);
    key_file(&place, "credentials.csv", SECRET);
    for folder in ["config", "deploy"] {
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        symlink(repository, place.path().join(folder)).unwrap();
    }
    let etc = format!("{}/etc/", place.path().display());
    fs::create_dir_all(format!("{etc}systemd/system")).unwrap();
    let (_, section) = DEPLOY.split_once("\n## systemd\n").unwrap();
    let recipe = blocks(section, "sh")[0];
    assert_has(recipe, &[GATEWAY, "systemctl enable --now"]);
    let is_here = |line: &&str| !line.contains("systemctl");
    let lines: Vec<&str> = recipe.lines().filter(is_here).collect();
    let script = lines.join("\n").replace("sudo ", "").replace("/etc/", &etc);
    let script = script.replace(GATEWAY, &format!("https://{gateway}"));
    succeeds(&place, &script);
    assert!(Path::new(&format!("{etc}systemd/system/apig-proxy.socket")).exists());

    // What systemd does then: it copies the key, and starts the program.
    let value = |key: &str| {
        UNIT.lines()
            .find_map(|line| line.strip_prefix(key))
            .unwrap()
    };
    let (name, file) = value("LoadCredential=").split_once(':').unwrap();
    let folder = place.path().join("credentials");
    fs::create_dir(&folder).unwrap();
    fs::copy(file.replace("/etc/", &etc), folder.join(name)).unwrap();
    let start = value("ExecStart=/usr/local/bin/apig-proxy ").replace("/etc/", &etc);
    let arguments: Vec<&str> = start.split(' ').collect();
    let environment = [
        ("CREDENTIALS_DIRECTORY", folder.to_str().unwrap()),
        ("APIG_PROXY_LISTEN", "127.0.0.1:0"),
        ("APIG_PROXY_UPSTREAM_TLS__CA_FILE", "ca.pem"),
    ];
    fs::remove_file(place.path().join("credentials.csv")).unwrap();
    let root = place.path().join("ca.pem");
    fs::copy(root, format!("{etc}apig-proxy/ca.pem")).unwrap();
    let mut running = Running::start(place.command(&arguments, &environment));
    assert_status(&exchange(running.address(), GET), 200);
    assert_has(&running.stops(), &["credentials/credentials.csv"]);
}

#[test]
fn the_quick_start_of_the_readme_serves_its_curl_lines() {
    let place = Place::new();
    let gateway = gateway(&place, SECRET, None);
    key_file(&place, "credentials.csv", SECRET);
    place.file("photo.jpg", "a photo");
    let start = command_lines(README, "apig-proxy --upstream").remove(0);
    let start = start.replace(GATEWAY, &format!("https://{gateway}"));
    let arguments: Vec<&str> = start.split(' ').skip(1).collect();
    let environment = [
        ("APIG_PROXY_LISTEN", "127.0.0.1:0"),
        ("APIG_PROXY_UPSTREAM_TLS__CA_FILE", "ca.pem"),
    ];
    let mut running = Running::start(place.command(&arguments, &environment));
    let address = running.address().to_string();
    let lines = command_lines(README, "curl http://localhost:8080");
    assert!(lines.len() >= 2, "{lines:?}");
    for line in lines {
        let line = line
            .replace("localhost:8080", &address)
            .replace("<service>", "service");
        let answer = succeeds(&place, &line.replace("curl", "curl -sS --fail-with-body"));
        assert_has(&answer, &["\"verified\":true"]);
    }
    running.stops();
}

#[test]
fn the_run_of_the_readme_gives_a_program_the_port_of_its_service() {
    let place = Place::new();
    let gateway = gateway(&place, SECRET, None);
    key_file(&place, "credentials.csv", SECRET);
    let more = format!("\"vpc.cn-north-4\" = \"https://{gateway}\"\niam = \"https://{gateway}\"\n");
    let file = format!("[upstream_tls]\nca_file = \"ca.pem\"\n[cloud.endpoints]\n{more}");
    place.file("apig-proxy.toml", &file);
    let line = command_lines(README, "apig-proxy run ").remove(0);
    let (run, _) = line.split_once(" -- ").unwrap();
    let url = "$HUAWEICLOUD_SDK_REGION_VPC_CN_NORTH_4/v1/0123/vpcs";
    let call = format!("curl -sS --fail -H \"Authorization: Bearer $APIG_PROXY_TOKEN\" {url}");
    let run = run.replacen("apig-proxy", BINARY, 1);
    let answer = succeeds(&place, &format!("{run} -- sh -c '{call}'"));
    assert_has(
        &answer,
        &["\"verified\":true", "\"path\":\"/v1/0123/vpcs\""],
    );
}

#[test]
fn the_commands_of_the_documentation_have_the_options_that_it_gives_them() {
    let place = Place::new();
    let folder = Path::new(BINARY).parent().unwrap().display();
    let mut count = 0;
    let lines = PAGES
        .iter()
        .flat_map(|page| command_lines(page, "apig-proxy "));
    for line in lines {
        // What is behind a pipe or a redirection is not the program's.
        let line = line.replace(" > ", ";").replace(['<', '>'], "");
        let command = line.split([';', '|']).next().unwrap();
        // Nor is what `run` starts.
        let command = command.split(" -- ").next().unwrap();
        succeeds(
            &place,
            &format!("PATH={folder}:$PATH; {command} --help >/dev/null"),
        );
        count += 1;
    }
    assert!(count >= 4, "{count}");
}

#[test]
fn the_configurations_of_the_documentation_have_no_unknown_key() {
    let place = Place::new();
    let toml: Vec<&str> = PAGES.iter().flat_map(|page| blocks(page, "toml")).collect();
    assert!(toml.len() >= 5, "{}", toml.len());
    for text in toml {
        let text = text.replace("<id>", "id").replace("<service>", "service");
        place.file("c.toml", &text);
        let (_, _, said) = place.run(&["check", "config", "--config", "c.toml"], &KEY);
        for problem in ["no such key", "not valid TOML", "expected a"] {
            assert!(!said.contains(problem), "{text}: {said}");
        }
    }
}

#[test]
fn the_image_is_built_by_the_pinned_toolchain_from_a_base_with_a_full_name() {
    let pinned: toml::Table = include_str!("../../rust-toolchain.toml").parse().unwrap();
    let channel = pinned["toolchain"]["channel"].as_str().unwrap();
    let first = format!("FROM docker.io/library/rust:{channel}-");
    assert_has(include_str!("../../Dockerfile"), &[&first]);
}
