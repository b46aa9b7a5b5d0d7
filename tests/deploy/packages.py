"""The packages of deploy/release.sh: the .deb is installed, started and removed under a real systemd, the .rpm is listed,
and checksums and SBOM are what they say.

    python packages.py FOLDER-OF-RELEASE-FILES
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

from checks import Checks, run
from podman import Podman
from units import Machine

FILES = {
    "/usr/bin/apig-proxy",
    "/usr/lib/systemd/system/apig-proxy.service",
    "/usr/lib/systemd/system/apig-proxy.socket",
    "/usr/share/man/man1/apig-proxy.1.gz",
    "/usr/share/man/man1/apig-proxy-serve.1.gz",
    "/usr/share/bash-completion/completions/apig-proxy",
    "/usr/share/zsh/site-functions/_apig-proxy",
    "/usr/share/fish/vendor_completions.d/apig-proxy.fish",
    "/etc/apig-proxy/config.toml",
}


def files(checks: Checks, folder: Path) -> None:
    checks.succeeds(["sha256sum", "--check", "--strict", "SHA256SUMS"], "the checksums are right", cwd=folder)
    sbom = json.loads((folder / "apig-proxy.cdx.json").read_text())
    names = {component["name"] for component in sbom["components"]}
    checks.check(sbom["bomFormat"] == "CycloneDX" and {"hyper", "rustls", "tokio"} <= names, "the SBOM names what the program is built from")
    listed = run(["rpm", "--query", "--list", "--package", *map(str, folder.glob("*.rpm"))])
    checks.equal(FILES - set(listed.stdout.split()), set(), "files that the .rpm lacks")
    listed = run(["dpkg-deb", "--contents", *map(str, folder.glob("*.deb"))])
    checks.equal(FILES - {line.split()[5].lstrip(".") for line in listed.stdout.splitlines()}, set(), "files that the .deb lacks")


def installed(checks: Checks, machine: Machine, package: Path) -> None:
    """Installs, starts, upgrades, removes and purges the .deb."""
    state = machine.root / "var/lib/dpkg"
    for name in ("info", "updates", "triggers"):
        (state / name).mkdir(parents=True)
    for name in ("status", "available"):
        (state / name).touch()
    shutil.copy(package, machine.root / "etc/package.deb")

    def dpkg(*arguments: str) -> None:
        ended = machine("dpkg", *arguments)
        checks.check(ended.returncode == 0, f"dpkg {arguments[0]}", ended.stdout + ended.stderr)

    dpkg("--install", "/etc/package.deb")
    checks.check(machine("apig-proxy", "--version").stdout.startswith("apig-proxy "), "the program is there")
    checks.equal(machine.show("ActiveState"), "inactive", "nothing is started without a gateway and a key")
    machine.gateway(checks, 1)
    machine.configure("RELEASE")
    machine("systemctl", "start", "apig-proxy.service")
    checks.equal(machine.call(), "200", "the service signs once it is configured")
    process = machine.show("MainPID")
    dpkg("--install", "/etc/package.deb")
    checks.check(machine.show("MainPID") not in ("0", process), "an upgrade restarts a running service")
    checks.equal(machine.call(), "200", "which then answers")
    dpkg("--remove", "apig-proxy")
    checks.equal(machine.call(), "curl ended with 7", "the service is stopped when the package is removed")
    checks.check(machine("test", "-e", "/usr/bin/apig-proxy").returncode != 0, "the program is gone")
    checks.check(machine("test", "-e", "/etc/apig-proxy/config.toml").returncode == 0, "the configuration stays")
    dpkg("--purge", "apig-proxy")
    checks.check(machine("test", "-e", "/etc/apig-proxy/config.toml").returncode != 0, "until the package is purged")


def main() -> int:
    checks = Checks("packages")
    folder = Path(sys.argv[1])
    files(checks, folder)
    with tempfile.TemporaryDirectory() as name:
        podman = Podman(Path(name) / "podman")
        try:
            machine = Machine(podman, Path(name), None)
            installed(checks, machine, next(folder.glob("*.deb")))
        finally:
            podman.close()
    return checks.close()


if __name__ == "__main__":
    sys.exit(main())
