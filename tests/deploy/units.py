"""The systemd units: what systemd-analyze says of them, and how they run under a real systemd, in a container.

    python units.py PATH-OF-STATIC-APIG-PROXY
"""

import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

from checks import Checks, run
from image import until
from podman import Podman

ROOT = Path(__file__).parents[2]
UNITS = [ROOT / "deploy/systemd/apig-proxy.service", ROOT / "deploy/systemd/apig-proxy.socket"]
INSTALLED = "/usr/local/bin/apig-proxy"
LOOSEST = 1.5

CONFIG = """
upstream = "https://127.0.0.1:8443"
stage = "{stage}"
[upstream_tls]
ca_file = "ca.pem"
"""
# Reaching this target is all that the container is started for.
TARGET = """
[Unit]
Requires=basic.target
After=basic.target
AllowIsolate=yes
"""


def analysis(checks: Checks, folder: Path, binary: str) -> None:
    for unit in UNITS:
        text = unit.read_text()
        (folder / unit.name).write_text(text.replace(INSTALLED, binary))
    checks.check(INSTALLED in UNITS[0].read_text(), f"the unit starts {INSTALLED}")
    copies = [str(folder / unit.name) for unit in UNITS]
    verified = run(["systemd-analyze", "verify", *copies])
    checks.equal((verified.returncode, verified.stdout + verified.stderr), (0, ""), "systemd-analyze has nothing to say against the units")
    security = run(["systemd-analyze", "security", "--offline=true", "--no-pager", copies[0]])
    found = re.search(r"Overall exposure level for \S+: (\d+\.\d+)", security.stdout)
    level = float(found[1]) if found else 10.0
    checks.check(level <= LOOSEST, f"exposure {level}, at most {LOOSEST}", security.stdout + security.stderr)


# Nothing of this machine is changed: what a container writes to /usr stays in its memory.
WRITABLE_USR = ("mkdir -p /mnt && mount -t tmpfs none /mnt && mkdir /mnt/upper /mnt/work && "
                "mount -t overlay -o lowerdir=/usr,upperdir=/mnt/upper,workdir=/mnt/work none /usr && ")


class Machine:
    """A systemd that runs as the first process of a container, with the programs of this machine.

    It has the proxy as the guide installs it, or no proxy and a /usr that packages can be installed into."""

    def __init__(self, podman: Podman, folder: Path, binary: str | None) -> None:
        self.podman = podman
        self.root = folder / "root"
        for name in ("etc/systemd/system/apig-proxy.service.d", "etc/apig-proxy", "local/bin", "usr", "var", "run", "tmp", "proc", "sys", "dev"):
            (self.root / name).mkdir(parents=True)
        for name in ("bin", "sbin", "lib", "lib64"):
            (self.root / name).symlink_to(f"usr/{name}")
        for name in ("passwd", "group", "nsswitch.conf"):
            shutil.copy(f"/etc/{name}", self.root / "etc")
        (self.root / "etc/machine-id").touch()
        units = self.root / "etc/systemd/system"
        for unit in UNITS if binary else []:
            shutil.copy(unit, units)
        (units / "checks.target").write_text(TARGET)
        # What takes half a minute in earnest takes two seconds here.
        (units / "apig-proxy.service.d/checks.conf").write_text("[Service]\nWatchdogSec=2s\n")
        if binary:
            shutil.copy(binary, self.root / "local/bin/apig-proxy")
        volumes = ["--volume=/usr:/usr:ro", f"--volume={self.root}/local:/usr/local:ro"]
        # systemd makes mounts for its services and wants those to be seen by them.
        first = ("" if binary else WRITABLE_USR) + "mount --make-rshared / && exec /lib/systemd/systemd --unit=checks.target"
        podman.output("run", "--detach", "--name=machine", "--network=none", "--systemd=always", "--cap-add=SYS_ADMIN,SYS_PTRACE", *volumes,
                      "--rootfs", str(self.root), "sh", "-c", first)
        if not until(lambda: self("systemctl", "is-system-running").stdout.strip() in ("running", "degraded"), 60):
            raise RuntimeError(f"systemd does not start: {podman('logs', 'machine')}")

    def __call__(self, *command: str, **more):
        return self.podman("exec", "machine", *command, **more)

    def show(self, what: str, unit: str = "apig-proxy.service") -> str:
        return self("systemctl", "show", "--property", what, "--value", unit).stdout.strip()

    def log(self) -> str:
        return self("journalctl", "--no-pager", "--unit=apig-proxy.service", "--output=cat").stdout[-3000:]

    def gateway(self, checks: Checks, number: int) -> None:
        """Starts a gateway, in place of the one before, and installs the key that it takes."""
        self("systemctl", "stop", "gateway.service")
        folder = f"/run/gateway-{number}"
        self("systemd-run", "--quiet", "--unit=gateway", "apig-proxy", "gateway", f"--dir={folder}")
        there = until(lambda: self("test", "-e", f"{folder}/apig-proxy.toml").returncode == 0)
        checks.check(there, f"gateway {number} has started")
        for name, mode in (("credentials.csv", "0600"), ("ca.pem", "0644")):
            self("install", "-m", mode, f"{folder}/{name}", f"/etc/apig-proxy/{name}")

    def configure(self, stage: str) -> None:
        (self.root / "etc/apig-proxy/config.toml").write_text(CONFIG.format(stage=stage))

    def call(self, *more: str) -> str:
        """The status of an answer, or curl's exit code."""
        said = self("curl", "-sS", "--max-time", "20", "--output", "/dev/null", "--write-out", "%{http_code} ", "http://localhost:8080/v1/a", *more)
        return said.stdout.strip() if said.returncode == 0 else f"curl ended with {said.returncode}"


