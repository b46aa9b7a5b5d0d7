"""The manifests for Kubernetes: every version takes them, and what refers to something finds it.

    python manifests.py PATH-OF-CHECKOV
"""

import copy
import json
import os
import sys
import tempfile
import tomllib
from pathlib import Path

import kubernetes_validate
import yaml

from checks import Checks, run
from kustomize import BASES, CONFIG_OF, DIGEST, kustomized, objects, one, overlay

# Sidecars are there from this version on.
OLDEST = "1.29"
# Kinds of the Prometheus Operator have no schema there: their fields are checked here.
FOREIGN = {"ServiceMonitor": {"selector", "endpoints"}}
# What checkov finds, and why it is so.
EXPECTED = {
    ("CKV_K8S_8", "Deployment.checked.app"): "the program stands for one that its owner knows",
    ("CKV_K8S_9", "Deployment.checked.app"): "the same",
    ("CKV2_K8S_6", "Pod.checked.app.app.kubernetes.io/name-app"): "whom the program may speak to, its owner knows",
}


def versions() -> list[str]:
    shorten = kubernetes_validate.utils.major_minor
    every = {shorten(version.removesuffix("-strict").removesuffix("-local")) for version in kubernetes_validate.utils.all_versions()}
    return sorted(every, key=lambda version: tuple(map(int, version.split("."))))


def refusal(thing: dict, version: str) -> str:
    """Why a version does not take an object; nothing if it does."""
    if thing["kind"] in FOREIGN:
        return "" if set(thing["spec"]) == FOREIGN[thing["kind"]] else f"fields {set(thing['spec'])}"
    try:
        kubernetes_validate.validate(thing, version, strict=True)
        return ""
    except (kubernetes_validate.ValidationError, kubernetes_validate.SchemaNotFoundError) as error:
        return f"{thing['kind']} {thing['metadata']['name']}: {error.message}"


def schemas(checks: Checks, bases: dict[str, list[dict]]) -> None:
    every = versions()
    for base, found in bases.items():
        wanted = every if base == "job-with-quit" else every[every.index(OLDEST):]
        wrong = [f"{version}: {said}" for version in wanted for thing in found if (said := refusal(thing, version))]
        checks.check(not wrong, f"{base}: {len(found)} objects, Kubernetes {wanted[0]} to {wanted[-1]}", "; ".join(wrong))
    # What is refused proves that the others were looked at.
    spelt = copy.deepcopy(one(bases["sidecar"], "Deployment"))
    spelt["spec"]["template"]["spec"]["initContainers"][0]["restartpolicy"] = "Always"
    checks.check(bool(refusal(spelt, OLDEST)), "a field that is misspelt is refused")


def pods(found: list[dict]) -> list[dict]:
    return [thing["spec"]["template"]["spec"] for thing in found if thing["kind"] in ("Deployment", "Job")]


def proxies(pod: dict) -> list[dict]:
    every = pod["containers"] + pod.get("initContainers", [])
    return [container for container in every if container["name"] == "apig-proxy"]


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def secrets(checks: Checks, base: str, found: list[dict]) -> None:
    for pod in pods(found):
        checks.equal(pod["securityContext"]["fsGroup"], 65532, f"{base}: the group of the proxy gets the key")
        volumes = [volume.get("secret") or volume.get("projected") for volume in pod["volumes"] if "configMap" not in volume]
        checks.equal([volume["defaultMode"] for volume in volumes], [0o440], f"{base}: nobody else does")
        checks.check(not pod["automountServiceAccountToken"], f"{base}: no token of the cluster is there to be taken")
        mounted = [mount for container in proxies(pod) for mount in container["volumeMounts"]]
        checks.check(len(mounted) == 2 and all(mount["readOnly"] for mount in mounted), f"{base}: mounts are read-only")
        images = [container["image"] for container in proxies(pod)]
        checks.equal(images, [f"localhost/apig-proxy@{DIGEST}"], f"{base}: an overlay chooses the image")


def sidecars(checks: Checks, bases: dict[str, list[dict]]) -> None:
    for base in ("sidecar", "job"):
        pod = pods(bases[base])[0]
        checks.equal([each["restartPolicy"] for each in pod["initContainers"]], ["Always"], f"{base}: the proxy is a sidecar")
        checks.equal(len(pod["containers"]), 1, f"{base}: the program is alone")
    checks.equal(len({(BASES / base / "config.toml").read_text() for base in ("sidecar", "job", "job-with-quit")}), 1, "they have the same configuration")
    may_end = [base for base in bases for pod in pods(bases[base]) for container in proxies(pod)
               if {"name": "APIG_PROXY_ADMIN_QUIT", "value": "true"} in container.get("env", [])]
    checks.equal(may_end, ["job-with-quit"], "only there the program may end the proxy")
    script = pods(bases["job-with-quit"])[0]["containers"][0]["command"][2]
    checks.check("/quitquitquit" in script and "/readyz" in script, "job-with-quit: the program waits for the proxy and ends it")


