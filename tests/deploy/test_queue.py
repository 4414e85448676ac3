"""A full queue of the real TorchServe's: clients are told to wait, over REST and gRPC."""

import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

import grpc
import pytest
import yaml

import archive
from client.errors import Refused
from client.rpc import GrpcClient
from tests.deploy.proxy import Proxy, proxied
from tests.deploy.test_rpc import bearer, connect, failure
from tests.service.test_deadline import SHIPPED, Log, worker_stopped
from tests.service.test_rest import JPEG
from tests.torchserve import Service, running

pytestmark = pytest.mark.service
QUEUE = 2
CONFIG = SHIPPED | {"minWorkers": 1, "maxWorkers": 1, "batchSize": 1, "jobQueueSize": QUEUE}


@pytest.fixture(scope="module")
def narrow(
    nginx: None, model_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """TorchServe with one worker, for which `QUEUE` photographs may wait."""
    store, state = tmp_path_factory.mktemp("store"), tmp_path_factory.mktemp("state")
    config = store / "model-config.yaml"
    config.write_text(yaml.safe_dump(CONFIG))
    archive.make(archive.Recipe(model_file, config=config), store / "age.mar")
    with running(store, state) as service:
        yield service


@pytest.fixture(scope="module")
def proxy(narrow: Service) -> Iterator[Proxy]:
    with proxied(narrow) as proxy:
        yield proxy


def test_clients_are_told_to_wait(proxy: Proxy, narrow: Service) -> None:
    key, log = proxy.new_key(), Log(narrow)
    rpc = GrpcClient(proxy.url, key=key, certificates=proxy.certificate, timeout=60)
    with ThreadPoolExecutor(QUEUE + 3) as pool, connect(proxy) as channel:
        with worker_stopped(narrow):
            asked = [pool.submit(proxy.ask, JPEG, key=key)]
            log.await_handed_over()
            asked += [pool.submit(proxy.ask, JPEG, key=key) for _ in range(QUEUE + 1)]
            (first,) = wait(asked, 30, FIRST_COMPLETED).done
            error = failure(channel, JPEG, bearer(key))
            patient = pool.submit(rpc.ask, JPEG)
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


def test_other_failures_are_torchserve_s_own(proxy: Proxy) -> None:
    client = GrpcClient(
        proxy.url, key=proxy.new_key(), model="mood", certificates=proxy.certificate
    )
    with pytest.raises(Refused) as refused:
        client.ask(JPEG)
    assert (refused.value.type, refused.value.retry_after) == ("INTERNAL", None)
    client.close()
