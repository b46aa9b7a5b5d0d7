//! Keeps the memory of this process, which holds the keys, from other processes and off the disk.
//!
//! What the system refuses is reported, and the program goes on. Privileged programs can read the
//! memory all the same.

/// Denies ptrace by other processes of the same user, and disables core dumps. Called before anything else.
#[cfg(target_os = "linux")]
pub fn protect_memory() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit};
    use rustix::process::{set_dumpable_behavior, setrlimit};

    // Also makes root the owner of /proc/PID/environ, mem and others. The limit alone is not enough:
    // the kernel ignores it when it pipes core dumps to a program.
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        super::say(format_args!(
            "warning: the memory cannot be kept from other processes of this user: {error}"
        ));
    }
    let nothing = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    if let Err(error) = setrlimit(Resource::Core, nothing) {
        super::say(format_args!(
            "warning: core dumps cannot be switched off: {error}"
        ));
    }
}

/// Does nothing: the system calls exist on Linux only.
#[cfg(not(target_os = "linux"))]
pub fn protect_memory() {}
