//! The keys of the inspector: its token, its place and its memory.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use secrecy::ExposeSecret;

use super::{URL, config};
use crate::config::memory::fit;
use crate::config::{Problems, ReplayPolicy, from_text};

fn read(text: &str) -> Result<crate::config::InspectConfig, Problems> {
    let text = format!("upstream = \"{URL}\"\n{text}");
    from_text("x.toml".as_ref(), &text).map(|config| config.inspect)
}

#[test]
fn it_is_off_unless_enabled_and_keeps_what_its_keys_say() {
    let usual = config("").inspect;
    assert!(!usual.enabled && usual.token.is_none());
    assert_eq!((usual.requests, usual.memory), (500, 32 << 20));
    assert_eq!((usual.bodies, usual.replay), (64 << 10, ReplayPolicy::Ask));
    let other = config(
        "[inspect]\nenabled = true\nbodies = \"off\"\nreplay = \"safe\"\nreveal = [\"X-Session\"]\n",
    );
    assert_eq!(
        (other.inspect.bodies, other.inspect.replay),
        (0, ReplayPolicy::Safe)
    );
    assert!(other.inspect.enabled && other.inspect.reveal == ["x-session"]);
}

#[test]
fn it_needs_the_admin_listener_also_as_a_unix_socket() {
    let enabled = "[inspect]\nenabled = true\n";
    let problems = read(&format!("admin = \"off\"\n{enabled}"))
        .unwrap_err()
        .to_string();
    assert!(problems.contains("inspect.enabled: the inspector is served by the admin listener"));
    assert!(problems.contains("hint: set `admin`"), "{problems}");
    for admin in ["unix:/run/admin.sock", "127.0.0.1:9"] {
        assert!(
            read(&format!("admin = \"{admin}\"\n{enabled}"))
                .unwrap()
                .enabled
        );
    }
    // Where it is not enabled, it needs nothing.
    assert!(!read("admin = \"off\"\n").unwrap().enabled);
}

#[test]
fn a_token_has_32_characters_and_other_users_cannot_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let read = |content: &str, mode: u32| {
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        read(&format!("inspect.token_file = \"{}\"\n", path.display()))
    };
    let token = "MARKER-0123456789_abcdefghijklmn";
    let config = read(&format!(" {token}\n"), 0o600).unwrap();
    assert_eq!(config.token.as_ref().unwrap().expose_secret(), token);
    assert!(!format!("{config:?}").contains("MARKER"));
    for (content, mode, expected) in [
        (token, 0o604, "open to other users"),
        (&token[1..], 0o600, "at least 32"),
        ("MARKER 0123456789_abcdefghijklmno", 0o600, "at least 32"),
        ("MARKER#0123456789_abcdefghijklmno", 0o600, "at least 32"),
    ] {
        let problems = read(content, mode).unwrap_err().to_string();
        assert!(
            problems.contains(expected) && !problems.contains("MARKER"),
            "{problems}"
        );
    }
}

#[test]
fn its_memory_and_that_of_held_bodies_share_three_eighths() {
    let mib = |count: u64| count << 20;
    for (enabled, memory, inspected, buffered) in [
        (true, 160, 30, 30),
        (true, 800, 32, 256),
        (true, 240, 32, 58),
        (false, 160, 32, 60),
    ] {
        let mut config = config("");
        config.inspect.enabled = enabled;
        config.limits.connections = 1;
        let is_too_much = fit(&mut config.limits, &mut config.inspect, mib(memory));
        assert_eq!(config.inspect.memory as u64, mib(inspected), "{memory}");
        assert_eq!(config.limits.buffered, mib(buffered), "{memory}");
        assert_eq!(is_too_much, memory < 800, "{memory}");
    }
}
