"""Each key has its share of TorchServe, whatever another one sends.

In front of a real TorchServe with one worker, which is stopped while it is counted how much the
proxy has let through: a stopped worker stands for one that a crowd keeps busy.
"""

import json
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from urllib.request import urlopen

import grpc
import pytest

from face_age_client.inference_pb2 import PredictionsRequest
from face_age_client.inference_pb2_grpc import InferenceAPIsServiceStub
from tests.proxy.proxy import Proxy
from tests.proxy.test_rpc import bearer, connect
from tests.proxy.test_slow import head
from tests.service.test_deadline import SHIPPED, Log, worker_stopped
from tests.service.test_rest import JPEG
from tests.torchserve import Service, running_model

pytestmark = pytest.mark.service
CONFIG = SHIPPED | {"minWorkers": 1, "maxWorkers": 1, "batchSize": 1}
LONG = 2  # seconds of an answer by which a key is known
LET_THROUGH = 1.0  # seconds by which what may pass has passed


@pytest.fixture(scope="module")
def service(
    nginx: None, model_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """TorchServe with one worker, which takes one image at a time."""
    with running_model(model_file, CONFIG, tmp_path_factory.mktemp("service")) as service:
        yield service


def quiet_log(service: Service) -> Log:
    """TorchServe's words from now on; it writes some of them after its answer."""
    log = Log(service)
    while True:
        before = log.handed_over(), log.computed()
        time.sleep(LET_THROUGH)
        if (log.handed_over(), log.computed()) == before:
            return Log(service)


def under_way(service: Service, log: Log) -> int:
    """Requests that TorchServe has, in its worker's hands or in its queue."""
    time.sleep(LET_THROUGH)
    with urlopen(f"{service.management}/models/age") as answer:
        waiting: int = json.load(answer)[0]["jobQueueStatus"]["pendingRequests"]
    return log.handed_over() + waiting


def test_a_key_that_is_alone_fills_batches(fresh_proxy: Proxy, service: Service) -> None:
    key, alone = fresh_proxy.quick_key(JPEG), 2 * len(fresh_proxy.workers())
    log = quiet_log(service)
    with ThreadPoolExecutor(alone + 3) as pool:
        with worker_stopped(service):
            asked = [pool.submit(fresh_proxy.ask, JPEG, key=key) for _ in range(alone + 3)]
            assert under_way(service, log) == alone
        assert [each.result(60).status for each in asked] == [200] * (alone + 3)


@pytest.mark.parametrize("known", ["for nothing", "for long answers"])
def test_a_key_leaves_a_worker_to_whoever_comes(
    fresh_proxy: Proxy, service: Service, known: str
) -> None:
    key, least = fresh_proxy.new_key(), max(1, len(fresh_proxy.workers()) - 1)
    with ThreadPoolExecutor(least + 3) as pool:
        if known == "for long answers":
            assert fresh_proxy.ask(JPEG, key=key).status == 200
            with worker_stopped(service):
                asked = pool.submit(fresh_proxy.ask, JPEG, key=key)
                time.sleep(LONG + 0.2)
            assert asked.result(60).status == 200
            assert fresh_proxy.ask(JPEG, key=key).status == 200
        log = quiet_log(service)
        with worker_stopped(service):
            replies = [pool.submit(fresh_proxy.ask, JPEG, key=key) for _ in range(least + 3)]
            assert under_way(service, log) == least
        assert [each.result(60).status for each in replies] == [200] * (least + 3)


def test_another_key_does_not_wait_for_all_of_it(fresh_proxy: Proxy, service: Service) -> None:
    keys = [fresh_proxy.new_key() for _ in fresh_proxy.workers()]  # a TorchServe worker each
    keys += [fresh_proxy.new_key()] * (len(keys) < 2)
    for key in keys:
        assert fresh_proxy.ask(JPEG, key=key).status == 200
    log = quiet_log(service)
    with ThreadPoolExecutor(7) as pool:
        with worker_stopped(service):
            crowds = [pool.submit(fresh_proxy.ask, JPEG, key=keys[0]) for _ in range(6)]
            assert under_way(service, log) == 1
            other = pool.submit(fresh_proxy.ask, JPEG, key=keys[1])
            assert under_way(service, log) == 2
        done, _ = wait([other, *crowds], 60, FIRST_COMPLETED)
        assert other.result(60).status == 200
        assert sum(each.done() for each in crowds) < len(crowds)
        assert [each.result(60).status for each in crowds] == [200] * 6
    assert done


def test_what_a_client_has_left_keeps_its_place(fresh_proxy: Proxy, service: Service) -> None:
    """Over REST until TorchServe is done with it, over gRPC for some seconds."""
    key, alone = fresh_proxy.quick_key(JPEG), 2 * len(fresh_proxy.workers())
    request = PredictionsRequest(model_name="age", input={"data": JPEG})
    log = quiet_log(service)
    with ThreadPoolExecutor(alone) as pool, connect(fresh_proxy) as channel:
        grpc.channel_ready_future(channel).result(60)
        with worker_stopped(service):
            for _ in range(alone - 1):
                with fresh_proxy.connect() as connection:
                    connection.sendall(head(key, len(JPEG)) + JPEG)
                    time.sleep(0.3)
            predictions = InferenceAPIsServiceStub(channel).Predictions
            call = predictions.future(request, timeout=60, metadata=[bearer(key)])
            assert under_way(service, log) == alone
            call.cancel()
            asked = [pool.submit(fresh_proxy.ask, JPEG, key=key) for _ in range(alone)]
            assert under_way(service, log) == alone
        assert [each.result(60).status for each in asked] == [200] * alone


def test_who_leaves_before_its_turn_is_not_computed(fresh_proxy: Proxy, service: Service) -> None:
    key, alone = fresh_proxy.quick_key(JPEG), 2 * len(fresh_proxy.workers())
    log = quiet_log(service)
    with ThreadPoolExecutor(alone) as pool:
        with worker_stopped(service):
            asked = [pool.submit(fresh_proxy.ask, JPEG, key=key) for _ in range(alone)]
            assert under_way(service, log) == alone
            for _ in range(5):
                with fresh_proxy.connect() as connection:
                    connection.sendall(head(key, len(JPEG)) + JPEG)
                    time.sleep(0.3)
        assert [each.result(60).status for each in asked] == [200] * alone
        assert fresh_proxy.ask(JPEG, key=key).status == 200
    assert log.handed_over() == alone + 1
