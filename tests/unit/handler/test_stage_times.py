import time

import pytest

from handler.stage_times import StageTimes


def test_the_times_of_a_stage_add_up() -> None:
    times = StageTimes()
    for stage in ("decode", "detect", "decode"):
        with times.measure(stage):
            time.sleep(0.01)
    assert list(times.seconds) == ["decode", "detect"]
    assert 0.01 <= times.seconds["detect"] < times.seconds["decode"]
    assert [stage.name for stage in times.stages] == ["decode", "detect", "decode"]
    first, second, _ = times.stages
    assert first.start + first.seconds * 1e9 <= second.start + 1e6
    assert abs(first.start / 1e9 - time.time()) < 60
    times.reset()
    assert times.seconds == {}


def test_a_stage_that_fails_counts() -> None:
    times = StageTimes()
    with pytest.raises(ValueError, match="bad"), times.measure("decode"):
        raise ValueError("bad")
    assert times.seconds["decode"] > 0
