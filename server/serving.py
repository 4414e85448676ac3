"""Serves until a signal: TorchServe is started, watched, and started again when it died."""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType

from server import readiness
from server.console import say
from server.processes import TICK, TorchServe, end_leftovers
from server.service import Fault, Service
from server.state import Notes, State, StateError

STARTUP = 300.0  # seconds until the service must be ready
FIRST, LONGEST = 1.0, 60.0  # seconds before TorchServe is started again
STEADY = 300.0  # seconds; one that was ready for so long did not die of its start
CRASHED = 1  # by vmargs Java writes no report of a crash, and exits like this
STARTING = "starting"  # a line of each model begins so
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
PR_SET_CHILD_SUBREAPER = 36


class Ended(BaseException):
    """A signal asked for the end."""


class Backoff:
    """How long to wait before the next start: twice as long each time, up to a minute."""

    def __init__(self) -> None:
        self._delay = FIRST

    def after(self, served: float) -> float:
        """Seconds to wait, after a TorchServe that was ready for `served` seconds."""
        delay = FIRST if served >= STEADY else self._delay
        self._delay = min(2 * delay, LONGEST)
        return delay


class Signals:
    """Raises Ended once, at the first signal; where that is held, when it is let go."""

    def __init__(self) -> None:
        self._asked = self._held = False
        for number in SIGNALS:
            signal.signal(number, self._hear)

    @contextmanager
    def held(self) -> Iterator[None]:
        """What must not be left half done."""
        self._held = True
        before = self._asked
        try:
            yield
        finally:
            self._held = False
        if self._asked and not before:
            raise Ended

    def ignore(self) -> None:
        """Raise no more: what is left to do is the end."""
        self._asked = True

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        first, self._asked = not self._asked, True
        if first and not self._held:
            raise Ended


class Serving:
    """One service, from its first start to its end. The lock of `state` is held."""

    def __init__(self, service: Service, state: State) -> None:
        self._service = service
        self._state = state
        self._signals = Signals()
        self._backoff = Backoff()
        self._notes = Notes(state.folder, os.getpid())
        self._torchserve: TorchServe | None = None
        self._ready_at: float | None = None  # of this start
        self._was_ready = False

    def run(self) -> int:
        """0 after an orderly end. Raises Fault where it never became ready."""
        try:
            self._clean()
            while True:
                try:
                    self._start_and_watch()
                except (Fault, readiness.NotReady, OSError) as fault:
                    if not self._was_ready:
                        raise
                    served = time.monotonic() - self._ready_at if self._ready_at else 0.0
                    delay = self._backoff.after(served)
                    say(f"{fault}; starting again in {delay:.0f} s")
                    time.sleep(delay)
        except Ended:
            say("stopping")
            return 0
        finally:
            self._signals.ignore()
            self._end()
            self._state.clear()

    def _clean(self) -> None:
        """Take the place of whoever served before, with what a killed one left."""
        try:
            self._state.read()
        except StateError as error:
            say(f"{error} (it is replaced)")
        end_leftovers(self._state)
        try:
            self._state.write(self._notes)
        except OSError as error:
            raise Fault(f"{self._state.file} cannot be written: {error.strerror}") from error

    def _start_and_watch(self) -> None:
        """Return never: it ends by Ended or Fault, and nothing of TorchServe is left then."""
        started = time.monotonic()
        self._ready_at = None
        models = self._service.check()
        for model in models:
            say(f"{STARTING} {model}, from {model.archive}")
        try:
            with self._signals.held():
                self._torchserve = self._service.start(models, self._state.mark)
            told = [str(model) for model in models]
            self._tell(replace(self._notes, folder=str(self._torchserve.folder), models=told))
            line = await_ready(self._service, self._torchserve)
            say(f"{line}, after {time.monotonic() - started:.0f} s")
            announcement = self._service.announcement()
            say(announcement)
            self._ready_at, self._was_ready = time.monotonic(), True
            self._tell(replace(self._notes, announcement=announcement))
            while self._torchserve.runs():
                self._torchserve.remove_uploads()
                time.sleep(TICK)
            reason = self._torchserve.death() or f"exit code {self._torchserve.exit_code}"
            if self._torchserve.exit_code == CRASHED:
                reason += ", as after a crash of Java (SIGSEGV and the like)"
            raise Fault(f"TorchServe ended by itself: {reason} (its log: {self._service.log})")
        finally:
            self._end()
            self._tell(replace(self._notes, folder=None, announcement=None))

    def _tell(self, notes: Notes) -> None:
        """A full disk is no reason to end; then the notes may say what is over."""
        self._notes = notes
        try:
            self._state.write(notes)
        except OSError as error:
            say(f"{self._state.file} cannot be written: {error.strerror}")

    def _end(self) -> None:
        """With Java and the workers gone; a second Ctrl-C must not leave them behind."""
        with self._signals.held():
            if self._torchserve is not None:
                self._torchserve.end()
                self._torchserve = None


def serve(service: Service, state: State) -> int:
    """Serve until a signal; 0 after an orderly end."""
    if sys.platform == "linux":
        # The workers are Java's children: as their reaper we see when they are gone.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    return Serving(service, state).run()


def await_ready(service: Service, torchserve: TorchServe) -> str:
    """What was seen when it is ready; raises Fault where it does not become so."""
    until = time.monotonic() + STARTUP
    reason = "it did not answer"
    log = f"(its log: {service.log})"
    while time.monotonic() < until:
        if not torchserve.runs():
            reason = torchserve.death() or torchserve.console.reason()
            raise Fault(f"TorchServe ended at start: {reason} {log}")
        if torchserve.console.worker_died:
            raise Fault(
                f"the worker died at start: {torchserve.console.reason()} "
                f"(TorchServe's log: {service.log})"
            )
        try:
            return readiness.check(service.addresses())
        except readiness.Broken as error:
            raise Fault(f"{error} (TorchServe's log: {service.log})") from error
        except readiness.NotReady as error:
            reason = str(error)
        time.sleep(TICK)
    raise Fault(f"not ready after {STARTUP:.0f} s: {reason} (TorchServe's log: {service.log})")
