"""Unchanged programs under `apig-proxy run`: official SDKs, an OpenAI client, curl and fetch, with no key of their own.

    python run_sdks.py PATH-OF-APIG-PROXY FOLDER-OF-NODE-MODULES

IAM is that of the embedded gateway. The services verify each request that the proxy has signed with Huawei's own signer. The programs
hold no address, no key and no project id: they find them in the environment that `run` gives them.
"""

import csv
import json
import os
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from checks import Checks
from gateway import Gateway, Refused, Request, make_certificate

PATIENCE = 60
REGION = "cn-north-4"
SERVICES = [f"{name}.{REGION}" for name in ("vpc", "ecs", "smn")]
OPENAI = "/v1/infers/0123/v1"

PYTHON_SDK = """
from huaweicloudsdkvpc.v2 import ListVpcsRequest, VpcClient
from huaweicloudsdkvpc.v2.region.vpc_region import VpcRegion
from huaweicloudsdkecs.v2 import EcsClient, ListServersDetailsRequest
from huaweicloudsdkecs.v2.region.ecs_region import EcsRegion
from huaweicloudsdksmn.v2 import CreateTopicRequest, CreateTopicRequestBody, SmnClient
from huaweicloudsdksmn.v2.region.smn_region import SmnRegion

vpc = VpcClient.new_builder().with_region(VpcRegion.value_of("cn-north-4")).build()
print(vpc.list_vpcs(ListVpcsRequest(limit=2)).vpcs[0].name)
ecs = EcsClient.new_builder().with_region(EcsRegion.value_of("cn-north-4")).build()
print(ecs.list_servers_details(ListServersDetailsRequest(name="a b+c")).servers[0].name)
smn = SmnClient.new_builder().with_region(SmnRegion.value_of("cn-north-4")).build()
topic = CreateTopicRequestBody(name="blue", display_name="\\u4e2d\\u6587")
print(smn.create_topic(CreateTopicRequest(body=topic)).topic_urn)
"""

# The SDK for Node takes AK, SK and the address of IAM from the environment, but not that of a service.
NODE_SDK = """
const { Region } = require('@huaweicloud/huaweicloud-sdk-core/region/region');
const { VpcClient, ListVpcsRequest } = require('@huaweicloud/huaweicloud-sdk-vpc/v2/public-api');
const endpoint = process.env.HUAWEICLOUD_SDK_REGION_VPC_CN_NORTH_4;
const client = VpcClient.newBuilder().withRegion(new Region('cn-north-4', endpoint)).build();
client.listVpcs(new ListVpcsRequest().withLimit(2)).then(answer => console.log(answer.vpcs[0].name));
"""

# It says when it has read the first part of the stream, without which there is no second.
OPENAI_CLIENT = """
import os, urllib.request
from openai import OpenAI

stream = OpenAI().chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}], stream=True)
parts = [next(stream)]
urllib.request.urlopen(os.environ["OPENAI_BASE_URL"] + "/first-part-read")
parts.extend(stream)
print("".join(part.choices[0].delta.content or "" for part in parts))
"""

NODE_FETCH = """
const url = process.env.APIG_PROXY_URL;
const answers = [fetch(url + '/flowers?a=b'), fetch(url + '/vpc.cn-north-4/v1/x', { method: 'PATCH', body: '{}' })];
Promise.all(answers).then(async all => console.log((await Promise.all(all.map(answer => answer.json()))).map(body => body.path).join(' ')));
"""

# By the path and by the port of a service; the last one shows no credential.
CURL = """
curl -sS --max-time 30 "$APIG_PROXY_URL/ecs.cn-north-4/v1/x" -o /dev/null -w '%{http_code} '
curl -sS --max-time 30 -H "Authorization: Bearer $APIG_PROXY_TOKEN" "$HUAWEICLOUD_SDK_REGION_ECS_CN_NORTH_4/v1/x" -o /dev/null -w '%{http_code} '
curl -sS --max-time 30 "$APIG_PROXY_URL/esc.cn-north-4/v1/x" -o /dev/null -w '%{http_code} '
curl -sS --max-time 30 "$HUAWEICLOUD_SDK_REGION_ECS_CN_NORTH_4/v1/x" -o /dev/null -w '%{http_code}'
"""


