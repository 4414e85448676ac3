"""Queued images have a deadline: what becomes of those that are past it.

`clientTimeoutInMills` of model-config.yaml counts from a request's arrival to its answer, which
TorchServe compares when it makes a batch and again when the batch is done. A worker that is stopped
stands for a busy one: what it holds and what waits for it grow old meanwhile.
"""

import http.client
import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import pytest
import yaml

from face_age_client.inference_pb2 import PredictionsRequest
from face_age_client.inference_pb2_grpc import InferenceAPIsServiceStub
from tests.images import astronaut, encoded
from tests.service.exchange import Reply, assert_same, expected
from tests.torchserve import ROOT, Service, running_model

DEADLINE = 2.0  # seconds
BATCH = 4
SHIPPED = yaml.safe_load((ROOT / "model_store" / "model-config.yaml").read_text())
CONFIG = SHIPPED | {
    "minWorkers": 1,
    "maxWorkers": 1,
    "batchSize": BATCH,
    "maxBatchDelay": 50,
    "clientTimeoutInMills": round(1e3 * DEADLINE),
}
PORTRAIT = encoded(astronaut(), "JPEG")


@pytest.fixture(scope="module")
def impatient(model_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """TorchServe with one worker, batches of `BATCH` and a deadline of `DEADLINE`."""
    with running_model(model_file, CONFIG, tmp_path_factory.mktemp("service")) as service:
        yield service


class Log:
    """TorchServe's own words since this was made."""

    def __init__(self, service: Service) -> None:
        self._file = service.logs / "ts_log.log"
        self._start = self._file.stat().st_size

    def await_handed_over(self) -> None:
        """Return when the worker has been given a batch."""
        until = time.monotonic() + 20
        while not self.handed_over():
            assert time.monotonic() < until
            time.sleep(0.05)

    def handed_over(self) -> int:
        """Batches that a worker has been given."""
        return self._read().count("Looping backend response at: ")

    def computed(self) -> int:
        """Requests that the worker has given an answer to, sent or not."""
        return len(set(re.findall(r"Sending response for jobId (\S+)", self._read())))

    def not_computed(self) -> int:
        """Requests that were dropped out of the queue."""
        return len(set(re.findall(r"Drop inference request (\S+) due to", self._read())))

    def _read(self) -> str:
        with self._file.open("rb") as file:
            file.seek(self._start)
            return file.read().decode()


def worker_of(service: Service, version: str) -> Any:
    """A version's one worker, by the management API."""
    address = urlsplit(service.management).netloc
    with closing(http.client.HTTPConnection(address, timeout=60)) as management:
        management.request("GET", f"/models/age/{version}")
        (model,) = json.load(management.getresponse())
    (worker,) = model["workers"]
    return worker


@contextmanager
def worker_stopped(service: Service, version: str = "1.0") -> Iterator[int]:
    """Meanwhile the worker, of this process id, takes what it is given and does nothing."""
    pid = worker_of(service, version)["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield pid
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


class Asker:
    """One request over REST, whose answer is waited for by itself."""

    def __init__(
        self,
        service: Service,
        body: bytes = PORTRAIT,
        headers: Mapping[str, str] | None = None,
        path: str = "/predictions/age",
    ) -> None:
        address = urlsplit(service.rest).netloc
        self._connection = http.client.HTTPConnection(address, timeout=60)
        sent = dict(headers or {"Content-Type": "image/jpeg"})
        self._connection.request("POST", path, body, sent)

    def close(self) -> None:
        self._connection.close()

    def answer(self) -> Reply:
        response = self._connection.getresponse()
        return Reply(response.status, response.getheader("content-type"), response.read())

    def is_left_alone(self) -> bool:
        """Whether nothing came, not even the connection's end."""
        self._connection.sock.settimeout(0.2)
        try:
            self._connection.sock.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return True
        return False


@dataclass(frozen=True)
class Outcome:
    """What became of an image that the worker held, of those that waited, of a fresh one."""

    held_left_alone: bool
    waiting_left_alone: list[bool]  # over REST
    calls: list[grpc.StatusCode]  # over gRPC
    fresh: Reply
    computed: int
    not_computed: int


@pytest.fixture(scope="module")
def outcome(impatient: Service) -> Outcome:
    """The worker goes on when all but the fresh one are past their deadline."""
    log = Log(impatient)
    with ExitStack() as stack:

        def ask() -> Asker:
            return stack.enter_context(closing(Asker(impatient)))

        channel = stack.enter_context(grpc.insecure_channel(impatient.grpc))
        call = InferenceAPIsServiceStub(channel).Predictions.future
        request = PredictionsRequest(model_name="age", input={"data": PORTRAIT})
        with worker_stopped(impatient):
            held = ask()
            log.await_handed_over()
            waiting = [ask() for _ in range(BATCH)]
            calls = [call(request, timeout=DEADLINE + 2) for _ in range(BATCH)]
            time.sleep(DEADLINE + 0.5)
        fresh = ask().answer()  # behind the others: what is not dropped by now is computed
        return Outcome(
            held.is_left_alone(),
            [asker.is_left_alone() for asker in waiting],
            [c.exception().code() for c in calls],
            fresh,
            log.computed(),
            log.not_computed(),
        )


def test_what_is_past_its_deadline_is_not_computed(outcome: Outcome) -> None:
    """But for the first of each batch, whose age TorchServe does not look at."""
    assert outcome.not_computed == 2 * (BATCH - 1)
    assert outcome.computed == 1 + 2 + 1  # held, first of a batch, fresh


def test_nobody_is_reported(outcome: Outcome) -> None:
    """Clients need a timeout of their own: there is no answer, and no end of the connection."""
    assert outcome.waiting_left_alone == [True] * BATCH
    assert outcome.calls == [grpc.StatusCode.DEADLINE_EXCEEDED] * BATCH  # the client's own


def test_a_late_answer_is_dropped_too(outcome: Outcome) -> None:
    """The deadline is that of the answer: it must leave a slow image its time."""
    assert outcome.held_left_alone


def test_a_fresh_image_is_answered_as_ever(outcome: Outcome, model_file: Path) -> None:
    assert outcome.fresh.status == 200
    assert_same(outcome.fresh.content, expected(model_file, PORTRAIT))


def test_what_waits_for_less_is_answered(impatient: Service, model_file: Path) -> None:
    log = Log(impatient)
    with ExitStack() as stack:
        with worker_stopped(impatient):
            askers = [stack.enter_context(closing(Asker(impatient))) for _ in range(BATCH + 1)]
            time.sleep(DEADLINE / 4)
        replies = [asker.answer() for asker in askers]
    assert [reply.status for reply in replies] == [200] * len(replies)
    for reply in replies:
        assert_same(reply.content, expected(model_file, PORTRAIT))
    assert log.not_computed() == 0
