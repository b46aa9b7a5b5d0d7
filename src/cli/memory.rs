//! The memory of this process, which holds the key: kept from other processes and off the disk.

/// Keeps the memory of this process from other processes of the same user, and out of core dumps. To be
/// called before anything else. Programs that are privileged can read it all the same.
///
/// What the system refuses is said, and is no reason not to go on.
#[cfg(target_os = "linux")]
pub fn keep_private() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit};
    use rustix::process::{set_dumpable_behavior, setrlimit};

    use super::say;

    let warn = |what: &str, error: rustix::io::Errno| {
        say(format_args!("warning: {what}: {error}"));
    };
    // Also makes root the owner of /proc/PID/environ, mem and others. The limit alone would not do: a
    // program that the kernel pipes core dumps to is started in spite of it.
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        warn(
            "the memory cannot be kept from other processes of this user",
            error,
        );
    }
    let nothing = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    if let Err(error) = setrlimit(Resource::Core, nothing) {
        warn("core dumps cannot be switched off", error);
    }
}

/// Does nothing: how it is done depends on the system.
#[cfg(not(target_os = "linux"))]
pub fn keep_private() {}
