"""server/lifecycle.py with processes in TorchServe's place; tests/faults kills a real one."""

import dataclasses
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from server import lifecycle, readiness
from server.errors import CommandError
from server.lifecycle import SIGNALS, Lifecycle
from server.models import ServedModel
from server.processes import TorchServe, find_processes, make_run_folder
from server.service_config import ServiceConfig
from server.state_folder import StateFolder

DIES = "import os; os.kill(os.getpid(), 9)"
LEAVES_A_WORKER = (
    "import os, subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; "
    "time.sleep(60)']); os.kill(os.getpid(), 9)"
)
STAYS = "import time; time.sleep(60)"
NOT_AT_ALL = ""


@dataclasses.dataclass(frozen=True)
class Stub(ServiceConfig):
    """Its TorchServe is a program, of another one each time."""

    programs: tuple[str, ...] = ()
    asked: list[str] = dataclasses.field(default_factory=list)
    started: list[TorchServe] = dataclasses.field(default_factory=list)

    def check(self) -> list[ServedModel]:
        return []

    def start(self, _models: object, mark: str) -> TorchServe:
        program = self.programs[len(self.asked)]
        self.asked.append(program)
        if program == NOT_AT_ALL:
            raise CommandError("this one does not start")
        command = [sys.executable, "-c", program]
        one = TorchServe(command, make_run_folder(mark), self.logs, os.environ, echo=False)
        self.started.append(one)
        return one


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateFolder]:
    with closing(StateFolder(tmp_path / "state")) as state:
        assert state.acquire()
        yield state


def stub(state: StateFolder, *programs: str) -> Stub:
    config = readiness.ROOT / "config.properties"
    folder = Path(state.folder)
    return Stub(config, folder, ["age=age.mar"], folder, echo=False, programs=programs)


class TestLifecycle:
    @pytest.fixture(autouse=True)
    def quick(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """All are ready at once, and waits are only written down."""
        waits: list[float] = []
        sleep = time.sleep

        def noted(seconds: float) -> None:
            if seconds >= lifecycle.FIRST_DELAY:
                waits.append(seconds)
            else:
                sleep(seconds / 10)

        monkeypatch.setattr(lifecycle, "await_ready", lambda _service, _torchserve: "ready: yes")
        monkeypatch.setattr(time, "sleep", noted)
        return waits

    def stop_when_started(self, service: Stub, count: int) -> threading.Thread:
        def wait() -> None:
            until = time.monotonic() + 30
            while len(service.asked) < count and time.monotonic() < until:
                threading.Event().wait(0.02)
            threading.Event().wait(0.1)
            os.kill(os.getpid(), signal.SIGTERM)

        thread = threading.Thread(target=wait)
        thread.start()
        return thread

    def test_starts_again(
        self, state: StateFolder, quick: list[float], capsys: pytest.CaptureFixture[str]
    ) -> None:
        service = stub(state, DIES, LEAVES_A_WORKER, NOT_AT_ALL, DIES, STAYS)
        thread = self.stop_when_started(service, 5)
        assert Lifecycle(service, state).run() == 0
        thread.join()
        assert quick == [1, 2, 4, 8]
        lines = capsys.readouterr().out.splitlines()
        died = (
            "TorchServe ended by itself: SIGKILL, which the kernel sends when memory runs out "
            f"(its log: {service.log}); starting again in {{}} s"
        )
        assert [line for line in lines if "starting again" in line] == [
            *(died.format(1), died.format(2)),
            "this one does not start; starting again in 4 s",
            died.format(8),
        ]
        assert lines[-1] == "stopping"
        assert not find_processes(state.mark)
        assert not any(one.folder.exists() for one in service.started)
        assert state.read() is None

    def test_a_crash_of_java_is_reported(
        self, state: StateFolder, capsys: pytest.CaptureFixture[str]
    ) -> None:
        thread = self.stop_when_started(service := stub(state, "raise SystemExit(1)", STAYS), 2)
        assert Lifecycle(service, state).run() == 0
        thread.join()
        assert (
            "TorchServe ended by itself: exit code 1, as after a crash of Java (such as "
            f"SIGSEGV) (its log: {service.log}); starting again in 1 s\n"
        ) in capsys.readouterr().out

    def test_one_that_never_was_ready_is_given_up(
        self, state: StateFolder, quick: list[float]
    ) -> None:
        service = stub(state, NOT_AT_ALL)
        with pytest.raises(CommandError, match=r"^this one does not start$"):
            Lifecycle(service, state).run()
        assert quick == []
        assert state.read() is None

    def test_notes_are_true_meanwhile(
        self, state: StateFolder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen = []
        service = stub(state, DIES, STAYS)

        def look(_service: object, torchserve: TorchServe) -> str:
            notes = state.read()
            assert notes is not None
            seen.append((notes.pid, notes.folder == str(torchserve.folder), notes.announcement))
            return "ready: yes"

        monkeypatch.setattr(lifecycle, "await_ready", look)
        thread = self.stop_when_started(service, 2)
        assert Lifecycle(service, state).run() == 0
        thread.join()
        assert seen == [(os.getpid(), True, None)] * 2


def test_a_stop_ends_the_wait(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At once, with exit code 0."""
    monkeypatch.setattr(lifecycle, "await_ready", lambda _service, _torchserve: "ready: yes")
    monkeypatch.setattr(lifecycle, "FIRST_DELAY", 60.0)
    service = stub(state, DIES)
    serves, sleep = Lifecycle(service, state), time.sleep
    timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM))

    def wait(seconds: float) -> None:
        if seconds == lifecycle.FIRST_DELAY:
            timer.start()
        sleep(seconds)

    monkeypatch.setattr(time, "sleep", wait)
    since = time.monotonic()
    assert serves.run() == 0
    assert time.monotonic() - since < 10
    timer.join()
    assert "starting again in 60 s\nstopping\n" in capsys.readouterr().out
