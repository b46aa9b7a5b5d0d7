"""The compose file, carried out by podman-compose.

    python compose.py PATH-OF-STATIC-APIG-PROXY
"""

import os
import sys
import tempfile
from pathlib import Path

import yaml

from checks import Checks, run
from image import CONFINED, USER, build, status, until
from podman import Podman, image_of_programs

COMPOSE = Path(__file__).parents[2] / "deploy/compose.yaml"


def changed(gateway: Path) -> dict:
    """What is other than in earnest: a network that leads nowhere but to a gateway, and a program that calls once."""
    return {
        "services": {
            "apig-proxy": {
                "network_mode": "container:gateway",
                "environment": {"APIG_PROXY_UPSTREAM_TLS__CA_FILE": "/ca.pem"},
                "volumes": [f"{gateway}/ca.pem:/ca.pem:ro"],
            },
            "app": {
                # Podman has systemd check how containers are, which need not be there.
                "depends_on": {"apig-proxy": {"condition": "service_started"}},
                "command": ["-sS", "--fail", "--retry", "30", "--retry-delay", "1", "--retry-all-errors", "--json", '{"a": 1}', "http://localhost:8080/v1/a"],
            },
        }
    }


def carried_out(checks: Checks, podman: Podman, folder: Path) -> None:
    gateway = folder / "gateway"
    gateway.mkdir()
    os.chown(gateway, USER, USER)
    podman.output("run", "--detach", "--name=gateway", "--network=none", *CONFINED, "--volume", f"{gateway}:/gateway", "apig-proxy", "gateway",
                  "--dir=/gateway")
    checks.check(until(lambda: (gateway / "apig-proxy.toml").exists()), "the gateway has started")
    (folder / "changed.yaml").write_text(yaml.safe_dump(changed(gateway)))
    settings = {"PROXY_IMAGE": "localhost/apig-proxy:latest", "APP_IMAGE": "localhost/curl:latest",
                "APIG_PROXY_UPSTREAM": "https://127.0.0.1:8443", "PROXY_CREDENTIALS": f"{gateway}/credentials.csv"}
    command = [str(Path(sys.executable).parent / "podman-compose"), "--in-pod=false", "--project-name=checked", "-f", str(COMPOSE), "-f", str(folder / "changed.yaml")]
    checks.succeeds([*command, "up", "--detach"], "compose starts both", env={**podman.environment, **settings}, cwd=folder)
    names = podman.output("ps", "--all", "--format", "{{.Names}}").split()
    checks.equal(set(names), {"gateway", "checked_apig-proxy_1", "checked_app_1"}, "the containers")
    state = "{{.State.Status}} {{.State.ExitCode}}"
    answered = until(lambda: podman.output("inspect", "--format", state, "checked_app_1") == "exited 0", 40)
    said = podman("logs", "checked_app_1")
    log = podman("logs", "checked_apig-proxy_1").stderr
    checks.check(answered and '"verified":true' in said.stdout, "the program's request is signed and accepted", f"{said.stdout}{said.stderr}{log}")
    found = status(podman.pid("checked_apig-proxy_1"))
    checks.equal((found["Uid"].split()[0], found["NoNewPrivs"], int(found["CapBnd"], 16)), (str(USER), "1", 0), "the proxy has no privileges")
    checks.equal(podman("healthcheck", "run", "checked_apig-proxy_1").returncode, 0, "its health check succeeds")
    checks.succeeds([*command, "down"], "compose ends both", env={**podman.environment, **settings}, cwd=folder)
    missing = run([*command, "up", "--detach"], env={**podman.environment, **settings, "APIG_PROXY_UPSTREAM": ""}, cwd=folder)
    checks.check(missing.returncode != 0 and "the address of the gateway" in missing.stdout + missing.stderr, "without an upstream it says so",
                 missing.stdout + missing.stderr)


def main() -> int:
    checks = Checks("compose")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        podman = Podman(folder / "podman")
        try:
            build(podman, folder, sys.argv[1], "apig-proxy")
            image_of_programs(podman, folder, "curl", "curl")
            carried_out(checks, podman, folder)
        finally:
            podman.close()
    return checks.close()


if __name__ == "__main__":
    sys.exit(main())
