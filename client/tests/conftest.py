"""Stand-ins for the service over REST and gRPC, for all clients."""

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager

import grpc
import pytest

from face_age_client.inference_pb2 import PredictionResponse, PredictionsRequest
from face_age_client.inference_pb2_grpc import (
    InferenceAPIsServiceServicer,
    add_InferenceAPIsServiceServicer_to_server,
)
from face_age_client.testing import ANSWER, Server, serving


class Servicer(InferenceAPIsServiceServicer):
    """Answers with `body`, or aborts with `status`; records requests."""

    def __init__(self) -> None:
        self.body = ANSWER
        self.status: tuple[grpc.StatusCode, str] | None = None
        self.requests: list[PredictionsRequest] = []
        self.metadata: list[dict[str, str]] = []
        self.peers: list[str] = []
        self.busy = 0  # calls that are refused with retry-after: 0
        self.wait: Callable[[], object] = lambda: None  # before it answers

    def Predictions(self, request, context):  # noqa: N802
        self.requests.append(request)
        self.metadata.append(dict(context.invocation_metadata()))
        self.peers.append(context.peer())
        self.wait()
        if len(self.requests) <= self.busy:
            context.set_trailing_metadata((("retry-after", "0"),))
            context.abort(grpc.StatusCode.UNAVAILABLE, "busy")
        if self.status is not None:
            context.abort(*self.status)
        return PredictionResponse(prediction=self.body)


@pytest.fixture
def servicer() -> Servicer:
    return Servicer()


@pytest.fixture
def serving_grpc(servicer: Servicer) -> Callable[..., AbstractContextManager[str]]:
    """Makes a server at an address until the end of the block; yields the address."""

    @contextmanager
    def serve(address: str = "127.0.0.1:0") -> Iterator[str]:
        with ThreadPoolExecutor(4) as pool:
            server = grpc.server(pool, options=[("grpc.max_receive_message_length", -1)])
            add_InferenceAPIsServiceServicer_to_server(servicer, server)
            port = server.add_insecure_port(address)
            server.start()
            yield f"127.0.0.1:{port}"
            server.stop(None).wait()

    return serve


@pytest.fixture
def address(serving_grpc: Callable[..., AbstractContextManager[str]]) -> Iterator[str]:
    with serving_grpc() as address:
        yield address


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture
def full_backlog() -> Iterator[str]:
    """The URL of a socket that accepts no connection: its queue is full."""
    with socket.socket() as listener, ExitStack() as waiting:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(2):
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
