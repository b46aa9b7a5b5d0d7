"""Makes the pictures of docs/pictures from the running program: a refused request, its signature and its time, and the list in
dark colours.

    python inspector_pictures.py PATH-OF-APIG-PROXY FOLDER
"""

import io
import sys
from pathlib import Path

from PIL import Image

from inspected import Inspected, inspected
from inspector_page import InspectorPage, chromium

# Width and height of a picture, and the bytes that all of them may have together.
SIZE = (1120, 680)
MOST = 400 << 10
JSON = {"content-type": "application/json"}
REFUSED = "/removed/v1/infers/flowers/predict"


def usual_requests(proxy: Inspected) -> str:
    """Sends what somebody might send; the id of the request that is refused."""
    for number in range(3):
        proxy.send("GET", f"/v1/models?limit={number + 3}")
        proxy.send("POST", "/v1/infers/flowers/predict", b'{"petal": [5.1, 3.5], "top": 3}', JSON)
    proxy.send("PUT", "/v1/datasets/irises", b"5.1,3.5,1.4\n" * 900, {"content-type": "text/csv"})
    proxy.send("DELETE", "/v1/datasets/roses")
    proxy.send("GET", "/v1/search?q=iris+setosa")
    proxy.send("POST", REFUSED, b'{"petal": [6.3, 2.9], "top": 3}', {**JSON, "connection": "keep-alive"})
    proxy.wait_for_ended(10)
    return next(one["id"] for one in proxy.ended() if one["path"] == REFUSED)


def main() -> int:
    folder = Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    with inspected(sys.argv[1]) as (proxy, _), chromium() as browser:
        refused = usual_requests(proxy)
        pictures = {"why": ("why", "light"), "signature": ("signature", "light"), "time": ("timing", "light"), "dark": ("changes", "dark")}
        for name, (tab, colors) in pictures.items():
            shown = InspectorPage(browser, proxy, *SIZE, color_scheme=colors)
            shown.rows(10)
            shown.open(refused)
            shown.tab(tab)
            shown.page.evaluate("document.activeElement.blur()")
            shown.page.mouse.move(0, 0)
            shown.page.wait_for_timeout(200)
            picture = Image.open(io.BytesIO(shown.page.screenshot())).convert("RGB")
            # 256 colours are enough for text, and take half the bytes.
            picture.quantize(256, dither=Image.Dither.NONE).save(folder / f"inspector-{name}.png", optimize=True)
            shown.close()
    size = sum(file.stat().st_size for file in folder.glob("inspector-*.png"))
    print(f"{size >> 10} KiB in {folder}")
    return 0 if size <= MOST else 1


if __name__ == "__main__":
    sys.exit(main())
