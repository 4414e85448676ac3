"""Web pages of other origins: none may ask until the operator names them."""

import http.client
from collections.abc import Iterator, Mapping
from contextlib import closing

import pytest

from handler.options import HEADERS
from tests.proxy.proxy import Proxy, proxied
from tests.proxy.test_limits import BYTES, CHEAP
from tests.service.test_rest import JPEG
from tests.torchserve import Service

pytestmark = pytest.mark.service
PAGE = "https://example.org"
ASKED = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-top-k"}


@pytest.fixture(scope="module")
def open_proxy(nginx: None, service: Service) -> Iterator[Proxy]:
    """nginx whose operator took the comment from the shipped line."""
    line = "# https://example.org $http_origin;"
    with proxied(service, site_changes={line: line.removeprefix("# ")}) as proxy:
        yield proxy


def headers(
    proxy: Proxy, method: str, path: str, sent: Mapping[str, str], body: bytes | None = None
) -> tuple[int, dict[str, str]]:
    """The status, and the headers in lower case."""
    connection = http.client.HTTPSConnection("127.0.0.1", proxy.port, context=proxy.trust())
    with closing(connection):
        connection.request(method, path, body, dict(sent))
        response = connection.getresponse()
        response.read()
        return response.status, {name.lower(): value for name, value in response.getheaders()}


def of_cors(found: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in found.items() if name.startswith("access-control")}


@pytest.mark.parametrize("path", ["/predictions/age", "/v1/models/age:predict", "/ping"])
def test_a_browser_s_question(open_proxy: Proxy, path):
    """It carries no key."""
    status, found = headers(open_proxy, "OPTIONS", path, {"Origin": PAGE} | ASKED)
    assert status == 204
    allowed = found["access-control-allow-headers"].lower().split(", ")
    others = {"authorization", "content-type", "x-request-id", "inference-header-content-length"}
    assert set(allowed) == others | {*HEADERS}
    assert found["access-control-allow-origin"] == PAGE
    assert found["access-control-allow-methods"] == "GET, POST, PUT"
    assert found["access-control-max-age"] == "600"
    assert found["vary"] == "Origin"


def test_answers_and_failures_may_be_read(open_proxy: Proxy):
    sent = BYTES | {"Origin": PAGE, "Authorization": f"Bearer {open_proxy.new_key()}"}
    for body, given, code in ((JPEG, sent, 200), (CHEAP, sent, 415), (JPEG, {"Origin": PAGE}, 401)):
        status, found = headers(open_proxy, "POST", "/predictions/age", given, body)
        assert (status, of_cors(found)) == (
            code,
            {
                "access-control-allow-origin": PAGE,
                "access-control-expose-headers": (
                    "Retry-After, X-Request-Id, Inference-Header-Content-Length"
                ),
            },
        )
        assert found["vary"] == "Origin"


@pytest.mark.parametrize(
    "origin", ["https://example.com", "http://example.org", "https://example.org.evil.net", "null"]
)
def test_other_pages_may_not(open_proxy: Proxy, origin):
    status, found = headers(open_proxy, "OPTIONS", "/predictions/age", {"Origin": origin} | ASKED)
    assert (status, of_cors(found)) == (405, {})
    status, found = headers(open_proxy, "GET", "/ping", {"Origin": origin})
    assert (status, of_cors(found)) == (200, {})


def test_a_method_that_nothing_has(open_proxy: Proxy):
    sent = {"Origin": PAGE, "Access-Control-Request-Method": "DELETE"}
    status, found = headers(open_proxy, "OPTIONS", "/predictions/age", sent)
    assert status == 405
    assert "access-control-allow-methods" not in found


def test_none_by_default(proxy: Proxy):
    status, found = headers(proxy, "OPTIONS", "/predictions/age", {"Origin": PAGE} | ASKED)
    assert (status, of_cors(found)) == (405, {})
    status, found = headers(proxy, "GET", "/ping", {"Origin": PAGE})
    assert (status, of_cors(found)) == (200, {})
