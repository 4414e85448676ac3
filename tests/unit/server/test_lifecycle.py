"""server/lifecycle.py: back-off and signals; tests/integration/server runs processes."""

import signal
from collections.abc import Iterator

import pytest

from server.lifecycle import SIGNALS, RestartBackoff, SignalHandler, Terminated


class TestRestartBackoff:
    def test_doubles_up_to_a_minute(self) -> None:
        backoff = RestartBackoff()
        assert [backoff.after(0.0) for _ in range(9)] == [1, 2, 4, 8, 16, 32, 60, 60, 60]

    def test_begins_anew_after_some_minutes_of_service(self) -> None:
        backoff = RestartBackoff()
        delays = [backoff.after(served) for served in (0, 0, 0, 299, 300, 0, 3000, 10)]
        assert delays == [1, 2, 4, 8, 1, 2, 1, 2]


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class TestSignalHandler:
    def test_the_first_ends(self) -> None:
        signals = SignalHandler()
        with pytest.raises(Terminated):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        with signals.held():
            signal.raise_signal(signal.SIGTERM)

    def test_what_is_held_is_done_first(self) -> None:
        signals, done = SignalHandler(), []

        def hold() -> None:
            with signals.held():
                signal.raise_signal(signal.SIGHUP)
                done.append("all")

        with pytest.raises(Terminated):
            hold()
        assert done == ["all"]

    def test_nothing_ends_the_end(self) -> None:
        signals = SignalHandler()
        signals.ignore()
        signal.raise_signal(signal.SIGTERM)
