"""The service's clock is set while it runs."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.load import PATIENCE, SILENT, direct, load
from tests.faults.table import Table
from tests.torchserve import FEW_WORKERS, Plain, await_logged, private_addresses

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")
USERS = 8
HOUR = 3600


@pytest.fixture
def faketime() -> None:
    """libfaketime; skips where there is none, unless .ci/run has installed it."""
    if not FAKETIME.exists():
        assert "CLOCK_IS_TESTED" not in os.environ, "there is no libfaketime"
        pytest.skip("no libfaketime: apt install faketime")


class Clock:
    """The service's, by a file that libfaketime reads again each time it is asked."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(0)

    def set(self, seconds: int) -> None:
        """So many seconds ahead of the real one."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}s\n")
        fresh.replace(self._file)

    @contextmanager
    def environ(self) -> Iterator[dict[str, str]]:
        """For processes that shall live by it."""
        own = {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # nobody sets that clock
        }
        # What they share must outlive TorchServe's launcher, which would make it and end.
        with subprocess.Popen("cat", stdin=subprocess.PIPE, env=os.environ | own) as keeper:
            until = time.monotonic() + 20
            while not Path(f"/dev/shm/sem.faketime_sem_{keeper.pid}").exists():
                assert time.monotonic() < until
                time.sleep(0.01)
            shared = f"/faketime_sem_{keeper.pid} /faketime_shm_{keeper.pid}"
            yield own | {"FAKETIME_SHARED": shared}


@pytest.mark.parametrize("step", [HOUR, -HOUR], ids=["ahead", "back"])
def test_step(faketime: None, model_store: Path, tmp_path: Path, table: Table, step: int) -> None:
    clock = Clock(tmp_path / "faketime")
    with clock.environ() as environ:
        addresses = private_addresses()
        torchserve = Plain(tmp_path, model_store, addresses | FEW_WORKERS | environ)
        # those under way at a step ahead get no answer, and need not be waited for as long
        connect = direct(addresses["TS_INFERENCE_ADDRESS"], patience=10 if step > 0 else PATIENCE)
        with torchserve.running(), load(connect, USERS) as users:
            clock.set(step)
            users.await_answers(5 * USERS)
    hour = time.strftime("%Y-%m-%dT%H:", time.gmtime(time.time() + step))
    await_logged(tmp_path / "logs" / "ts_log.log", f"\n{hour}")  # it did see the step
    assert users.lost.keys() <= {SILENT}
    assert sum(users.lost.values()) <= (USERS if step > 0 else 0)
    way = "ahead" if step > 0 else "back"
    table.add(f"the clock is set an hour {way}", users)