class Services(ThreadingHTTPServer):
    """The services: they verify and keep the requests, and answer as the real ones do."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, verifier: Gateway) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.verifier = verifier
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.first_part_read = threading.Event()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*make_certificate(verifier.folder))
        self.socket = context.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        path = self.path.partition("?")[0]
        try:
            self.server.verifier.verify(Request(self.command, self.path, self.headers.items(), body))
        except Refused as refusal:
            self.send_error(401, str(refusal))
            return
        self.server.seen.append((self.command, self.path, dict(self.headers.items()), body))
        if path.endswith("/chat/completions"):
            self.stream()
            return
        if path.endswith("/first-part-read"):
            self.server.first_part_read.set()
        made = {"path": path}
        if path.endswith("/vpcs"):
            made["vpcs"] = [{"id": "1", "name": "a vpc"}]
        elif path.endswith("/cloudservers/detail"):
            made |= {"count": 1, "servers": [{"id": "1", "name": "a server"}]}
        elif path.endswith("/topics"):
            made |= {"request_id": "1", "topic_urn": "a topic"}
        text = json.dumps(made).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def stream(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        parts = [{"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m",
                  "choices": [{"index": 0, "delta": {"content": word}}]} for word in ("Hello", ", ", "world")]
        for line in [f"data: {json.dumps(part)}\n\n" for part in parts] + ["data: [DONE]\n\n"]:
            self.wfile.write(f"{len(line):x}\r\n{line}\r\n".encode())
            self.wfile.flush()
            if not self.server.first_part_read.wait(PATIENCE / 2):
                self.close_connection = True
                return
        self.wfile.write(b"0\r\n\r\n")

    do_GET = do_POST = do_PATCH = answer


class Cloud:
    """IAM of `apig-proxy gateway`, the services, and a configuration for a proxy before both."""

    def __init__(self, binary: str, folder: Path) -> None:
        self.folder = folder / "gateway"
        command = [binary, "gateway", "--listen", "127.0.0.1:0", "--dir", str(self.folder)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        iam = self.process.stdout.readline().split()[2]
        written = self.folder / "apig-proxy.toml"
        for _ in range(500):
            if written.exists():
                break
            time.sleep(0.02)
        with (self.folder / "credentials.csv").open() as file:
            key = next(csv.DictReader(file))
        self.secret = key["Secret Access Key"]
        self.services = Services(Gateway(folder, key["Access Key Id"], self.secret, has_services=True))
        # Both roots, that of IAM and that of the services.
        roots = folder / "roots.pem"
        roots.write_text((self.folder / "ca.pem").read_text() + (folder / "ca.pem").read_text())
        endpoints = "".join(f'"{name}" = "{self.services.url}"\n' for name in SERVICES)
        self.config = folder / "cloud.toml"
        self.config.write_text(
            f'upstream = "{self.services.url}"\n[credentials]\nfile = "{self.folder}/credentials.csv"\n'
            f'[upstream_tls]\nca_file = "{roots}"\n[cloud.endpoints]\n{endpoints}"iam" = "{iam}"\n')

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=PATIENCE)


class Run:
    """What a program under `run` printed, and what of it reached the services."""

    def __init__(self, binary: str, cloud: Cloud, command: list[str], cwd: str | None = None) -> None:
        cloud.services.seen.clear()
        self.log = cloud.folder / "log"
        services = [word for name in SERVICES for word in ("--service", name)]
        arguments = [binary, "run", "--config", str(cloud.config), *services, "--openai", OPENAI, "--log-file", str(self.log), "--", *command]
        # A company's proxy, which must not get the requests.
        away = {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
        done = subprocess.run(arguments, env={**os.environ, **away, "NO_PROXY": ""}, cwd=cwd, capture_output=True, text=True,
                              timeout=PATIENCE, check=False)
        self.exit, self.printed, self.errors = done.returncode, done.stdout.split("\n"), done.stderr
        self.seen = list(cloud.services.seen)


def project_id(seen: list[tuple[str, str, dict[str, str], bytes]], checks: Checks) -> str:
    """The project id in the paths, which has to be that in the headers."""
    ids = {path.split("/")[2] for _, path, _, _ in seen} | {headers.get("x-project-id") for _, _, headers, _ in seen}
    checks.check(len(ids) == 1, f"there are several project ids: {ids}")
    return ids.pop()


def official_sdks(checks: Checks, run, modules: str) -> None:
    done = run([sys.executable, "-c", PYTHON_SDK])
    checks.check(done.printed[:3] == ["a vpc", "a server", "a topic"], f"Python SDK: {done.printed} {done.errors[-800:]}")
    paths = [path for _, path, _, _ in done.seen]
    checks.check(len(paths) == 3, f"Python SDK: {paths}")
    if len(paths) == 3:
        project = project_id(done.seen, checks)
        expected = [f"/v1/{project}/vpcs?limit=2", f"/v1/{project}/cloudservers/detail?name=a%20b%2Bc", f"/v2/{project}/notifications/topics"]
        checks.check(paths == expected, f"Python SDK: {paths}")
        checks.check(json.loads(done.seen[2][3])["display_name"] == "\u4e2d\u6587", "Python SDK: the body has changed")
    done = run(["node", "-e", NODE_SDK], modules)
    checks.check(done.printed[0] == "a vpc", f"Node SDK: {done.printed} {done.errors[-800:]}")
    checks.check([path.rpartition("/")[2] for _, path, _, _ in done.seen] == ["vpcs?limit=2"], f"Node SDK: {done.seen}")


def other_clients(checks: Checks, run) -> None:
    done = run([sys.executable, "-c", OPENAI_CLIENT])
    checks.check(done.printed[0] == "Hello, world", f"OpenAI: {done.printed} {done.errors[-800:]}")
    expected = [f"{OPENAI}/chat/completions", f"{OPENAI}/first-part-read"]
    checks.check([path for _, path, _, _ in done.seen] == expected, f"OpenAI: {done.seen}")
    done = run(["node", "-e", NODE_FETCH])
    checks.check(done.printed[0] == "/flowers /v1/x", f"fetch: {done.printed} {done.errors[-800:]}")
    done = run(["sh", "-c", CURL])
    checks.check(done.printed[0] == "200 200 404 401", f"curl: {done.printed} {done.errors[-800:]}")
    checks.check(len(done.seen) == 2, f"curl: {done.seen}")
    done = run(["sh", "-c", "env; exit 3"])
    checks.check(done.exit == 3 and "HUAWEICLOUD_SDK_AK=APX" in "\n".join(done.printed), f"env: {done.exit} {done.printed}")


def main() -> int:
    binary, modules = str(Path(sys.argv[1]).resolve()), sys.argv[2]
    checks = Checks()
    with tempfile.TemporaryDirectory() as name:
        cloud = Cloud(binary, Path(name))
        try:
            def run(command: list[str], cwd: str | None = None) -> Run:
                done = Run(binary, cloud, command, cwd)
                everything = "\n".join([*done.printed, done.errors, done.log.read_text(), repr(done.seen)])
                checks.check(cloud.secret not in everything, f"{command[0]} has seen the secret key")
                print(f"{command[0]}: exit code {done.exit}, {len(done.seen)} requests", flush=True)
                return done

            official_sdks(checks, run, modules)
            other_clients(checks, run)
        finally:
            cloud.stop()
    print(f"{checks.passed} passed, {checks.failed} failed", flush=True)
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
