"""What a request is named by, in the answer and in the logs of nginx and the service."""

import http.client
import json
import secrets
from typing import Any

import pytest

from tests.proxy.proxy import Proxy
from tests.service.test_rest import JPEG
from tests.torchserve import Service, await_logged

pytestmark = pytest.mark.service


def answered_ids(proxy: Proxy, headers: dict[str, str]) -> list[str]:
    """The ids in the answer's headers."""
    connection = http.client.HTTPSConnection(
        "127.0.0.1", proxy.port, timeout=60, context=proxy.trust()
    )
    try:
        connection.request("POST", "/predictions/age", JPEG, headers)
        response = connection.getresponse()
        response.read()
        return response.headers.get_all("X-Request-Id", [])
    finally:
        connection.close()


def logged(service: Service, request_id: str) -> dict[str, Any]:
    text = await_logged(service.logs / "request_log.log", request_id)
    (line,) = [line for line in text.splitlines() if request_id in line]
    content = json.loads(line)
    assert isinstance(content, dict)
    return content


@pytest.fixture
def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_the_clients_id(proxy: Proxy, service: Service, bearer: dict[str, str]) -> None:
    given, trace = f"order/{secrets.token_hex(8)}", secrets.token_hex(16)
    headers = {"X-Request-Id": given, "traceparent": f"00-{trace}-{secrets.token_hex(8)}-01"}
    assert answered_ids(proxy, headers | bearer) == [given]
    line = logged(service, given)
    assert (line["request_id"], line["trace_id"]) == (given, trace)
    assert 0 <= line["queued"] < 60
    await_logged(proxy.folder / "access.log", f" id={given} ")


@pytest.mark.parametrize("given", [None, "", 'a"b', "x" * 65])
def test_a_new_one(
    proxy: Proxy, service: Service, bearer: dict[str, str], given: str | None
) -> None:
    headers = {} if given is None else {"X-Request-Id": given}
    (made,) = answered_ids(proxy, headers | bearer)
    assert len(made) == 32
    assert logged(service, made)["request_id"] == made
    await_logged(proxy.folder / "access.log", f" id={made} ")


def test_of_a_refusal(proxy: Proxy) -> None:
    given = f"order-{secrets.token_hex(8)}"
    assert answered_ids(proxy, {"X-Request-Id": given}) == [given]
    await_logged(proxy.folder / "access.log", f" id={given} ")
