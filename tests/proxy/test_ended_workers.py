"""A key whose photographs hang workers has to wait; another one does not.

In front of a real TorchServe, whose model does not come to an end with a photograph without blue.
"""

import time
from collections.abc import Iterator

import grpc
import pytest
import yaml

from face_age_client.inference_pb2 import PredictionsRequest
from face_age_client.inference_pb2_grpc import InferenceAPIsServiceStub
from handler.contract import Contract
from server import archive
from tests.archives import exported
from tests.proxy.proxy import Proxy, proxied
from tests.proxy.test_rpc import bearer, connect
from tests.service.hindered import Faulty, without_blue
from tests.service.test_deadline import SHIPPED
from tests.service.traces import Marker
from tests.torchserve import Service, running

pytestmark = pytest.mark.service
ENDS = 3  # workers that a key may end
STEP = 2  # seconds; ten are shipped
CONFIG = SHIPPED | {
    "minWorkers": 1,
    "maxWorkers": 1,
    "handler": SHIPPED["handler"] | {"step_timeout": STEP},
}
CHEAP = b"%PDF-1.4"


@pytest.fixture(scope="module")
def service(
    nginx: None, contract: Contract, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    store, state = tmp_path_factory.mktemp("store"), tmp_path_factory.mktemp("state")
    config = store / "model-config.yaml"
    config.write_text(yaml.safe_dump(CONFIG))
    model = exported(Faulty(), contract, store / "faulty.pt")
    archive.make(archive.Recipe(model, config=config), store / "age.mar")
    with running(store, state) as service:
        yield service


@pytest.fixture
def proxy(service: Service) -> Iterator[Proxy]:
    with proxied(service) as proxy:
        yield proxy


def await_worker(proxy: Proxy) -> None:
    """Return when there is a worker again."""
    key, until = proxy.new_key(), time.monotonic() + 120
    while proxy.ask(CHEAP, key=key).status != 415:
        assert time.monotonic() < until
        time.sleep(0.2)


def test_over_rest(proxy: Proxy) -> None:
    key, hangs = proxy.new_key(), without_blue(Marker())
    for _ in range(ENDS):
        await_worker(proxy)
        assert proxy.ask(CHEAP, key=key).status == 415
        assert proxy.ask(hangs, key=key).status in (500, 507)
    reply = proxy.ask(hangs, key=key)
    assert reply.failure == (429, "TooManyRequests")
    assert "ended several workers" in reply.content["message"]
    assert reply.retry_after is not None
    assert 500 < int(reply.retry_after) <= 600
    await_worker(proxy)  # for others


def test_over_grpc(proxy: Proxy) -> None:
    key = proxy.new_key()
    request = PredictionsRequest(model_name="age", input={"data": without_blue(Marker())})
    with connect(proxy) as channel:
        call = InferenceAPIsServiceStub(channel).Predictions.future
        for _ in range(ENDS):
            await_worker(proxy)
            error = call(request, timeout=60, metadata=[bearer(key)]).exception()
            assert error.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INTERNAL)
            assert "retry-after" not in dict(error.trailing_metadata())
        error = call(request, timeout=60, metadata=[bearer(key)]).exception()
        assert "ended several workers" in error.details()
        assert int(dict(error.trailing_metadata())["retry-after"]) > 500


def test_other_failures_do_not_count(proxy: Proxy) -> None:
    """A model that fails on a photograph takes no worker down."""
    key, fails = proxy.new_key(), Marker().jpeg()
    await_worker(proxy)
    proxy.ask(fails, key=key)  # a new worker answers its first
    for _ in range(ENDS + 1):
        assert proxy.ask(fails, key=key).status == 500
    assert proxy.ask(CHEAP, key=key).status == 415
