"""server/processes.py, with programs that take TorchServe's place."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from server import processes
from server.processes import (
    TorchServe,
    find_processes,
    is_lock_holder,
    kill_orphans,
    make_run_folder,
)
from server.state_folder import MARK_NAME, StateFolder

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for /tmp."""
    folder = tmp_path / "t"
    folder.mkdir()
    monkeypatch.setattr(processes, "TEMPORARY", folder)
    return folder


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateFolder]:
    with closing(StateFolder(tmp_path / "state")) as state:
        yield state


def started(program: str, folder: Path) -> TorchServe:
    command = [sys.executable, "-c", program]
    return TorchServe(command, folder, folder.parent / "logs", os.environ, echo=False)


def await_end(torchserve: TorchServe) -> None:
    until = time.monotonic() + 30
    while torchserve.is_running():
        assert time.monotonic() < until
        time.sleep(0.02)


@pytest.mark.parametrize("own", [None, "glibc.malloc.hugetlb=0"])
def test_large_pages_unless_the_user_says_otherwise(
    own: str | None, temporary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if own is None:
        monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    else:
        monkeypatch.setenv("GLIBC_TUNABLES", own)
    file = tmp_path / "tunables"
    program = f"import os; open({str(file)!r}, 'w').write(os.environ['GLIBC_TUNABLES'])"
    torchserve = started(program, make_run_folder("mark"))
    try:
        await_end(torchserve)
    finally:
        torchserve.stop()
    assert file.read_text() == (own or "glibc.malloc.hugetlb=1")


@pytest.mark.parametrize(
    ("program", "code", "expected"),
    [
        ("import os; os.kill(os.getpid(), 9)", -9, "SIGKILL, which the kernel sends when memory "),
        ("import os; os.kill(os.getpid(), 6)", -6, "SIGABRT"),
        ("raise SystemExit(143)", 143, "SIGTERM"),
        (
            "print('Terminating due to java.lang.OutOfMemoryError: Java heap space', flush=True);"
            "raise SystemExit(3)",
            3,
            "java.lang.OutOfMemoryError: Java heap space",
        ),
        # what workers wrote before is not what ended it
        (
            "print('x W-9000-age_1.0-stdout MODEL_LOG - Traceback (most recent call last):');"
            "print('x W-9000-age_1.0-stdout MODEL_LOG - ValueError: an older one', flush=True);"
            "import os; os.kill(os.getpid(), 11)",
            -11,
            "SIGSEGV",
        ),
        ("raise SystemExit(1)", 1, None),
        ("raise SystemExit(255)", 255, None),
        ("", 0, None),
    ],
)
def test_tells_what_ended_it(
    program: str, code: int, expected: str | None, temporary: Path
) -> None:
    torchserve = started(program, make_run_folder("mark"))
    try:
        await_end(torchserve)
        assert torchserve.exit_code == code
        death = torchserve.termination_cause()
        assert death == expected if expected is None else str(death).startswith(expected)
    finally:
        torchserve.stop()
    assert os.listdir(temporary) == ["logs"] or not os.listdir(temporary)


def test_launcher_becomes_java(tmp_path: Path, temporary: Path) -> None:
    """So that its exit code is Java's."""
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.write_text("#!/bin/sh\nkill -KILL $$\n")
    java.chmod(0o755)
    environ = {**os.environ, "JAVA_HOME": str(tmp_path)}
    command = [sys.executable, str(Path(processes.__file__).with_name("exec_java.py"))]
    command += ["--start", "--foreground", "--ncs", "--model-store", str(tmp_path)]
    torchserve = TorchServe(
        command, make_run_folder("mark"), tmp_path / "logs", environ, echo=False
    )
    try:
        await_end(torchserve)
        assert torchserve.exit_code == -signal.SIGKILL
    finally:
        torchserve.stop()


class TestOrphans:
    def test_are_known_by_their_mark(self, state: StateFolder, temporary: Path) -> None:
        """Not by what they or the notes say."""
        own, foreign, unmarked = (
            make_run_folder(state.mark),
            make_run_folder("x"),
            temporary / "age-z",
        )
        unmarked.mkdir()
        link = temporary / "age-link"
        link.symlink_to(own)
        ours = subprocess.Popen(SLEEP, env={MARK_NAME: state.mark})
        other = subprocess.Popen([*SLEEP, f"-Djava.io.tmpdir={own}"], env={MARK_NAME: "x"})
        try:
            assert find_processes(state.mark) == [ours.pid]
            assert kill_orphans(state) == 1
            assert ours.wait(10) == -signal.SIGKILL
            assert other.poll() is None
            assert not own.exists()
            assert foreign.exists()
            assert unmarked.exists()
        finally:
            other.kill()
            other.wait()
            ours.kill()
            ours.wait()

    def test_of_a_copied_state_are_none(self, state: StateFolder, temporary: Path) -> None:
        folder = make_run_folder(state.mark)
        ours = subprocess.Popen(SLEEP, env={MARK_NAME: state.mark})
        copy = Path(state.folder).with_name("copy")
        shutil.copytree(state.folder, copy)
        try:
            with closing(StateFolder(copy)) as copied:
                assert kill_orphans(copied) == 0
            assert ours.poll() is None
            assert folder.exists()
        finally:
            ours.kill()
            ours.wait()


def test_a_supervisor_holds_the_lock_open(state: StateFolder) -> None:
    assert is_lock_holder(os.getpid(), state)
    assert not is_lock_holder(os.getppid(), state)
    other = subprocess.Popen(SLEEP, pass_fds=[state.fileno()])
    try:
        assert is_lock_holder(other.pid, state)
    finally:
        other.kill()
        other.wait()
    assert not is_lock_holder(other.pid, state)
