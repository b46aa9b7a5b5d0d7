"""The manifests as an overlay has them."""

import os
import tempfile
from pathlib import Path

import yaml

from checks import output

ROOT = Path(__file__).parents[2]
BASES = ROOT / "deploy/kubernetes"
# What each of them is for: a name of the ConfigMap, or nothing.
CONFIG_OF = {"sidecar": "apig-proxy", "job": "apig-proxy", "job-with-quit": "apig-proxy", "gateway": "apig-gateway"}
DIGEST = "sha256:" + "0" * 64


def kustomized(folder: Path) -> str:
    return output(["kubectl", "kustomize", str(folder)])


def overlay(base: str, config: str = "", images: dict[str, str] | None = None, digest: str = "") -> str:
    """A base with another configuration and other images, in a namespace, as text of YAML."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        said: dict = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": "checked",
            "resources": [os.path.relpath(BASES / base, folder.resolve())],
            "images": [{"name": f"registry.example/{image}", "newName": new, **({"digest": digest} if digest else {"newTag": "latest"})}
                       for image, new in (images or {}).items()],
        }
        if config:
            (folder / "config.toml").write_text(config)
            said["configMapGenerator"] = [{"name": CONFIG_OF[base], "behavior": "merge", "files": ["config.toml"]}]
        (folder / "kustomization.yaml").write_text(yaml.safe_dump(said))
        return kustomized(folder)


def objects(text: str) -> list[dict]:
    return [found for found in yaml.safe_load_all(text) if found]


def one(found: list[dict], kind: str, name: str = "") -> dict:
    fitting = [each for each in found if each["kind"] == kind and each["metadata"]["name"].startswith(name)]
    if len(fitting) != 1:
        raise RuntimeError(f"{len(fitting)} of {kind} {name}")
    return fitting[0]
