"""Podman, with everything that it keeps in a folder of its own."""

import os
import resource
import shutil
import subprocess
from pathlib import Path

from checks import output, run

# A machine that is itself a guest may have no control groups of version 2, no overlay file system, and hard limits that
# root may not raise: podman asks for its own limits, and a container does not start if it cannot get them.
CONTAINERS = """
[containers]
default_ulimits = ["nofile={files}:{files}", "nproc={processes}:{processes}"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
"""
STORAGE = """
[storage]
driver = "vfs"
graphroot = "{folder}/graph"
runroot = "{folder}/run"
"""


def at_most(kind: int, wanted: int) -> int:
    hard = resource.getrlimit(kind)[1]
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


class Podman:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        limits = {"files": at_most(resource.RLIMIT_NOFILE, 16384), "processes": at_most(resource.RLIMIT_NPROC, 4096)}
        (folder / "containers.conf").write_text(CONTAINERS.format(**limits))
        (folder / "storage.conf").write_text(STORAGE.format(folder=folder))
        self.environment = {**os.environ, "CONTAINERS_CONF": str(folder / "containers.conf"),
                            "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf")}

    def __call__(self, *arguments: str, **more) -> subprocess.CompletedProcess:
        return run(["podman", *arguments], env=self.environment, **more)

    def output(self, *arguments: str, **more) -> str:
        return output(["podman", *arguments], env=self.environment, **more).strip()

    def build(self, folder: Path, tag: str, *arguments: str) -> str:
        """Builds an image of what is in a folder; its id."""
        return self.output("build", "--quiet", "--isolation=chroot", "--format=docker", "--tag", tag, *arguments, str(folder))

    def pid(self, name: str) -> int:
        return int(self.output("inspect", "--format", "{{.State.Pid}}", name))

    def close(self) -> None:
        """Ends and removes all of it."""
        self("pod", "rm", "--all", "--force", "--time", "0")
        self("rm", "--all", "--force", "--time", "0")
        self("rmi", "--all", "--force")
        shutil.rmtree(self.folder, ignore_errors=True)


def image_of_programs(podman: Podman, folder: Path, tag: str, *programs: str) -> None:
    """An image that holds some programs of this machine, and the libraries that they need. The first one is run."""
    root = folder / tag
    for program in programs:
        found = Path(shutil.which(program))
        place = root / "bin" / program
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(found, place)
        libraries = [word for word in output(["ldd", str(found)]).split() if word.startswith("/")]
        for library in libraries:
            place = root / library.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, place)
    (root / "Containerfile").write_text(f'FROM scratch\nCOPY . /\nENV PATH=/bin\nENTRYPOINT ["/bin/{programs[0]}"]\n')
    podman.build(root, tag)
