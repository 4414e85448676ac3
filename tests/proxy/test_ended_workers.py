"""A key whose images hang workers has to wait; another one does not.

In front of a real TorchServe, whose model does not come to an end with an image without blue.
"""

import time
from collections.abc import Iterator

import grpc
import pytest

from face_age_client.inference_pb2 import PredictionsRequest
from face_age_client.inference_pb2_grpc import InferenceAPIsServiceStub
from handler.contract import Contract
from tests.archives import exported
from tests.proxy.proxy import Proxy
from tests.proxy.test_rpc import bearer, connect
from tests.service.hindered import Faulty, without_blue
from tests.service.test_deadline import SHIPPED
from tests.service.traces import Marker
from tests.torchserve import Service, running_model

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
    folder = tmp_path_factory.mktemp("service")
    model = exported(Faulty(), contract, folder / "faulty.pt")
    with running_model(model, CONFIG, folder) as service:
        yield service


def await_worker(fresh_proxy: Proxy) -> None:
    """Return when there is a worker again."""
    key, until = fresh_proxy.new_key(), time.monotonic() + 120
    while fresh_proxy.ask(CHEAP, key=key).status != 415:
        assert time.monotonic() < until
        time.sleep(0.2)


def test_over_rest(fresh_proxy: Proxy) -> None:
    key, hangs = fresh_proxy.new_key(), without_blue(Marker())
    for _ in range(ENDS):
        await_worker(fresh_proxy)
        assert fresh_proxy.ask(CHEAP, key=key).status == 415
        assert fresh_proxy.ask(hangs, key=key).status in (500, 507)
    reply = fresh_proxy.ask(hangs, key=key)
    assert reply.failure == (429, "TooManyRequests")
    assert "ended several workers" in reply.content["message"]
    assert reply.retry_after is not None
    assert 500 < int(reply.retry_after) <= 600
    await_worker(fresh_proxy)  # for others


def test_over_grpc(fresh_proxy: Proxy) -> None:
    key = fresh_proxy.new_key()
    request = PredictionsRequest(model_name="age", input={"data": without_blue(Marker())})
    with connect(fresh_proxy) as channel:
        call = InferenceAPIsServiceStub(channel).Predictions.future
        for _ in range(ENDS):
            await_worker(fresh_proxy)
            error = call(request, timeout=60, metadata=[bearer(key)]).exception()
            assert error.code() in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INTERNAL)
            assert "retry-after" not in dict(error.trailing_metadata())
        error = call(request, timeout=60, metadata=[bearer(key)]).exception()
        assert "ended several workers" in error.details()
        assert int(dict(error.trailing_metadata())["retry-after"]) > 500


def test_other_failures_do_not_count(fresh_proxy: Proxy) -> None:
    """A model that fails on an image takes no worker down."""
    key, fails = fresh_proxy.new_key(), Marker().jpeg()
    await_worker(fresh_proxy)
    fresh_proxy.ask(fails, key=key)  # a new worker answers its first
    for _ in range(ENDS + 1):
        assert fresh_proxy.ask(fails, key=key).status == 500
    assert fresh_proxy.ask(CHEAP, key=key).status == 415
