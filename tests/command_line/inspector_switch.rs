//! The inspector of a running program: on and off, its token and where that is, and what the log
//! does not say.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::gateway::Scene;
use crate::load::{Load, call};
use crate::program::{GET, Place, Running, assert_has, assert_status, exchange, mode, wait_until};

const ON: &str = "[inspect]\nenabled = true\n";
const ADMIN: (&str, &str) = ("APIG_PROXY_ADMIN", "127.0.0.1:0");
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A program before a gateway, with a folder for the token of its inspector.
fn start(arguments: &[&str], more: &str) -> Scene {
    let place = Place::new();
    let run = place.path().join("run");
    fs::create_dir(&run).unwrap();
    let run = run.to_str().unwrap().to_owned();
    let environment = [ADMIN, ("XDG_RUNTIME_DIR", &run)];
    Scene::with(place, arguments, &environment, more)
}

fn file(scene: &Scene) -> PathBuf {
    let port = scene.admin.unwrap().port();
    scene
        .place
        .path()
        .join(format!("run/apig-proxy/inspect-{port}"))
}

/// What the inspector tells of its state to whoever shows this token.
fn state(scene: &Scene, token: &str) -> String {
    let request = format!(
        "GET /inspect/v1/state HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    exchange(scene.admin.unwrap(), &request)
}

/// The token in a file that only its owner can read.
fn token(file: &Path) -> String {
    assert_eq!((mode(file), mode(file.parent().unwrap())), (0o600, 0o700));
    fs::read_to_string(file).unwrap().trim_end().to_owned()
}

#[test]
fn a_reload_turns_it_on_and_off_and_changes_what_it_keeps() {
    let mut scene = start(&[], "");
    assert_status(&state(&scene, TOKEN), 404);
    let line = scene.reload(ON);
    assert_has(&line, &["changed: inspect.enabled"]);
    let made = token(&file(&scene));
    assert_has(
        &state(&scene, &made),
        &["200 OK", "\"is_recording\":true", "\"requests_limit\":500"],
    );
    assert_status(&state(&scene, TOKEN), 401);
    exchange(scene.address, GET);
    scene.reload(&format!(
        "{ON}requests = 7\nreplay = \"off\"\nbodies = \"off\"\n"
    ));
    let changed = [
        "\"requests_limit\":7,",
        "\"replay\":\"off\"",
        "\"bodies\":0,",
    ];
    assert_has(&state(&scene, &made), &changed);
    scene.place.file("token", TOKEN);
    let with_file = format!("{ON}token_file = \"token\"\n");
    scene.reload(&with_file);
    assert_eq!(token(&file(&scene)), TOKEN);
    assert_status(&state(&scene, &made), 401);
    assert_status(&state(&scene, TOKEN), 200);
    scene.place.file("token", &TOKEN.replace('0', "1"));
    scene.reload(&with_file);
    assert_status(&state(&scene, TOKEN), 401);
    scene.reload("");
    assert!(!file(&scene).exists());
    assert_status(&state(&scene, &made), 404);
    // The token of this start is still the same, so that open pages go on.
    scene.reload(ON);
    wait_until("what was kept is forgotten", || {
        state(&scene, &made).contains("\"kept\":0,")
    });
    let file = file(&scene);
    let said = scene.program.stops();
    assert!(!file.exists());
    assert!(!said.contains(&made) && !said.contains(TOKEN), "{said}");
}

#[test]
fn the_option_turns_it_on_and_the_command_finds_it_also_at_a_unix_socket() {
    let scene = start(&["serve", "--inspect"], "");
    exchange(scene.address, GET);
    let run = scene.place.path().join("run");
    let environment = [("XDG_RUNTIME_DIR", run.to_str().unwrap())];
    // A request is listed a moment after its end.
    let lists_one = |admin: &str| {
        let arguments = ["inspect", "--once", "--json", "--admin", admin];
        wait_until("a request is listed", || {
            let (code, listed, said) = scene.place.run(&arguments, &environment);
            assert_eq!(code, 0, "{said}");
            listed.lines().count() == 1
        });
    };
    lists_one(&scene.admin.unwrap().to_string());
    let socket = format!("unix:{}", scene.place.path().join("admin.sock").display());
    let arguments = ["serve", "--inspect", "--admin", &socket];
    let mut other = Running::start(scene.place.command(&arguments, &environment));
    exchange(other.address(), GET);
    lists_one(&socket);
    other.stops();
    scene.program.stops();
}

#[test]
fn turning_it_on_and_off_under_load_fails_no_request() {
    let mut scene = start(&[], "");
    let address = scene.address;
    let load = Load::start(move |state| call(address, state));
    for _ in 0..10 {
        load.wait_for(50);
        scene.reload(ON);
        load.wait_for(50);
        assert_has(&state(&scene, &token(&file(&scene))), &["200 OK"]);
        scene.reload("");
    }
    load.end();
    scene.program.stops();
}

#[test]
fn a_folder_that_others_can_open_gets_no_token_and_the_proxy_serves() {
    let place = Place::new();
    let folder = place.path().join("apig-proxy");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).unwrap();
    let runtime = place.path().to_str().unwrap().to_owned();
    let scene = Scene::with(place, &[], &[ADMIN, ("XDG_RUNTIME_DIR", &runtime)], ON);
    assert_eq!(scene.status(), "200");
    let said = scene.program.stops();
    assert_has(&said, &["could not be written", "inspect.token_file"]);
    assert_eq!(fs::read_dir(folder).unwrap().count(), 0);
}
