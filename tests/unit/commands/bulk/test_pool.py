"""commands/bulk/pool.py, with processes that are none."""

import threading
from collections.abc import Collection, Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest

from commands.bulk import pool as module
from commands.bulk.outcome import Outcome
from commands.bulk.pool import Pool
from commands.bulk.process import Died
from commands.bulk.setup import Setup
from handler.options import Options
from handler.settings import Settings
from server.errors import CommandError


class Fake:
    """A process that dies of each path in `deadly` as often as that says."""

    deadly: dict[str, int]
    asked: list[tuple[str, ...]]
    starts: int
    most_starts: int

    def __init__(self, _: Setup) -> None:
        Fake.starts += 1

    def wait_until_ready(self) -> None:
        pass

    def restart(self) -> None:
        if Fake.starts == Fake.most_starts:
            raise CommandError("no memory")
        Fake.starts += 1

    def ask(self, paths: Sequence[str]) -> Outcome:
        Fake.asked.append(tuple(paths))
        for path in paths:
            if Fake.deadly.get(path):
                Fake.deadly[path] -= 1
                raise Died("was ended by SIGSEGV")
        return Outcome([{"path": path} for path in paths])

    def kill(self) -> None:
        pass

    def end(self) -> None:
        pass


@pytest.fixture(autouse=True)
def _fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    Fake.deadly, Fake.asked, Fake.starts, Fake.most_starts = {}, [], 0, 99
    monkeypatch.setattr(module, "WorkerProcess", Fake)


def pool(processes: int = 1) -> Pool:
    setup = Setup((Path("a.pt"),), Settings(), Options(), "cpu", 1, batch_size=2)
    return Pool([setup] * processes)


@pytest.mark.parametrize("processes", [1, 3])
def test_each_chunk_is_whole_and_in_order(processes: int) -> None:
    chunks = [(number, [f"{number}{letter}" for letter in "abcde"]) for number in range(20)]
    counted: list[int] = []
    with pool(processes) as workers:
        found = dict(workers.outcomes(chunks, counted.append))
    assert {number: [row["path"] for row in o.rows] for number, o in found.items()} == dict(chunks)
    assert sorted(counted) == [1] * 20 + [2] * 40


def test_a_stop_that_leaves_a_future_locked_ends_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As the exception of a signal does that comes while `wait` locks the futures."""
    monkeypatch.setattr(module, "_END", 0.3)
    ended: list[Fake] = []
    monkeypatch.setattr(Fake, "end", lambda process: ended.append(process))
    go_on = threading.Event()
    monkeypatch.setattr(Fake, "ask", lambda *_: go_on.wait(10) and Outcome())
    workers = pool()
    found = workers.__enter__().outcomes([(0, ["a", "b"])])
    threading.Timer(0.2, go_on.set).start()
    locked = []

    def interrupted(futures: Collection[Future[Outcome]], *_: object, **__: object) -> None:
        for future in futures:
            future._condition.acquire()
            locked.append(future)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            next(found)
    workers.__exit__()
    assert len(ended) == 1
    for future in locked:  # so that the thread of this test ends
        future._condition.release()
    workers._threads.shutdown()


def test_few_chunks_are_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []

    def chunks():
        for number in range(50):
            taken.append(number)
            yield number, ["a", "b", "c", "d"]

    with pool() as workers:
        for done, _ in enumerate(workers.outcomes(chunks()), start=1):
            assert len(taken) - done <= 2


def test_only_the_file_at_fault_fails() -> None:
    Fake.deadly = {"b": 9}
    with pool() as workers:
        ((_, outcome),) = workers.outcomes([(0, ["a", "b", "c", "d"])])
    assert [row["path"] for row in outcome.rows] == ["a", "c", "d"]
    assert outcome.failures == [
        {
            "path": "b",
            "type": "ProcessEnded",
            "message": "the process that had this file alone was ended by SIGSEGV; save the photo "
            "anew, smaller",
        }
    ]
    assert Fake.asked == [("a", "b"), ("a",), ("b",), ("c", "d")]
    assert Fake.starts == 3  # anew after the batch, and after the file


def test_a_process_that_is_killed_fails_no_file() -> None:
    """Even of a batch of one it is tried again."""
    Fake.deadly = {"c": 1}
    with pool() as workers:
        ((_, outcome),) = workers.outcomes([(0, ["a", "b", "c"])])
    assert ([row["path"] for row in outcome.rows], outcome.failures) == (["a", "b", "c"], [])
    assert Fake.asked == [("a", "b"), ("c",), ("c",)]


def test_a_process_that_cannot_be_replaced() -> None:
    Fake.deadly, Fake.most_starts = {"a": 9}, 1
    with pytest.raises(CommandError, match="no memory"), pool() as workers:
        [*workers.outcomes([(0, ["a"])])]


def test_the_end_waits_for_nothing_that_is_queued(monkeypatch: pytest.MonkeyPatch) -> None:
    killed, entered = threading.Event(), threading.Event()

    def ask(self: Fake, paths: Sequence[str]) -> Outcome:
        Fake.asked.append(tuple(paths))
        entered.set()
        killed.wait(10)
        raise Died("was ended by SIGKILL")

    monkeypatch.setattr(Fake, "ask", ask)
    monkeypatch.setattr(Fake, "kill", lambda _: killed.set())

    def chunks():
        yield 0, ["a", "b", "c", "d"]  # the second batch is queued
        entered.wait(10)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), pool() as workers:
        [*workers.outcomes(chunks())]
    assert Fake.asked == [("a", "b")]
    assert Fake.starts == 1
