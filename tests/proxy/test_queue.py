"""A real TorchServe with one worker, and what becomes of those whom it lets wait.

If its queue is full, clients get Retry-After, over REST and gRPC; who leaves holds up nobody
for longer than its image takes.
"""

import json
import struct
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

import grpc
import pytest

from face_age_client.errors import Refused
from face_age_client.inference_pb2 import PredictionsRequest
from face_age_client.inference_pb2_grpc import InferenceAPIsServiceStub
from face_age_client.rpc import GrpcClient
from tests.proxy.proxy import Proxy, proxied
from tests.proxy.remains import remains
from tests.proxy.test_fair_share import quiet_log
from tests.proxy.test_rpc import bearer, connect, failure
from tests.service.test_deadline import SHIPPED, Log, worker_stopped
from tests.service.traces import Marker
from tests.torchserve import Service, running_model

pytestmark = pytest.mark.service
MARKER = Marker()
IMAGE = MARKER.jpeg()
QUEUE = 2
PREDICTIONS = "/org.pytorch.serve.grpc.inference.InferenceAPIsService/Predictions"
CURL_TIMED_OUT = 28
LEFT = 'Predictions HTTP/2.0" 499 '  # nginx's word for a call that its client has left
QUEUE_TIMEOUT = 8  # seconds
CONFIG = SHIPPED | {
    "minWorkers": 1,
    "maxWorkers": 1,
    "batchSize": 1,
    "jobQueueSize": QUEUE,
    "handler": SHIPPED["handler"] | {"queue_timeout": QUEUE_TIMEOUT},
}


@pytest.fixture(scope="module")
def narrow(
    nginx: None, model_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """TorchServe with one worker, for which `QUEUE` images may wait."""
    with running_model(model_file, CONFIG, tmp_path_factory.mktemp("service")) as service:
        yield service


@pytest.fixture(scope="module")
def proxy(narrow: Service) -> Iterator[Proxy]:
    """Nothing of what is sent through it is left behind."""
    started = time.time()
    with proxied(narrow) as proxy:
        yield proxy
        assert remains(proxy, MARKER, started) == []


def test_clients_are_reported_to_wait(proxy: Proxy, narrow: Service) -> None:
    key, log = proxy.quick_key(IMAGE), quiet_log(narrow)
    rpc = GrpcClient(proxy.url, api_key=key, ca_file=proxy.certificate, timeout=60)
    with ThreadPoolExecutor(QUEUE + 3) as pool, connect(proxy) as channel:
        with worker_stopped(narrow):
            asked = [pool.submit(proxy.ask, IMAGE, key=key)]
            log.await_handed_over()
            asked += [pool.submit(proxy.ask, IMAGE, key=key) for _ in range(QUEUE + 1)]
            (first,) = wait(asked, 30, FIRST_COMPLETED).done
            error = failure(channel, IMAGE, bearer(key))
            patient = pool.submit(rpc.predict, IMAGE)
            time.sleep(1)
            assert not patient.done()
        assert len(patient.result(60).faces) == 1
        statuses = sorted(reply.result(60).status for reply in asked)
    rpc.close()
    assert first.result().failure == (503, "ServiceUnavailableException")
    assert first.result().retry_after == "2"
    assert error is not None
    assert error.code() is grpc.StatusCode.INTERNAL
    assert dict(error.trailing_metadata())["retry-after"] == "2"
    assert "has no worker to serve" in error.details()
    assert statuses == [200] * (QUEUE + 1) + [503]


def test_what_has_waited_too_long_is_not_computed(proxy: Proxy, narrow: Service) -> None:
    """TorchServe's own deadline spares the first of a batch, and here each one is the first."""
    key, log = proxy.quick_key(IMAGE), quiet_log(narrow)
    # The proxy sets the arrival time, whatever the client sends.
    sent = {"Content-Type": "image/jpeg", "X-Request-Start": f"t={time.time() + 3600}"}
    with ThreadPoolExecutor(QUEUE + 1) as pool:
        with worker_stopped(narrow):
            asked = [pool.submit(proxy.ask, IMAGE, sent, key=key)]
            log.await_handed_over()
            asked += [pool.submit(proxy.ask, IMAGE, sent, key=key) for _ in range(QUEUE)]
            time.sleep(QUEUE_TIMEOUT + 0.5)
        _, *waited = [each.result(60) for each in asked]
    # The stopped worker may have begun with the request that it holds.
    assert [reply.failure for reply in waited] == [(503, "WaitedTooLong")] * QUEUE
    assert [reply.retry_after for reply in waited] == ["2"] * QUEUE
    at_once = proxy.ask(IMAGE, sent | {"X-Request-Start": "t=1"}, key=key)
    assert (at_once.status, len(at_once.content["faces"])) == (200, 1)


def test_other_failures_are_torchserve_s_own(proxy: Proxy) -> None:
    client = GrpcClient(proxy.url, api_key=proxy.new_key(), model="mood", ca_file=proxy.certificate)
    with pytest.raises(Refused) as refused:
        client.predict(IMAGE)
    assert (refused.value.type, refused.value.retry_after) == ("INTERNAL", None)
    client.close()


@pytest.mark.parametrize(
    ("timeout", "status"),
    [(60, grpc.StatusCode.CANCELLED), (3, grpc.StatusCode.DEADLINE_EXCEEDED)],
    ids=["cancelled", "past its deadline"],
)
def test_call_that_is_given_up(
    proxy: Proxy, narrow: Service, timeout: float, status: grpc.StatusCode
) -> None:
    """The worker, which has it by then, ends it and goes on with the next."""
    key, left = proxy.new_key(), proxy.logs().count(LEFT)
    before = proxy.ask(IMAGE, key=key).content
    assert len(before["faces"]) == 1
    request = PredictionsRequest(model_name="age", input={"data": IMAGE})
    with connect(proxy) as channel:
        grpc.channel_ready_future(channel).result(60)
        predictions = InferenceAPIsServiceStub(channel).Predictions
        with worker_stopped(narrow):
            log = Log(narrow)
            call = predictions.future(request, timeout=timeout, metadata=[bearer(key)])
            log.await_handed_over()
            if status is grpc.StatusCode.CANCELLED:
                assert call.cancel()
            assert call.code() is status
            assert log.computed() == 0
        answer = predictions(request, timeout=60, metadata=[bearer(key)])
    assert log.computed() == 2
    assert json.loads(answer.prediction) == before
    assert proxy.ask(IMAGE, key=key).content == before
    assert proxy.logs().count(LEFT) == left + 1


def test_a_deadline_is_the_client_s_own(proxy: Proxy, narrow: Service) -> None:
    """TorchServe would reset the call at it, and nginx would answer with Retry-After."""
    request = PredictionsRequest(model_name="age", input={"data": IMAGE}).SerializeToString()
    headers = {
        "content-type": "application/grpc",
        "te": "trailers",
        "grpc-timeout": "1S",
        "authorization": f"Bearer {proxy.new_key()}",
    }
    curl = ["curl", "--silent", "--http2", "--cacert", str(proxy.certificate), "--max-time", "4"]
    curl += [option for each in headers.items() for option in ("--header", ": ".join(each))]
    with worker_stopped(narrow):
        asked = subprocess.run(
            [*curl, "--data-binary", "@-", f"{proxy.url}{PREDICTIONS}"],
            input=struct.pack(">BI", 0, len(request)) + request,
            capture_output=True,
            check=False,
        )
    assert asked.returncode == CURL_TIMED_OUT
    assert proxy.ask(IMAGE, key=proxy.new_key()).status == 200
