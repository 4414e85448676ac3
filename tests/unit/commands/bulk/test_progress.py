"""commands/bulk/progress.py."""

import pytest

from commands.bulk.progress import LOG, TERMINAL, Progress, duration, text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"),
        (59.6, "1 min"),
        (60, "1 min"),
        (245, "4 min 5 s"),
        (7200, "2 h"),
        (183_600, "2 d 3 h"),
        (172_805, "2 d"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_the_rate_is_of_this_run() -> None:
    assert text(600, 1_000, 0, 3) == "600 of 1,000 photos"
    assert text(600, 1_000, 200, 100) == "600 of 1,000 photos, 2.0/s, 3 min 20 s left"
    assert text(1_000, 1_000, 400, 100) == "1,000 of 1,000 photos, 4.0/s"


def test_a_log_has_a_line_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    with Progress(100, 10, clock=lambda: now) as progress:
        for _ in range(80):
            now += LOG / 20
            progress.add(1)
        assert progress.done == 90
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" ")[0] for line in lines] == ["11", "31", "51", "71", "90"]
    assert lines[0] == "11 of 100 photos, 0.3/s, 4 min 27 s left"


def test_a_terminal_has_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    now = 0.0
    with Progress(4, clock=lambda: now) as progress:
        for _ in range(4):
            now += TERMINAL
            progress.add(1)
    printed = capsys.readouterr().err
    assert printed.startswith("\r1 of 4 photos, 2.0/s, 2 s left\x1b[K\r2 of 4 photos")
    assert printed.endswith("\r4 of 4 photos, 2.0/s\x1b[K\n")
