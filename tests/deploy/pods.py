"""The pods of the manifests, played by podman: a Job beside the proxy, which ends by itself or is told to.

    python pods.py PATH-OF-STATIC-APIG-PROXY

Podman knows no sidecars, so that of the Job runs as a container like the others; and it gives secrets to everybody,
so that the key comes from a folder instead.
"""

import os
import sys
import tempfile
from pathlib import Path

import yaml

from checks import Checks
from image import USER, build, until
from kustomize import objects, one, overlay
from podman import Podman, image_of_programs

CONFIG = """
upstream = "https://127.0.0.1:8443"
[credentials]
file = "/run/secrets/apig-proxy/credentials.csv"
[upstream_tls]
ca_file = "/run/secrets/apig-proxy/ca.pem"
"""
IMAGES = {"apig-proxy": "localhost/apig-proxy", "app": "localhost/curl"}
CALL = ["-sS", "--fail", "--retry", "30", "--retry-delay", "1", "--retry-all-errors", "--json", '{"a": 1}', "http://localhost:8080/v1/a"]


def pod_of(base: str, keys: Path, arguments: list[str]) -> tuple[str, dict]:
    """The ConfigMap and the pod of a Job, with a gateway in it."""
    found = objects(overlay(base, CONFIG, IMAGES))
    spec = one(found, "Job")["spec"]["template"]["spec"]
    containers = spec["containers"] + spec.pop("initContainers", [])
    for container in containers:
        container["imagePullPolicy"] = "Never"
        # Podman has systemd run probes, which need not be there.
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            container.pop(probe, None)
        # Nor does it restart a single container.
        container.pop("restartPolicy", None)
    named = {container["name"]: container for container in containers}
    named["app"]["args"] = arguments
    proxy = named["apig-proxy"]
    gateway = {**proxy, "name": "gateway", "args": ["gateway", "--dir=/keys"], "volumeMounts": [{"name": "keys", "mountPath": "/keys"}]}
    volumes = [volume for volume in spec["volumes"] if "secret" not in volume]
    place = {"hostPath": {"path": str(keys), "type": "Directory"}}
    spec["volumes"] = [*volumes, {"name": "apig-proxy-credentials", **place}, {"name": "keys", **place}]
    # The key is there once the gateway has started: until then the proxy ends, and is started again.
    spec.update(containers=[gateway, *containers], restartPolicy="OnFailure")
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": base}, "spec": spec}
    return yaml.safe_dump(one(found, "ConfigMap")), pod


def play(podman: Podman, folder: Path, base: str, arguments: list[str]) -> None:
    keys = folder / f"{base}-keys"
    keys.mkdir()
    os.chown(keys, USER, USER)
    config, pod = pod_of(base, keys, arguments)
    (folder / "config.yaml").write_text(config)
    (folder / "pod.yaml").write_text(yaml.safe_dump(pod))
    podman.output("kube", "play", "--network=none", f"--configmap={folder}/config.yaml", str(folder / "pod.yaml"))


def state(podman: Podman, name: str) -> str:
    return podman.output("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", name)


def ended(checks: Checks, podman: Podman, name: str, seconds: float = 40) -> None:
    there = until(lambda: state(podman, name) == "exited 0", seconds)
    said = podman("logs", name)
    checks.check(there, f"{name} has ended with 0", f"{state(podman, name)} {said.stdout[-1000:]}{said.stderr[-1000:]}")


def main() -> int:
    checks = Checks("pods")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        podman = Podman(folder / "podman")
        try:
            build(podman, folder, sys.argv[1], "apig-proxy")
            image_of_programs(podman, folder, "curl", "curl", "sh")
            play(podman, folder, "job", CALL)
            ended(checks, podman, "job-app")
            answer = podman("logs", "job-app").stdout
            checks.check('"body_bytes":8' in answer.replace(" ", ""), "the gateway has taken what the program sent", answer)
            checks.equal(state(podman, "job-apig-proxy"), "running 0", "the proxy runs on")
            podman.output("stop", "--time=20", "job-apig-proxy")
            ended(checks, podman, "job-apig-proxy", 1)
            podman.output("pod", "rm", "--force", "--time=1", "job")
            play(podman, folder, "job-with-quit", ["curl", *CALL])
            ended(checks, podman, "job-with-quit-app")
            ended(checks, podman, "job-with-quit-apig-proxy")
        finally:
            podman.close()
    return checks.close()


if __name__ == "__main__":
    sys.exit(main())
