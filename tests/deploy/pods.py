"""The pods of the manifests, played by podman: a Job beside the proxy, which ends by itself or is told to, and the
gateway for a team, which drains.

    python pods.py PATH-OF-STATIC-APIG-PROXY

Podman knows no sidecars, so that of the Job runs as a container like the others; and it gives secrets to everybody,
so that the key comes from a folder instead.
"""

import os
import re
import sys
import tempfile
from pathlib import Path

import yaml

from checks import Checks, output
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
NAME = "apig-gateway.checked.svc"
TOKEN = "0123456789abcdef" * 4
IMAGES = {"apig-proxy": "localhost/apig-proxy", "app": "localhost/curl"}
CALL = ["-sS", "--fail", "--retry", "30", "--retry-delay", "1", "--retry-all-errors", "--json", '{"a": 1}', "http://localhost:8080/v1/a"]


def playable(spec: dict, secret: str, keys: Path) -> dict:
    """A pod as podman can play it, with a gateway in it that leaves its key where the secret would be."""
    containers = spec["containers"] + spec.pop("initContainers", [])
    for container in containers:
        container["imagePullPolicy"] = "Never"
        container.pop("ports", None)
        # Podman has systemd run probes, which need not be there.
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            container.pop(probe, None)
        # Nor does it restart a single container.
        container.pop("restartPolicy", None)
    proxy = next(container for container in containers if container["name"] == "apig-proxy")
    gateway = {"name": "gateway", "image": proxy["image"], "imagePullPolicy": "Never", "args": ["gateway", "--dir=/keys"],
               "securityContext": {"runAsUser": USER, "runAsGroup": USER}, "volumeMounts": [{"name": "keys", "mountPath": "/keys"}]}
    place = {"hostPath": {"path": str(keys), "type": "Directory"}}
    volumes = [volume for volume in spec["volumes"] if "configMap" in volume]
    # The key is there once the gateway has started: until then the proxy ends, and is started again.
    return {**spec, "containers": [gateway, *containers], "restartPolicy": "OnFailure", "topologySpreadConstraints": [],
            "volumes": [*volumes, {"name": secret, **place}, {"name": "keys", **place}]}


def play(podman: Podman, folder: Path, name: str, config: dict, spec: dict) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "pod.yaml").write_text(yaml.safe_dump(pod))
    podman.output("kube", "play", "--network=none", f"--configmap={folder}/config.yaml", str(folder / "pod.yaml"))


def folder_for_keys(folder: Path, name: str) -> Path:
    keys = folder / f"{name}-keys"
    keys.mkdir()
    os.chown(keys, USER, USER)
    return keys


def play_job(podman: Podman, folder: Path, base: str, arguments: list[str]) -> None:
    found = objects(overlay(base, CONFIG, IMAGES))
    spec = playable(one(found, "Job")["spec"]["template"]["spec"], "apig-proxy-credentials", folder_for_keys(folder, base))
    next(container for container in spec["containers"] if container["name"] == "app")["args"] = arguments
    play(podman, folder, base, one(found, "ConfigMap"), spec)


def state(podman: Podman, name: str) -> str:
    return podman.output("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", name)


def ended(checks: Checks, podman: Podman, name: str, seconds: float = 40) -> None:
    there = until(lambda: state(podman, name) == "exited 0", seconds)
    said = podman("logs", name)
    checks.check(there, f"{name} has ended with 0", f"{state(podman, name)} {said.stdout[-1000:]}{said.stderr[-1000:]}")


def jobs(checks: Checks, podman: Podman, folder: Path) -> None:
    play_job(podman, folder, "job", CALL)
    ended(checks, podman, "job-app")
    answer = podman("logs", "job-app").stdout
    checks.check('"verified":true' in answer and '"body_bytes":8' in answer, "the gateway has accepted what the program sent", answer)
    checks.equal(state(podman, "job-apig-proxy"), "running 0", "the proxy runs on")
    podman.output("stop", "--time=20", "job-apig-proxy")
    ended(checks, podman, "job-apig-proxy", 1)
    podman.output("pod", "rm", "--force", "--time=1", "job")
    play_job(podman, folder, "job-with-quit", ["curl", *CALL])
    ended(checks, podman, "job-with-quit-app")
    ended(checks, podman, "job-with-quit-apig-proxy")
    podman.output("pod", "rm", "--force", "--time=1", "job-with-quit")


