"""Messages between locust's master and workers beyond its own; imports locust."""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import gevent  # type: ignore[import-untyped]
from locust import events
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from loadtests.open_loop import Punctuality

PREPARING: Final = 120.0  # seconds for workers to make their images
MARGIN: Final = 5.0  # seconds for a worker to report that its users have ended
ASKING: Final = 0.5  # seconds between two `prepare` messages
TICK: Final = 0.05  # seconds
NEEDED: Final = ("photos", "mix", "large")  # options that determine the images

punctuality = Punctuality()  # of this process; on the master, of all


_prepared: dict[str, str] = {}  # worker -> its error, or ""
_finished: set[str] = set()


def prepare(environment: Environment, make: Callable[[], str]) -> str:
    """Let master and workers begin and end together; returns an error of one of them, or "".

    `make` makes the images of the options, and returns "" or an error. By itself
    a master begins when its workers are there, prepared or not, and at the end it waits for them
    for half a second, whatever --stop-timeout says, and counts what has come.
    """
    runner: Any = environment.runner
    if isinstance(runner, WorkerRunner):
        runner.register_message("prepare", partial(_prepare, make), concurrent=True)
        runner.register_message("finish", _finish)
        return ""
    if isinstance(runner, MasterRunner):
        runner.register_message("prepared", _note_prepared)
        runner.register_message("finished", lambda msg, **_: _finished.add(msg.node_id))
        return _await_workers(runner, environment.parsed_options)
    return make()


def _await_workers(runner: MasterRunner, options: Any) -> str:
    """Wait on the master until all workers are prepared, in headless mode."""
    words = {name: getattr(options, name) for name in NEEDED}
    with gevent.Timeout(PREPARING, exception=False):
        while options.headless and len(_prepared) < options.expect_workers:
            for client in runner.clients.ready:
                if client.id not in _prepared:  # repeat: it may still connect
                    runner.send_message("prepare", words, client.id)
            gevent.sleep(ASKING)
    return next((lack for lack in _prepared.values() if lack), "")


def _prepare(make: Callable[[], str], environment: Environment, msg: Any) -> None:
    """Prepare a worker, with the master's options."""
    runner: Any = environment.runner
    vars(environment.parsed_options).update(msg.data)
    runner.send_message("prepared", {"lack": make()})


def _note_prepared(msg: Any, **_: Any) -> None:
    _prepared[msg.node_id] = msg.data["lack"]


@events.test_stopping.add_listener  # type: ignore[untyped-decorator]
def wait_for_workers(environment: Environment, **_: Any) -> None:
    """Wait on the master until all workers have finished."""
    runner: Any = environment.runner
    if not isinstance(runner, MasterRunner):
        return
    _finished.clear()
    runner.send_message("finish")
    with gevent.Timeout(environment.stop_timeout + MARGIN, exception=False):
        while not _finished >= {client.id for client in runner.clients.all}:
            gevent.sleep(TICK)


def _finish(environment: Environment, **_: Any) -> None:
    """Finish a worker: stop its users, send a last report and `finished`."""
    runner: Any = environment.runner
    runner.stop()
    data: dict[str, Any] = {}
    report_to_master: Any = environment.events.report_to_master
    report_to_master.fire(client_id=runner.client_id, data=data)
    runner.send_message("stats", data)
    runner.send_message("finished")


@events.report_to_master.add_listener  # type: ignore[untyped-decorator]
def report(data: dict[str, Any], **_: Any) -> None:
    """Add a worker's punctuality to its report."""
    data["punctuality"] = punctuality.take()


@events.worker_report.add_listener  # type: ignore[untyped-decorator]
def take_report(data: dict[str, Any], **_: Any) -> None:
    """Add up the workers' punctuality on the master."""
    punctuality.add(data["punctuality"])
