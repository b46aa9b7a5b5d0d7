"""The image: what is in it, how it runs with as little as it can be given, and that it signs for its neighbours.

    python image.py PATH-OF-STATIC-APIG-PROXY
"""

import json
import os
import re
import shutil
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from checks import Checks
from podman import Podman, image_of_programs

ROOT = Path(__file__).parents[2]
LARGEST = 14_000_000
USER = 65532
CONFINED = ["--read-only", "--read-only-tmpfs=false", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--memory=64m", "--memory-swap=64m",
            "--pids-limit=64"]


def final_stage() -> str:
    """The lines of the Dockerfile that make the image, once there is a binary."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    return dockerfile[dockerfile.rindex("\nFROM "):].lstrip()


def build(podman: Podman, folder: Path, binary: str, tag: str, *more: str) -> str:
    """Builds the image as the Dockerfile does, of a binary that was built before."""
    stage, context = folder / "stage", folder / "context"
    certificates = stage / "etc/ssl/certs"
    if not stage.exists():
        certificates.mkdir(parents=True)
        context.mkdir()
        shutil.copy("/etc/ssl/certs/ca-certificates.crt", certificates)
        shutil.copy(binary, stage / "apig-proxy")
        (stage / "apig-proxy").chmod(0o755)
        (context / "Containerfile").write_text(final_stage())
    return podman.build(context, tag, "--build-context", f"build={stage}", *more)


def contents(checks: Checks, podman: Podman, folder: Path, binary: str) -> None:
    """What is in the image, and what it says of itself."""
    def made(tag: str, time: int) -> dict:
        # Podman draws a name for each build, which goes into the id of the image: layers and configuration have to do.
        build(podman, folder, binary, tag, f"--timestamp={time}", "--no-cache", "--layers=false", "--build-arg=REVISION=abc")
        return json.loads(podman.output("image", "inspect", tag))[0]

    def same(image: dict) -> list:
        return [image[part] for part in ("RootFS", "Config", "Healthcheck", "Labels", "History", "Created")]

    inspected = made("apig-proxy", 0)
    checks.check(same(made("again", 0)) == same(inspected), "the same files make the same image")
    checks.check(same(made("later", 1)) != same(inspected), "files of another time make another")
    size = inspected["Size"]
    checks.check(size <= LARGEST, f"the image has {size:,} bytes, at most {LARGEST:,}", "it is larger")
    config = inspected["Config"]
    checks.equal(config["User"], "65532:65532", "its user")
    checks.equal(config["Entrypoint"], ["/apig-proxy"], "its entry point")
    checks.equal(inspected["Healthcheck"]["Test"], ["CMD", "/apig-proxy", "check", "live"], "its health check")
    version = re.search(r'^version = "(.*)"$', (ROOT / "Cargo.toml").read_text(), re.MULTILINE)[1]
    labels = {name.removeprefix("org.opencontainers.image."): value for name, value in inspected["Labels"].items()}
    expected = {"title": "apig-proxy", "version": version, "licenses": "Apache-2.0", "revision": "abc"}
    checks.equal({name: labels.get(name) for name in expected}, expected, "its labels")
    name = podman.output("create", "apig-proxy")
    podman.output("export", "--output", str(folder / "image.tar"), name)
    podman.output("rm", name)
    with tarfile.open(folder / "image.tar") as archive:
        files = {member.name: member.mode & 0o7777 for member in archive if not member.isdir()}
    checks.equal(files, {"apig-proxy": 0o755, "etc/ssl/certs/ca-certificates.crt": 0o644}, "its files")
    built = Path(binary).read_bytes()
    places = [str(ROOT), str(Path(os.environ.get("CARGO_HOME", "~/.cargo")).expanduser())]
    checks.equal([place for place in places if place.encode() in built], [], "no path of the machine is in the binary")
    checks.check(b"/src/src/" in built or b"/cargo/registry/" in built, "what stands for these paths is")


def status(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def confinement(checks: Checks, podman: Podman, name: str) -> None:
    """The process really has as little as was said."""
    found = status(podman.pid(name))
    checks.equal(found["Uid"].split(), [str(USER)] * 4, f"{name}: its user")
    checks.equal(found["Gid"].split(), [str(USER)] * 4, f"{name}: its group")
    capabilities = {kind: found[kind] for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    checks.equal({int(value, 16) for value in capabilities.values()}, {0}, f"{name}: it has no capability")
    checks.equal(found["NoNewPrivs"], "1", f"{name}: it gains none")
    checks.equal(found["Seccomp"], "2", f"{name}: its system calls are filtered")
    limit = json.loads(podman.output("inspect", name))[0]["HostConfig"]["Memory"]
    checks.equal(limit, 64 << 20, f"{name}: its memory is limited")
    checks.check(f"{64 << 20}" in memory_limit(podman.pid(name)), f"{name}: the kernel knows the limit", memory_limit(podman.pid(name)))


def memory_limit(pid: int) -> str:
    """What the kernel has as the limit, by either version of control groups."""
    groups = dict(line.split(":", 2)[1:] for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines())
    first = Path(f"/sys/fs/cgroup/memory{groups.get('memory', '/none')}/memory.limit_in_bytes")
    second = Path(f"/sys/fs/cgroup{groups.get('', '/none')}/memory.max")
    return " ".join(file.read_text().strip() for file in (first, second) if file.exists())


def until(condition, seconds: float = 20) -> bool:
    """Whether something becomes true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.1)
    return False


