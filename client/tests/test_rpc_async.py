"""AsyncGrpcClient of face_age_client/rpc.py: what test_rpc.py tests of the other, and tasks."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from typing import Any

import grpc
import pytest

from face_age_client.answer import Answer
from face_age_client.errors import Interrupted, Malformed, Refused, Unreachable
from face_age_client.rpc import AsyncGrpcClient

Use = Callable[[AsyncGrpcClient], Coroutine[Any, Any, Any]]
TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OPTIONS = {
    "attributes": ("age", "emotion"),
    "top_k": 2,
    "distribution": True,
    "quality": False,
    "relative": True,
    "rotate": "auto",
}


def using(address: str, use: Use, **settings: Any) -> Any:
    """What `use` gives, in an event loop with a client, which is made outside of it."""
    client = AsyncGrpcClient(address, **({"timeout": 5} | settings))

    async def run() -> Any:
        async with client:
            return await use(client)

    return asyncio.run(run())


def predict(address: str, image: bytes = b"x", **settings: Any) -> Answer:
    answer: Answer = using(address, lambda client: client.predict(image), **settings)
    return answer


def test_request(servicer, address):
    use = lambda client: client.predict(b"image", max_faces=3, min_confidence=0.5)  # noqa: E731
    assert using(address, use, model_version="2.0").faces == ()
    (request,) = servicer.requests
    assert (request.model_name, request.model_version) == ("age", "2.0")
    entries = {"data": b"image", "max_faces": b"3", "min_confidence": b"0.5"}
    assert dict(request.input) == entries


def test_options_are_entries(servicer, address):
    using(address, lambda client: client.predict(b"x", **OPTIONS))
    (request,) = servicer.requests
    assert dict(request.input) == {
        "data": b"x",
        "attributes": b"age,emotion",
        "top_k": b"2",
        "distribution": b"true",
        "quality": b"false",
        "relative": b"true",
        "rotate": b"auto",
    }


def test_trace_is_an_entry(servicer, address):
    async def use(client):
        await client.predict(b"x", traceparent=TRACEPARENT)
        await client.predict(b"x", traceparent="1")
        servicer.body = b"\x89PNG"
        await client.picture(b"x", "png", traceparent=TRACEPARENT)

    using(address, use)
    entries = [dict(request.input) for request in servicer.requests]
    assert entries == [
        {"data": b"x", "traceparent": TRACEPARENT.encode()},
        {"data": b"x"},
        {"data": b"x", "annotate": b"png", "traceparent": TRACEPARENT.encode()},
    ]


def test_picture(servicer, address):
    servicer.body = b"\x89PNG\r\n"
    assert using(address, lambda client: client.picture(b"x", "png")) == servicer.body
    (request,) = servicer.requests
    assert dict(request.input) == {"data": b"x", "annotate": b"png"}


def test_large_image(servicer, address):
    predict(address, bytes(20 * 2**20))
    assert len(servicer.requests[0].input["data"]) == 20 * 2**20


def test_several_at_once(servicer, address):
    servicer.wait = threading.Barrier(4, timeout=5).wait

    async def use(client: AsyncGrpcClient) -> list[Answer]:
        return await asyncio.gather(*(client.predict(b"x") for _ in range(4)))

    assert [answer.width for answer in using(address, use)] == [1] * 4
    assert len(set(servicer.peers)) == 1


def test_failure_in_the_body(servicer, address):
    servicer.body = b'{"code": 400, "type": "InvalidImage", "message": "m"}'
    with pytest.raises(Refused) as refused:
        predict(address)
    assert (refused.value.type, refused.value.code) == ("InvalidImage", 400)


def test_malformed(servicer, address):
    servicer.body = b"{}"
    with pytest.raises(Malformed, match="has no 'width'"):
        predict(address)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (grpc.StatusCode.INTERNAL, "why"),
        (grpc.StatusCode.UNAVAILABLE, "why"),
        (grpc.StatusCode.CANCELLED, "why; the service cuts off what is larger than it takes"),
    ],
)
def test_failure_in_the_status(servicer, address, status, message):
    servicer.status = (status, "why")
    with pytest.raises(Refused) as refused:
        predict(address)
    assert (refused.value.type, refused.value.message) == (status.name, message)
    assert refused.value.code is None


def test_retries_after_retry_after(servicer, address):
    servicer.busy = 2
    assert predict(address).width == 1
    assert len(servicer.requests) == 3


def test_does_not_wait_for_longer_than_its_timeout(servicer, address):
    servicer.busy = 100
    with pytest.raises(Refused) as refused:
        predict(address, timeout=0.5)
    assert (refused.value.type, refused.value.retry_after) == ("UNAVAILABLE", 0)
    assert len(servicer.requests) in (2, 3)


def test_key(servicer, address):
    predict(address)
    predict(address, api_key="secret")
    sent = [metadata.get("authorization") for metadata in servicer.metadata]
    assert sent == [None, "Bearer secret"]


def test_answer_that_takes_too_long(servicer, address):
    release = threading.Event()
    servicer.wait = lambda: release.wait(5)
    with pytest.raises(Interrupted, match=r"no answer in 0\.2 s"):
        predict(address, timeout=0.2)
    release.set()


def test_nothing_listens():
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1 does not answer"):
        predict("127.0.0.1:1")


def test_service_that_was_started_anew(servicer, serving_grpc):
    """The channel connects again."""

    async def use(client: AsyncGrpcClient) -> None:
        await client.predict(b"x")
        server.close()
        await asyncio.sleep(0.1)
        with serving_grpc(address):
            await client.predict(b"x")

    with serving_grpc() as address:
        pass
    server = ExitStack()
    server.enter_context(serving_grpc(address))
    using(address, use)
    assert len(servicer.requests) == 2


def test_close(servicer, address):
    """Another image opens a new connection; closed twice, it stays closed."""

    async def run() -> None:
        client = AsyncGrpcClient(address)
        await client.close()
        await client.predict(b"x")
        await client.close()
        await client.predict(b"x")
        await client.close()
        await client.close()

    asyncio.run(run())
    assert len(servicer.requests) == 2


def test_cancelled(servicer, address):
    """The client can be used again."""
    release = threading.Event()
    servicer.wait = lambda: release.wait(5)

    async def use(client: AsyncGrpcClient) -> Answer:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.predict(b"x"), 0.2)
        release.set()
        return await client.predict(b"x")

    assert using(address, use).width == 1


@pytest.mark.parametrize("address", ["127.0.0.1", "a:1/path"])
def test_malformed_address(address):
    with pytest.raises(ValueError, match="is not of the form"):
        AsyncGrpcClient(address)
