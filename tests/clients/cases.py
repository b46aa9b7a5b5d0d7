"""Requests as people send them, and random ones."""

import random
import string
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

SERVICE = "/v1/infers/76c41384-23ab-45f9-a66e-892e7bc2be53"
JSON = "application/json"
MULTIPART = "multipart/form-data; boundary=bound"


@dataclass
class Case:
    """A request to send."""

    method: str = "GET"
    target: str = SERVICE
    body: bytes = b""
    content_type: str = ""
    # Names that clients leave alone; values of a name that is there twice stay in order.
    headers: list[tuple[str, str]] = field(default_factory=list)
    chunked: bool = False

    @property
    def is_unsigned(self) -> bool:
        return bool(self.body) and self.content_type.lower().startswith("multipart/")

    @property
    def fits_http2(self) -> bool:
        """Whether HTTP/2 can express it (RFC 9113 8.2): values without blanks around them, no headers of one connection."""
        forbidden = {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "te"}
        values = [self.content_type, *(value for _, value in self.headers)]
        return (self.target.startswith("/") and all(value == value.strip(" \t") for value in values)
                and not any(name.lower() in forbidden for name, _ in self.headers))


def multipart(content: bytes) -> bytes:
    head = b'--bound\r\ncontent-disposition: form-data; name="file"; filename="a.bin"\r\n\r\n'
    return head + content + b"\r\n--bound--\r\n"


def fixed() -> list[Case]:
    """Bodies of every kind, and targets on which decoders differ."""
    bodies = [
        Case("POST", body=b'{"a": 1}', content_type=JSON),
        Case("POST", body='{"text": "h\u00e9llo \u4e2d\u6587 \U0001f600"}'.encode(), content_type=JSON + "; charset=utf-8"),
        Case("PUT", body=b"a=1&b=x+y%20z", content_type="application/x-www-form-urlencoded"),
        Case("POST", body=multipart(bytes(range(256)) * 40), content_type=MULTIPART),
        Case("POST", body=multipart(b"x" * 3_000_000), content_type=MULTIPART),
        Case("POST", body=b"plain \xff\x00 text", content_type="text/plain"),
        Case("DELETE", body=b"gone", content_type="text/plain"),
        Case("POST"), Case("PUT"), Case("DELETE"), Case("GET"),
        Case("POST", content_type=MULTIPART),
        Case(headers=[("x-test-a", "1"), ("x-test-b", "two  blanks"), ("accept-language", "zh-CN,zh;q=0.9")]),
    ]
    paths = ["/", "/a%2Fb", "/~user", "/a:b", "/it%27s", "/%E4%B8%AD", "/a%20b", "/a+b", "/a@b,c;d=1", "/a//b/", "/v1/chat/completions/"]
    queries = [
        "a=1", "a", "a=", "b=2&a=1&a=0", "q=x+y", "q=x%2By", "a;b=1", "a=1;b=2", "a=caf%C3%A9", "%C3%A9=1", "a[]=1&a[]=2", "t=08:00:00Z",
        "a=%2F&b=/", "~=~", "a=!*()", "a=b=c", "a=1&&b=2", "u=https%3A%2F%2Fe.example%2F%3Fa%3D1", "z=%26&y=%3D&x=%23",
    ]
    return bodies + [Case(target=path) for path in paths] + [Case(target=f"/p?{query}") for query in queries]


class RandomCases:
    """Random requests from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        # Those that were drawn and do not suit the client.
        self.left_out = 0

    def draw(self, count: int, suits: Callable[[Case], bool], plain_headers: bool = False) -> list[Case]:
        """So many that suit; the others are counted."""
        found: list[Case] = []
        while len(found) < count:
            case = self.case(plain_headers)
            if suits(case):
                found.append(case)
            else:
                self.left_out += 1
        return found

    def case(self, plain_headers: bool = False) -> Case:
        method = self.random.choice(["GET", "POST", "PUT", "DELETE", "PATCH"])
        body, content_type = self.body() if method != "GET" or self.random.random() < 0.1 else (b"", "")
        chunked = bool(body) and self.random.random() < 0.2
        return Case(method, self.target(), body, content_type, self.headers(plain_headers), chunked)

    def target(self) -> str:
        while True:
            path = "/" + "/".join(self.part(":@!$'()*,;=+&") for _ in range(self.random.randrange(5)))
            # Dot segments are refused, and this is about what is not.
            if not {".", ".."} & set(unquote(path).replace("\\", "/").split("/")):
                break
        pairs = [self.pair() for _ in range(self.random.randrange(6))]
        return f"{path}?{'&'.join(pairs)}" if pairs else path

    def pair(self) -> str:
        name = self.part(":@!$'()*,/?[]+;")
        end = self.random.random()
        return name if end < 0.1 else f"{name}=" if end < 0.2 else f"{name}={self.part(':@!$()*,/?[]+;=' + chr(39))}"

    def part(self, delimiters: str) -> str:
        def piece() -> str:
            kind = self.random.random()
            if kind < 0.6:
                return self.random.choice(string.ascii_letters + string.digits + "-_.~")
            if kind < 0.8:
                return self.random.choice(delimiters)
            text = self.random.choice([" ", "+", "/", "%", "&", "=", ";", "#", "?", "\u00e9", "\u4e2d", "\U0001f600", "\u0660", '"', "|", "^"])
            escaped = quote(text, safe="")
            return escaped.lower() if self.random.random() < 0.2 else escaped

        return "".join(piece() for _ in range(self.random.randrange(1, 9)))

    def body(self) -> tuple[bytes, str]:
        size = self.random.choice([0, 1, 20, 500, 5_000, 70_000, 200_000])
        if self.random.random() < 0.01:
            size = self.random.randrange(1 << 20, 11 << 20)
        content = self.random.randbytes(size)
        kind = self.random.choice([JSON, "text/plain", "application/octet-stream", MULTIPART, ""])
        return (multipart(content), kind) if kind == MULTIPART else (content, kind)

    def headers(self, plain: bool) -> list[tuple[str, str]]:
        """Headers; plain ones have each name once, and ASCII only."""
        found = []
        for _ in range(self.random.randrange(4)):
            name = f"x-test-{self.random.choice('abcdef')}"
            if plain and any(name == other for other, _ in found):
                continue
            alphabet = string.ascii_letters + string.digits + "!#$%&'()*+,-./:;<=>?@[]^_`{|}~\""
            if not plain:
                alphabet += "\u00e9\u00ff\u00a0"
            value = "".join(self.random.choices(alphabet, k=self.random.choice([1, 5, 300])))
            found.append((name, value))
        return found
