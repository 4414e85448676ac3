"""Options in the address, which TorchServe would drop."""

from urllib.parse import quote

import pytest

from tests.proxy.proxy import Proxy
from tests.proxy.test_limits import BYTES, CHEAP, OPTIONS
from tests.service.exchange import multipart
from tests.service.test_rest import JPEG, TWO_FACES

pytestmark = pytest.mark.service
KNOWN = "known are " + ", ".join(OPTIONS)


def ask(proxy: Proxy, key: str, query: str, body: bytes = CHEAP, **headers: str):
    return proxy.ask(body, BYTES | headers, f"/predictions/age?{query}", key=key)


def test_all_options(proxy: Proxy, key):
    query = "&".join(f"{name}={value}" for name, value in OPTIONS.items())
    reply = ask(proxy, key, query, JPEG)
    assert (reply.status, reply.type) == (200, "image/png")


def test_values_are_those_of_the_query(proxy: Proxy, key):
    reply = ask(proxy, key, "max_faces=1&attributes=a%67e", TWO_FACES)
    assert len(reply.content["faces"]) == 1
    reply = proxy.ask(JPEG, BYTES, "/predictions/age/1.0?min_confidence=1", key=key)
    assert reply.content["faces"] == []


def test_the_body_wins(proxy: Proxy, key):
    body, headers = multipart({"data": (TWO_FACES, None), "max_faces": (b"2", None)})
    reply = proxy.ask(body, headers, "/predictions/age?max_faces=1", key=key)
    assert len(reply.content["faces"]) == 2


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("min_confidense=0.5", f"there is no option 'min_confidense'; {KNOWN}"),
        ("max_faces=1&verbose", f"there is no option 'verbose'; {KNOWN}"),
        ("x-max-faces=1", f"there is no option 'x-max-faces'; {KNOWN}"),
        ("=1", f"there is no option ''; {KNOWN}"),
        (quote('"\n') + "=1", f"there is no option '\"\n'; {KNOWN}"),
        (f"{'n' * 1000}=1", f"there is no option '{'n' * 64}'; {KNOWN}"),
        ("max_faces=1&max_faces=1", "max_faces is given twice, in the query or as a header too"),
        ("max_faces=", "max_faces has 1 to 1024 letters in a query"),
        ("max_faces", "max_faces has 1 to 1024 letters in a query"),
        ("attributes=" + "a" * 1025, "attributes has 1 to 1024 letters in a query"),
        ("top_k=1%0d%0aX-Most-Faces:%20999", "top_k has 1 to 1024 letters in a query"),
        ("top_k=1%00", "top_k has 1 to 1024 letters in a query"),
        ("top_k=%C3%BC", "top_k has 1 to 1024 letters in a query"),
        ("top_k=%FF", "top_k has 1 to 1024 letters in a query"),
    ],
)
def test_what_is_refused(proxy: Proxy, key, query, message):
    reply = ask(proxy, key, query)
    assert reply.failure == (400, "InvalidOption")
    assert reply.content["message"] == message


def test_a_value_out_of_its_range(proxy: Proxy, key):
    reply = ask(proxy, key, "max_faces=301")
    assert reply.failure == (400, "InvalidOption")
    assert reply.content["message"] == "max_faces must be a whole number from 1 to 300, not 301"


def test_beside_the_header(proxy: Proxy, key):
    reply = ask(proxy, key, "max_faces=1", **{"X-Max-Faces": "1"})
    assert reply.content["message"] == "max_faces is given twice, in the query or as a header too"


@pytest.mark.parametrize("path", ["/ping?max_faces=1", "/openapi.json?a", "/v2/health/live?a=b"])
def test_elsewhere_there_is_none(proxy: Proxy, path):
    reply = proxy.ask(path=path, method="GET")
    assert (reply.status, reply.content["type"]) == (400, "InvalidRequest")
    assert reply.content["message"].endswith("has a query string only where photos are sent")


def test_no_log_quotes_it(proxy: Proxy, key):
    ask(proxy, key, "max_faces=7&attributes=a-secret")
    assert "a-secret" not in proxy.logs()
    assert "max_faces" not in proxy.logs()
