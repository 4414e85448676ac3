"""More images than the queue holds: the surplus gets 503 at once, with Retry-After.

What waits for too long is not computed: tests/service/test_deadline.py.
"""

import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from face_age_client.rest import RestClient
from server.sizing import CPU_QUEUE
from tests.faults.conftest import Making
from tests.faults.load import (
    ANSWERED,
    PORTRAIT,
    TURNED_AWAY,
    Exchange,
    Load,
    ask,
    direct,
    load,
    timed,
)
from tests.faults.table import Table
from tests.proxy.proxy import proxied
from tests.service.test_deadline import SHIPPED, worker_stopped
from tests.torchserve import Service, running

QUEUE, BATCH = 8, 4
USERS = 24
# What is before or with an image in the queue and the worker is one less than these. Until it
# is in the queue, and on the way back, a batch more may be answered, and another on a busy machine.
IMAGES = QUEUE + 3 * BATCH
# What the shipped deadline leaves each image of the shipped queue, and of the worker.
EACH = SHIPPED["clientTimeoutInMills"] / 1e3 / CPU_QUEUE  # seconds
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


@dataclass(frozen=True)
class Overflow:
    """A load of more than the queue takes, and what it is compared with."""

    alone: float  # seconds that an image takes without the load
    users: Load
    after: Exchange  # the first image behind it

    @property
    def recovery(self) -> float:
        """Seconds from the load's end, with a full queue, to the answer that no load delays."""
        return self.after.end - self.users.end


@pytest.fixture(scope="module")
def overflow(service: Service) -> Overflow:
    connect = direct(service.rest)
    alone = statistics.median(timed(connect).seconds for _ in range(5))
    with load(connect, USERS) as users:
        users.await_answers(5 * (QUEUE + BATCH))
    assert users.of(TURNED_AWAY)
    return Overflow(alone, users, timed(connect))


def test_the_surplus_is_turned_away_at_once(overflow: Overflow, table: Table) -> None:
    """Nine of ten, before anyone who came to a full queue and was taken has an answer."""
    users = overflow.users
    turned_away = users.of(TURNED_AWAY)
    wait = statistics.median(e.seconds for e in turned_away)
    slowest = max(e.seconds for e in users.of(ANSWERED))
    note = (
        f"{len(turned_away)} turned away after {1e3 * wait:.0f} ms in the median; the others "
        f"answered after {slowest:.1f} s at most"
    )
    name = f"queue overflow (`jobQueueSize` {QUEUE} here, one worker)"
    table.add(name, users, overflow.recovery, note)
    full = min(e.end for e in turned_away)
    queued = [e.seconds for e in users.of(ANSWERED) if e.start > full]
    *_, most = statistics.quantiles([e.seconds for e in turned_away], n=10)
    assert most < min(queued)


def test_who_was_taken_waits_for_the_queue_and_no_longer(overflow: Overflow) -> None:
    users = overflow.users
    assert users.lost == {}
    answered = users.of(ANSWERED)
    assert max(users.answered_during(e) for e in answered) <= IMAGES
    assert max(e.seconds for e in answered) <= IMAGES * EACH


def test_a_second_after_the_load_all_is_as_before(overflow: Overflow) -> None:
    """But for the time that the images take which the load has left in the queue."""
    assert overflow.after.outcome == ANSWERED
    assert overflow.after.seconds <= 1 + 3 * overflow.alone
    assert overflow.recovery <= 1 + IMAGES * overflow.users.pace


def test_clients_back_off(nginx: None, service: Service) -> None:
    """As long as Retry-After, which the proxy adds, says: then all are answered."""
    with proxied(service) as proxy, ThreadPoolExecutor(USERS) as pool:
        clients = [
            RestClient(proxy.url, api_key=proxy.new_key(), ca_file=proxy.certificate, timeout=120)
            for _ in range(USERS)
        ]
        with worker_stopped(service):
            asked = [pool.submit(client.predict, PORTRAIT) for client in clients]
            until = time.monotonic() + 20
            while proxy.logs().count('" 503 ') < USERS - QUEUE - BATCH:
                assert time.monotonic() < until, proxy.logs()[-2000:]
                time.sleep(0.05)
            assert not any(a.done() for a in asked)
        faces = [len(a.result().faces) for a in asked]
        for client in clients:
            client.close()
    assert faces == [1] * USERS
