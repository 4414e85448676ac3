import argparse
from datetime import UTC, datetime, timedelta

import pytest

from commands.time_types import moment


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T18:30", datetime(2026, 1, 31, 18, 30, tzinfo=UTC)),
        ("2026-01-31T18:30Z", datetime(2026, 1, 31, 18, 30, tzinfo=UTC)),
        ("2026-01-31T18:30+02:00", datetime(2026, 1, 31, 16, 30, tzinfo=UTC)),
    ],
)
def test_a_time(text: str, time: datetime) -> None:
    assert moment(text) == time
    assert moment(text).tzinfo is UTC


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("30m", timedelta(minutes=30)),
        ("6h", timedelta(hours=6)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(days=14)),
    ],
)
def test_how_long_ago(text: str, ago: timedelta) -> None:
    before = datetime.now(UTC) - ago
    assert before <= moment(text) <= datetime.now(UTC) - ago


@pytest.mark.parametrize("text", ["", "yesterday", "6", "-6h", "6y", "2026-13-01", "9" * 20 + "d"])
def test_no_time(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as error:
        moment(text)
    assert str(error.value).startswith(f"{text} is no time: give one such as ")
