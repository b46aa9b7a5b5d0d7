"""The Python snippets of the README, run from their own text before a gateway that verifies with Huawei's SDK.

    python readme.py PATH-OF-APIG-PROXY
"""

import re
import sys
import tempfile
from pathlib import Path

from checks import Checks
from gateway import Gateway
from proxy import Proxy

README = Path(__file__).parents[2] / "README.md"


def main() -> int:
    checks = Checks()
    [block] = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    with tempfile.TemporaryDirectory() as folder:
        gateway = Gateway(Path(folder))
        gateway.start()
        proxy = Proxy(sys.argv[1], Path(folder), gateway)
        block = block.replace("localhost:8080", f"localhost:{proxy.port}").replace("<service>", "service")
        with_requests, with_openai = block.split("\n\n")
        try:
            exec(with_requests, {})
            names: dict = {}
            exec(with_openai, names)
            names["client"].with_options(max_retries=0).chat.completions.with_raw_response.create(model="m", messages=[])
        finally:
            checks.check(proxy.stop() == 0, "the proxy ends in good order")
        expected = ["/v1/infers/service", "/v1/infers/service/v1/chat/completions"]
        checks.check(gateway.targets == expected, f"{gateway.targets} arrived, signed")
    print(f"{checks.passed} passed, {checks.failed} failed")
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
