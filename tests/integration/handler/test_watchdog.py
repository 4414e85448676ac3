"""Processes that do not hang are not ended."""

import pytest

from tests.unit.handler.test_watchdog import ends


@pytest.mark.parametrize(
    "program",
    [
        "with watchdog:\n  for _ in range(4):\n    time.sleep(0.5)\n    watchdog.progress()",
        "with watchdog:\n  pass\nwatchdog.progress()\ntime.sleep(1.5)",
        "with Watchdog(0):\n  time.sleep(1.5)",
    ],
    ids=["progress", "outside of the block", "without a limit"],
)  # fmt: skip
def test_others_are_not(program: str) -> None:
    assert ends(program)[::2] == (0, "")
