import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


BEGIN = "import time\nfrom handler.watchdog import Watchdog\nwatchdog = Watchdog(1)\n"


def ends(program: str) -> tuple[int, float, str]:
    """Exit status, seconds and stderr of a process."""
    since = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + program],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return done.returncode, time.monotonic() - since, done.stderr


def test_a_process_that_hangs_is_ended_and_tells_where() -> None:
    status, seconds, stderr = ends("def stuck():\n  time.sleep(50)\nwith watchdog:\n  stuck()")
    assert status == 1
    assert seconds >= 1
    assert "Timeout (0:00:01)!" in stderr
    assert "in stuck" in stderr


def test_so_is_one_that_does_not_let_go_of_the_interpreter() -> None:
    status, _, stderr = ends("with watchdog:\n  sum(range(10**12))")
    assert status == 1
    assert "Timeout" in stderr
