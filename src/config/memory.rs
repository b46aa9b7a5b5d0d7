//! The memory limit of this process, set by the kernel, a container or `ulimit`.
//!
//! The kernel kills a process that exceeds its limit. A proxy that buffers bodies has to shed load
//! before that, so its own limits are lowered to fit.

use std::fs;
use std::path::{Path, PathBuf};

use super::{InspectConfig, Limits};

/// The memory of a connection besides the head of a request, in bytes.
const BESIDE: u64 = 32 * 1024;

/// A larger limit means no limit: files say so with the largest possible number.
const NONE: u64 = 1 << 50;

/// The smallest memory limit of this process, in bytes.
pub(super) fn limit() -> Option<u64> {
    let cgroups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let by_cgroup = cgroup_limit(&cgroups, Path::new("/sys/fs/cgroup"));
    by_cgroup.into_iter().chain(resource_limit()).min()
}

/// Lowers limits to fit a memory limit; `true` if they were higher. Bodies get three eighths of it, of
/// which the inspector takes half at most. Connections get a quarter, if each has the largest head.
/// The rest is for the program, and for freed memory that the allocator keeps for a while.
pub(super) fn fit(limits: &mut Limits, inspect: &mut InspectConfig, memory: u64) -> bool {
    let bodies = memory / 8 * 3;
    let wanted = if inspect.enabled {
        inspect.memory as u64
    } else {
        0
    };
    let inspected = wanted.min(bodies / 2);
    let buffered = bodies - inspected;
    let connections = memory / 4 / (limits.header as u64 + BESIDE);
    let connections = usize::try_from(connections).unwrap_or(usize::MAX).max(1);
    let is_too_much =
        limits.buffered > buffered || limits.connections > connections || wanted > inspected;
    if inspect.enabled {
        inspect.memory = usize::try_from(inspected).unwrap_or(usize::MAX);
    }
    limits.buffered = limits.buffered.min(buffered);
    limits.connections = limits.connections.min(connections);
    is_too_much
}

/// The smallest limit of resources (`ulimit`), where the system has those.
fn resource_limit() -> Option<u64> {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Resource, getrlimit};
        let limits = [Resource::Data, Resource::As].map(|resource| getrlimit(resource).current);
        let limits = limits.into_iter().flatten();
        limits.filter(|limit| *limit < NONE).min()
    }
    #[cfg(not(target_os = "linux"))]
    None
}

/// The smallest limit of the groups that a process is in, and of those above them. `cgroups` is
/// what `/proc/self/cgroup` says, `mounted` where the groups are.
fn cgroup_limit(cgroups: &str, mounted: &Path) -> Option<u64> {
    let files = cgroups.lines().flat_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next(), parts.next(), parts.next());
        let path = path.unwrap_or_default();
        match controllers {
            Some("") => above(mounted, path, "memory.max"),
            Some(list) if list.split(',').any(|controller| controller == "memory") => {
                above(&mounted.join("memory"), path, "memory.limit_in_bytes")
            }
            _ => Vec::new(),
        }
    });
    let limits = files.filter_map(|file| fs::read_to_string(file).ok()?.trim().parse().ok());
    limits.filter(|limit| *limit < NONE).min()
}

/// The file of a group and of all above it. In a container, only the topmost one is there.
fn above(mounted: &Path, path: &str, name: &str) -> Vec<PathBuf> {
    let group = mounted.join(path.trim_start_matches('/'));
    let groups = group
        .ancestors()
        .take_while(|group| group.starts_with(mounted));
    groups.map(|group| group.join(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_limit_of_a_group_and_those_above_it_holds() {
        let second = ["memory.max max", "a/memory.max 300", "a/b/memory.max 200"];
        let first = [
            "memory/memory.limit_in_bytes 9223372036854771712",
            "memory/a/memory.limit_in_bytes 100",
        ];
        let cgroups = "5:cpu:/x\n4:memory,hugetlb:/a\n0::/\n";
        for (cgroups, files, expected) in [
            ("0::/a/b\n", &second[..], Some(200)),
            ("0::/a/b\n", &second[..2], Some(300)),
            // In a container, the group's own path is often not there.
            ("0::/../../x\n", &["memory.max 7"], Some(7)),
            // The first version of groups.
            (cgroups, &first, Some(100)),
            (cgroups, &first[..1], None),
            ("garbage", &first, None),
        ] {
            let folder = tempfile::tempdir().unwrap();
            for (name, content) in files.iter().map(|file| file.split_once(' ').unwrap()) {
                let path = folder.path().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, format!("{content}\n")).unwrap();
            }
            assert_eq!(
                cgroup_limit(cgroups, folder.path()),
                expected,
                "{cgroups} {files:?}"
            );
        }
    }
}