def neighbours(checks: Checks, podman: Podman, folder: Path) -> None:
    """A gateway, the proxy and a caller, each a container, in one network namespace that leads nowhere."""
    shared = folder / "gateway"
    shared.mkdir()
    os.chown(shared, USER, USER)
    podman.output("run", "--detach", "--name=gateway", "--network=none", *CONFINED, "--volume", f"{shared}:/gateway", "apig-proxy",
                  "gateway", "--dir=/gateway")
    checks.check(until(lambda: (shared / "apig-proxy.toml").exists()), "the gateway has started", podman("logs", "gateway").stderr)
    podman.output("run", "--detach", "--name=proxy", "--network=container:gateway", *CONFINED, "--volume", f"{shared}:/gateway:ro", "apig-proxy",
                  "--config=/gateway/apig-proxy.toml")
    healthy = until(lambda: podman("healthcheck", "run", "proxy").returncode == 0)
    checks.check(healthy, "the health check of the image succeeds", podman("logs", "proxy").stderr)
    alone = podman("run", "--rm", "--network=none", *CONFINED, "apig-proxy", "check", "live")
    checks.equal(alone.returncode, 1, "the health check fails where no proxy runs")
    confinement(checks, podman, "gateway")
    confinement(checks, podman, "proxy")
    write = podman("run", "--rm", "--network=none", *CONFINED, "apig-proxy", "gateway", "--dir=/new")
    checks.check(write.returncode == 1 and "Read-only" in write.stderr, "nothing can be written", write.stderr)

    def curl(*arguments: str):
        volumes = ["--volume", f"{shared}:/gateway:ro", "--volume", f"{folder}/bodies:/bodies:ro"]
        return podman("run", "--rm", "--network=container:gateway", *volumes, "curl", "-sS", "--max-time", "30", *arguments)

    (folder / "bodies").mkdir()
    (folder / "bodies/12").write_bytes(os.urandom(12 << 20))
    (folder / "bodies/11").write_bytes(os.urandom(11 << 20))
    status_of = ["--output", "/dev/null", "--write-out", "%{http_code}"]
    direct = curl("--cacert", "/gateway/ca.pem", "--header", "x-stage: RELEASE", *status_of, "https://127.0.0.1:8443/v1/a")
    checks.check(direct.stdout == "401", "the gateway refuses what is not signed", direct.stdout + direct.stderr)
    through = {"a GET": ["http://localhost:8080/v1/a?b=c+d"],
               "JSON": ["http://localhost:8080/v1/a", "--json", '{"a": 1}'],
               "12 MiB that are hashed": ["http://localhost:8080/v1/a", "--data-binary", "@/bodies/12"],
               "11 MiB that are streamed": ["http://localhost:8080/v1/a", "--form", "file=@/bodies/11"]}
    for what, arguments in through.items():
        answer = curl(*status_of, *arguments)
        checks.check(answer.stdout == "200", f"the caller's container: {what}, and the gateway accepts the signature", answer.stdout + answer.stderr)
    log = podman("logs", "proxy").stderr
    checks.check("panicked" not in log and "WARN" not in log, "the log has no warning", log)
    podman.output("stop", "--time=20", "proxy")
    checks.equal(podman.output("inspect", "--format", "{{.State.ExitCode}} {{.State.OOMKilled}}", "proxy"), "0 false", "it ends with 0")
    checks.equal(curl(*status_of, "http://localhost:8080/v1/a").returncode, 7, "it is gone")
    podman.output("stop", "--time=20", "gateway")


def main() -> int:
    checks = Checks("image")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        podman = Podman(folder / "podman")
        try:
            contents(checks, podman, folder, sys.argv[1])
            image_of_programs(podman, folder, "curl", "curl")
            neighbours(checks, podman, folder)
        finally:
            podman.close()
    return checks.close()


if __name__ == "__main__":
    sys.exit(main())
