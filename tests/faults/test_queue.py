"""More photographs than may wait: the surplus is turned away at once, and told when to come again.

What waits for too long is not computed: tests/service/test_deadline.py.
"""

import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from client.rest import RestClient
from tests.deploy.proxy import proxied
from tests.faults.conftest import Making
from tests.faults.load import ANSWERED, PORTRAIT, TURNED_AWAY, ask, direct, load
from tests.faults.table import Table
from tests.service.test_deadline import worker_stopped
from tests.torchserve import Service, running

QUEUE, BATCH = 8, 4
USERS = 24
ONE_WORKER = {"minWorkers": 1, "maxWorkers": 1, "batchSize": BATCH, "jobQueueSize": QUEUE}


@pytest.fixture(scope="module")
def service(store: Making, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running(store(**ONE_WORKER), tmp_path_factory.mktemp("state")) as service:
        yield service


def test_the_surplus_does_not_wait(service: Service) -> None:
    """It has its answer while the worker, which is stopped, has given none."""
    connect = direct(service.rest)
    with ThreadPoolExecutor(USERS) as pool:
        with worker_stopped(service):
            asked = [pool.submit(ask, connect()) for _ in range(USERS)]
            until = time.monotonic() + 20
            while sum(a.done() for a in asked) < USERS - QUEUE - BATCH:
                assert time.monotonic() < until
                time.sleep(0.05)
            assert {a.result() for a in asked if a.done()} == {TURNED_AWAY}
        outcomes = [a.result() for a in asked]
    assert set(outcomes) == {ANSWERED, TURNED_AWAY}
    assert QUEUE < outcomes.count(ANSWERED) <= QUEUE + BATCH


def test_overflow(service: Service, table: Table) -> None:
    """Nobody who was taken waits for more than the queue and the batches around it."""
    connect = direct(service.rest)
    with load(connect, USERS) as users:
        users.await_answers(5 * (QUEUE + BATCH))
    since = time.monotonic()
    assert ask(connect()) == ANSWERED
    recovery = time.monotonic() - since
    assert users.lost == {}
    turned_away = [e.seconds for e in users.of(TURNED_AWAY)]
    answered = [e.seconds for e in users.of(ANSWERED)]
    assert turned_away
    assert statistics.median(turned_away) < statistics.median(answered)
    note = (
        f"{len(turned_away)} turned away after {1e3 * statistics.median(turned_away):.0f} ms in "
        f"the median; the others answered after {max(answered):.1f} s at most"
    )
    table.add(f"queue overflow (`jobQueueSize` {QUEUE} here, one worker)", users, recovery, note)


def test_clients_back_off(nginx: None, service: Service) -> None:
    """As long as Retry-After, which the proxy adds, says: then all are answered."""
    with proxied(service) as proxy, ThreadPoolExecutor(USERS) as pool:
        clients = [
            RestClient(proxy.url, key=proxy.new_key(), certificates=proxy.certificate, timeout=120)
            for _ in range(USERS)
        ]
        with worker_stopped(service):
            asked = [pool.submit(client.ask, PORTRAIT) for client in clients]
            until = time.monotonic() + 20
            while proxy.logs().count('" 503 ') < USERS - QUEUE - BATCH:
                assert time.monotonic() < until, proxy.logs()[-2000:]
                time.sleep(0.05)
            assert not any(a.done() for a in asked)
        faces = [len(a.result().faces) for a in asked]
        for client in clients:
            client.close()
    assert faces == [1] * USERS