def confinement(checks: Checks, machine: Machine) -> None:
    inside = machine.show("MainPID")
    found = dict(line.split(":", 1) for line in machine("cat", f"/proc/{inside}/status").stdout.splitlines())
    checks.check(int(found["Uid"].split()[0]) > 60000, "the service runs as a user of its own", found["Uid"])
    checks.equal({found[kind].strip() for kind in ("CapPrm", "CapEff", "CapBnd", "CapAmb")}, {"0" * 16}, "it has no capability")
    checks.equal((found["NoNewPrivs"].strip(), found["Seccomp"].strip()), ("1", "2"), "it gains none, and its system calls are filtered")
    checks.check("WARN" not in machine.log(), "nothing that it wants to do is denied", machine.log())


def start(checks: Checks, machine: Machine) -> bool:
    """Whether it starts, by its socket."""
    machine.gateway(checks, 1)
    machine.configure("RELEASE")
    machine("systemctl", "start", "apig-proxy.socket")
    checks.equal(machine.show("ActiveState"), "inactive", "the service does not run before anybody calls")
    checks.equal(machine.call(), "200", "the first caller starts it, and waits for it")
    if not checks.check(machine.show("ActiveState") == "active", "it has said that it is ready", machine.log()):
        return False
    checks.equal(machine("apig-proxy", "check", "ready").returncode, 0, "and says so at its admin listener")
    checks.check("/run/credentials/apig-proxy.service/credentials.csv" in machine.log(), "its key comes from systemd", machine.log())
    return True


def reload(checks: Checks, machine: Machine) -> None:
    """A changed configuration, in the same process."""
    process = machine.show("MainPID")
    machine.configure("NONE")
    checks.equal(machine("systemctl", "reload", "apig-proxy.service").returncode, 0, "it reloads")
    checks.check(until(lambda: machine.call() == "404", 5), "and has read its configuration again", machine.log())
    machine.configure("RELEASE")
    machine("systemctl", "reload", "apig-proxy.service")
    checks.check(until(lambda: machine.call() == "200", 5), "back again", machine.log())
    checks.equal(machine.show("MainPID"), process, "it is the same process")


def another_key(checks: Checks, machine: Machine) -> None:
    """A key is replaced, and the service is restarted for it behind its socket, while programs call."""
    machine.gateway(checks, 2)
    checks.check(machine.call() in ("401", "502"), "the gateway has another key and another certificate now")
    call = "curl -s --max-time 20 -o /dev/null -w '%{http_code}\\n' http://localhost:8080/v1/a"
    machine("sh", "-c", f"(for _ in $(seq 100); do {call}; sleep 0.02; done) > /run/calls 2>&1 &")
    time.sleep(0.5)
    checks.equal(machine("systemctl", "restart", "apig-proxy.service").returncode, 0, "it restarts")
    until(lambda: len(machine("cat", "/run/calls").stdout.split()) >= 100)
    answers = machine("cat", "/run/calls").stdout.split()
    checks.equal(len(answers), 100, "calls over the restart")
    checks.check(set(answers) <= {"200", "401", "502", "503"}, "each of them was answered", str(answers))
    checks.equal(answers[-1:], ["200"], "the new key is in use")


def hanging(checks: Checks, machine: Machine) -> None:
    """The watchdog."""
    stuck = machine.show("MainPID")
    if not checks.check(int(stuck) > 1, "it runs"):
        return
    machine("kill", "-STOP", stuck)
    restarted = until(lambda: machine.show("MainPID") not in ("0", stuck) and machine.show("ActiveState") == "active", 30)
    checks.check(restarted, "one that hangs is ended and started again", machine.log())
    checks.equal(machine.call(), "200", "which then answers")


def end(checks: Checks, machine: Machine) -> None:
    machine("systemctl", "stop", "apig-proxy.socket", "apig-proxy.service")
    checks.equal((machine.show("Result"), machine.show("ExecMainStatus")), ("success", "0"), "it ends with 0")
    machine("rm", "/etc/apig-proxy/credentials.csv")
    machine("systemctl", "start", "apig-proxy.service")
    checks.check(machine.show("ActiveState") != "active", "without a key it does not start")


def main() -> int:
    checks = Checks("units")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        analysis(checks, folder, sys.argv[1])
        podman = Podman(folder / "podman")
        try:
            machine = Machine(podman, folder, str(Path(sys.argv[1]).resolve()))
            if start(checks, machine):
                for step in (confinement, reload, another_key, hanging, end):
                    step(checks, machine)
        finally:
            podman.close()
    return checks.close()


if __name__ == "__main__":
    sys.exit(main())
