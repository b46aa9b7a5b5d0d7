//! What hangs holds up neither requests nor the end: a service that never
//! answers, a proxy that does not go on.

use std::net::TcpListener;

use crate::program::{Place, Running, assert_has, signal};

#[test]
fn a_service_that_never_answers_does_not_keep_a_start_from_being_stopped() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = Place::new();
    for name in ["user", "password", "domain"] {
        place.file(name, "x");
    }
    let config = format!(
        "listen = \"127.0.0.1:0\"\nupstream = \"https://127.0.0.1:1\"\n[auth]\nmode = \"token\"\n[credentials]\n\
         iam_endpoint = \"http://{}\"\niam_user_file = \"user\"\niam_password_file = \"password\"\niam_domain_file = \"domain\"\n",
        silent.local_addr().unwrap()
    );
    place.file("c.toml", &config);
    let program = Running::start(place.command(&["--config", "c.toml"], &[]));
    // It has asked, and so it takes signals.
    let (_asked, _) = silent.accept().unwrap();
    signal(program.id(), "HUP");
    let said = program.stops();
    assert_has(&said, &["stopped before the start was complete"]);
    assert!(!said.contains("listening on"), "{said}");
}
