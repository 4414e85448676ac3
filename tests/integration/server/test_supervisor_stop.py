"""Stopping what is, and is not, the service."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from server.state_folder import StateFolder, StateRecord
from tests.unit.server.test_supervisor import stop


class TestStop:
    """Stops and removes only its own, whatever state.json says."""

    @pytest.fixture
    def other(self) -> Iterator[subprocess.Popen[bytes]]:
        """Somebody else's process."""
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        yield process
        process.kill()
        process.wait()

    @pytest.mark.parametrize("held", [True, False])
    def test_a_process_and_a_folder_that_are_not_its_own(
        self, held: bool, other: subprocess.Popen[bytes], tmp_path: Path
    ) -> None:
        folder = tmp_path / "mine"
        folder.mkdir()
        state = tmp_path / "state"
        with closing(StateFolder(state)) as holder:
            assert not held or holder.acquire()
            holder.write(StateRecord(holder.folder, other.pid, str(folder)))
            done = stop(state)
        if held:
            assert (done.returncode, done.stdout) == (1, "")
            assert done.stderr == (
                f"error: {state}/state.json names process {other.pid}, which does not hold "
                f"{state}/lock: nothing is stopped; stop the lock's holder (see lsof), then "
                "remove the file\n"
            )
        else:
            assert (done.returncode, done.stdout, done.stderr) == (0, "nothing runs\n", "")
        assert other.poll() is None
        assert folder.is_dir()

    @pytest.mark.parametrize("held", [True, False])
    @pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": -1}', '{"pid": "1"}'])
    def test_broken_state_file(self, text: str, held: bool, tmp_path: Path) -> None:
        with closing(StateFolder(tmp_path)) as holder:
            assert not held or holder.acquire()
            holder.file.write_text(text)
            done = stop(tmp_path)
        assert (done.returncode, done.stdout) == (1, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith(f"error: {tmp_path}/state.json is broken (")
        assert line.endswith("): remove it")