def certificate(folder: Path) -> None:
    """What cert-manager would put into the secret."""
    subject = ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"]
    output(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", *subject,
            "-keyout", str(folder / "tls.key"), "-out", str(folder / "tls.crt")])


def play_team(podman: Podman, folder: Path) -> Path:
    """The gateway for a team, with its own configuration but for where it sends requests."""
    keys = folder_for_keys(folder, "team")
    certificate(keys)
    (keys / "caller-token").write_text(TOKEN)
    for file in keys.iterdir():
        # As the kubelet does it: they belong to root, and to the group of the proxy.
        os.chown(file, 0, USER)
        file.chmod(0o440)
    found = objects(overlay("gateway", images=IMAGES))
    config = one(found, "ConfigMap")
    said = config["data"]["config.toml"]
    config["data"]["config.toml"] = re.sub("^upstream = .*$", 'upstream = "https://127.0.0.1:8443"', said, flags=re.MULTILINE).replace(
        "0.0.0.0:8443", "0.0.0.0:9443") + '\n[upstream_tls]\nca_file = "/run/secrets/apig-gateway/ca.pem"\n'
    spec = playable(one(found, "Deployment")["spec"]["template"]["spec"], "secrets", keys)
    proxy = next(container for container in spec["containers"] if container["name"] == "apig-proxy")
    hosts = next(each["value"] for each in proxy["env"] if each["name"] == "APIG_PROXY_ACCESS__HOSTS")
    proxy["env"] = [{"name": "APIG_PROXY_ACCESS__HOSTS", "value": hosts.replace("$(POD_NAMESPACE)", "checked")}]
    play(podman, folder, "team", config, spec)
    return keys


def team(checks: Checks, podman: Podman, folder: Path) -> None:
    keys = play_team(podman, folder)

    def curl(*arguments: str) -> str:
        answer = podman("run", "--rm", "--pod=team", "--volume", f"{keys}:/keys:ro", "curl", "-sS", "--max-time", "20", "--cacert",
                        "/keys/tls.crt", "--resolve", f"{NAME}:9443:127.0.0.1", "--output", "/dev/null", "--write-out", "%{http_code}", *arguments)
        return answer.stdout if answer.returncode == 0 else answer.stderr

    token = ["--header", f"X-Apig-Proxy-Token: {TOKEN}"]
    up = until(lambda: curl("http://127.0.0.1:8081/readyz") == "200", 40)
    if not checks.check(up, "the gateway for a team is ready", podman("logs", "team-apig-proxy").stderr[-2000:]):
        return
    checks.equal(curl(*token, f"https://{NAME}:9443/v1/a"), "200", "a caller with the token has its request signed")
    checks.equal(curl(f"https://{NAME}:9443/v1/a"), "401", "one without it has not")
    checks.equal(curl(*token, "--header", "Host: other.example", f"https://{NAME}:9443/v1/a"), "403", "nor one that calls by another name")
    for path in ("/livez", "/metrics"):
        checks.equal(curl("--header", "Host: 10.1.2.3:8081", f"http://127.0.0.1:8081{path}"), "200", f"the kubelet and Prometheus get {path}")
    checks.equal(curl("--header", "Host: other.example", "http://127.0.0.1:8081/metrics"), "403", "by the address of the pod, not by another name")
    podman.output("kill", "--signal=TERM", "team-apig-proxy")
    checks.check(until(lambda: curl("http://127.0.0.1:8081/readyz") == "503", 5), "told to end, it is not ready")
    checks.equal(curl(*token, f"https://{NAME}:9443/v1/a"), "200", "but serves who has not heard of it yet")
    ended(checks, podman, "team-apig-proxy")


def main() -> int:
    checks = Checks("pods")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        podman = Podman(folder / "podman")
        try:
            build(podman, folder, sys.argv[1], "apig-proxy")
            image_of_programs(podman, folder, "curl", "curl", "sh")
            jobs(checks, podman, folder)
            team(checks, podman, folder)
        finally:
            podman.close()
    return checks.close()


if __name__ == "__main__":
    sys.exit(main())
