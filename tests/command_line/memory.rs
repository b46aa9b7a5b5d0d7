//! Who can read the memory of the program, which holds the key.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::program::{BINARY, Place, Running, SERVE, wait_until};

/// A user without rights.
const NOBODY: &str = "65534";

/// A command as a user without rights. That is the one of the test, unless it is root's.
fn as_user(place: &Place, program: &Path) -> Command {
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let mut command = if is_root {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]);
        command.arg(program);
        command
    } else {
        Command::new(program)
    };
    command
        .current_dir(place.path())
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HUAWEICLOUD_SDK_AK", "AK")
        .env("HUAWEICLOUD_SDK_SK", "MARKER")
        .stdin(Stdio::null());
    command
}

/// What another process of the same user reads of a process.
fn read(place: &Place, id: u32, file: &str) -> Result<String, String> {
    let mut command = as_user(place, Path::new("head"));
    command.args(["-c", "100000", &format!("/proc/{id}/{file}")]);
    let output = command.output().unwrap();
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn other_processes_of_the_same_user_read_neither_environment_nor_memory() {
    let place = Place::new();
    fs::set_permissions(place.path(), Permissions::from_mode(0o755)).unwrap();
    // Where the test is built, another user may have no access.
    let program = place.path().join("apig-proxy");
    fs::copy(BINARY, &program).unwrap();
    // Of a program that does nothing about it, the same way finds the secret.
    let mut sleep = as_user(&place, Path::new("sleep"));
    let other = Killed(sleep.arg("60").spawn().unwrap());
    let has_secret = |seen: String| seen.contains("SK=MARKER");
    wait_until("the secret of another program is read", || {
        read(&place, other.0.id(), "environ").is_ok_and(has_secret)
    });

    let mut command = as_user(&place, &program);
    command.args(SERVE).args(["--admin", "off"]);
    let mut running = Running::start(command);
    running.address();
    for file in ["environ", "mem", "maps"] {
        let refused = read(&place, running.id(), file).unwrap_err();
        assert!(refused.contains("denied"), "{file}: {refused}");
    }
    let limits = fs::read_to_string(format!("/proc/{}/limits", running.id())).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let values: Vec<&str> = core.unwrap().split_whitespace().skip(4).collect();
    assert_eq!(values[..2], ["0", "0"], "{limits}");
    let said = running.stops();
    assert!(!said.contains("warning"), "{said}");
}