def component(checks: Checks) -> None:
    """The component alone, with manifests that are not from here, as the README says."""
    kinds = ("Deployment", "StatefulSet", "DaemonSet", "Job")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        pod = {"containers": [{"name": "own", "image": "own"}], "volumes": [{"name": "own", "emptyDir": {}}]}
        own = [{"apiVersion": "batch/v1" if kind == "Job" else "apps/v1", "kind": kind, "metadata": {"name": f"{kind.lower()}-{wants}", "labels": labels},
                "spec": {"template": {"spec": pod}}} for kind in kinds for wants, labels in (("with", {"apig-proxy": "sidecar"}), ("without", {}))]
        (folder / "own.yaml").write_text(yaml.safe_dump_all(own))
        (folder / "config.toml").write_text('upstream = "https://own.example"\n')
        (folder / "kustomization.yaml").write_text(yaml.safe_dump({
            "resources": ["own.yaml"], "components": [os.path.relpath(BASES / "component", folder)],
            "configMapGenerator": [{"name": "apig-proxy", "files": ["config.toml"]}]}))
        found = objects(kustomized(folder))
    made = one(found, "ConfigMap")["metadata"]["name"]
    for thing in found:
        if thing["kind"] == "ConfigMap":
            continue
        spec = thing["spec"]["template"]["spec"]
        if thing["metadata"]["name"].endswith("-without"):
            checks.equal(spec, pod, f"component: {thing['kind']} without the label is left alone")
            continue
        checks.equal([each["name"] for each in proxies(spec)], ["apig-proxy"], f"component: {thing['kind']} with the label gets the proxy")
        checks.check(spec["containers"] == pod["containers"] and pod["volumes"][0] in spec["volumes"], "and keeps what it had")
        checks.equal([each["configMap"]["name"] for each in spec["volumes"] if "configMap" in each], [made], "and the configuration")


def gateway(checks: Checks, found: list[dict]) -> None:
    pod = pods(found)[0]
    container = proxies(pod)[0]
    config = tomllib.loads(one(found, "ConfigMap")["data"]["config.toml"])
    ends = sum(seconds(config["timeouts"][key]) for key in ("drain_delay", "shutdown"))
    checks.check(ends < pod["terminationGracePeriodSeconds"], "gateway: it has the time to drain")
    checks.check("lifecycle" not in container, "gateway: no hook is needed for it")
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    for key, name in (("listen", "https"), ("admin", "metrics")):
        checks.equal(int(config[key].rpartition(":")[2]), ports[name], f"gateway: {key} is the port {name}")
    used = [port["targetPort"] for thing in found if thing["kind"] == "Service" for port in thing["spec"]["ports"]]
    used += [container[probe]["httpGet"]["port"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")]
    used += [port["port"] for rule in one(found, "NetworkPolicy")["spec"]["ingress"] for port in rule["ports"]]
    checks.equal(set(used), set(ports), "gateway: Services, probes and the network policy name its ports")
    labels = one(found, "Deployment")["spec"]["template"]["metadata"]["labels"]
    selectors = [thing["spec"]["selector"] for thing in found if thing["kind"] == "Service"]
    selectors += [one(found, kind)["spec"]["selector"]["matchLabels"] for kind in ("Deployment", "PodDisruptionBudget")]
    selectors += [one(found, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"]]
    selectors += [each["labelSelector"]["matchLabels"] for each in pod["topologySpreadConstraints"]]
    checks.check(len(selectors) == 7 and all(selector.items() <= labels.items() for selector in selectors), "gateway: all find its pods")
    monitor, metrics = one(found, "ServiceMonitor"), one(found, "Service", "apig-gateway-metrics")
    checks.check(monitor["spec"]["selector"]["matchLabels"].items() <= metrics["metadata"]["labels"].items(), "gateway: the monitor finds the Service")
    checks.equal([each["port"] for each in monitor["spec"]["endpoints"]], [each["name"] for each in metrics["spec"]["ports"]], "and its port")
    scaled = one(found, "HorizontalPodAutoscaler")["spec"]
    target = one(found, "Deployment")
    checks.equal([scaled["scaleTargetRef"]["kind"], scaled["scaleTargetRef"]["name"]], [target["kind"], target["metadata"]["name"]],
                 "gateway: the autoscaler finds it")
    checks.check("replicas" not in target["spec"], "and nothing else says how many there are")
    account = one(found, "ServiceAccount")
    checks.equal((account["metadata"]["name"], account["automountServiceAccountToken"]), (pod["serviceAccountName"], False), "gateway: its account")


def by_checkov(checks: Checks, checkov: str, texts: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for base, text in texts.items():
            (Path(folder) / f"{base}.yaml").write_text(text)
        ended = run([checkov, "--framework", "kubernetes", "--skip-download", "--quiet", "--output", "json", "--directory", folder])
    said = json.loads(ended.stdout)
    found = {(each["check_id"], each["resource"]) for each in said["results"]["failed_checks"]}
    checks.equal(found - set(EXPECTED), set(), f"checkov: {said['summary']['passed']} checks passed")
    checks.equal(set(EXPECTED) - found, set(), "checkov: what is excepted is needed")


def main() -> int:
    checks = Checks("manifests")
    images = {"apig-proxy": "localhost/apig-proxy", "app": "localhost/app"}
    texts = {base: overlay(base, images=images, digest=DIGEST) for base in CONFIG_OF}
    bases = {base: objects(text) for base, text in texts.items()}
    folders = {place.parent.name for place in BASES.glob("*/kustomization.yaml")}
    checks.equal(folders, set(CONFIG_OF) | {"component", "monitoring"}, "every folder is looked at")
    schemas(checks, bases)
    for base, found in bases.items():
        checks.equal({thing["metadata"].get("namespace") for thing in found}, {"checked"}, f"{base}: an overlay chooses the namespace")
        secrets(checks, base, found)
    sidecars(checks, bases)
    component(checks)
    gateway(checks, bases["gateway"])
    by_checkov(checks, sys.argv[1], texts)
    return checks.close()


if __name__ == "__main__":
    sys.exit(main())
