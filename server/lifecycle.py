"""Starts TorchServe, watches it until a signal, and restarts it with back-off if it dies."""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import NoReturn

from server import readiness
from server.descriptions import descriptions
from server.errors import CommandError
from server.output import print_line
from server.processes import POLL_INTERVAL, TorchServe, kill_orphans
from server.promotions import promoted
from server.service_config import ServiceConfig
from server.state_folder import StateError, StateFolder, StateRecord

STARTUP_TIMEOUT = 300.0  # seconds until the service must be ready
FIRST_DELAY, MAX_DELAY = 1.0, 60.0  # seconds before a restart
STEADY_AFTER = 300.0  # seconds of readiness after which the delay begins anew
CRASH_EXIT_CODE = 1  # with config.properties' vmargs Java writes no crash report, and exits so
STARTING = "starting"  # prefix of a line for each model
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
PR_SET_CHILD_SUBREAPER = 36


class Terminated(BaseException):
    """A signal asked the supervisor to stop."""


class RestartBackoff:
    """The delay before a restart: doubled each time, up to a minute."""

    def __init__(self) -> None:
        self._delay = FIRST_DELAY

    def after(self, ready_for: float) -> float:
        """The delay in seconds, after a TorchServe that was ready for `ready_for` seconds."""
        delay = FIRST_DELAY if ready_for >= STEADY_AFTER else self._delay
        self._delay = min(2 * delay, MAX_DELAY)
        return delay


class SignalHandler:
    """Raises Terminated once, at the first signal, or at the end of a `held` block."""

    def __init__(self) -> None:
        self._asked = self._held = False
        for number in SIGNALS:
            signal.signal(number, self._handle)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Defer Terminated to the end of a block that must not be interrupted."""
        self._held = True
        before = self._asked
        try:
            yield
        finally:
            self._held = False
        if self._asked and not before:
            raise Terminated

    def ignore(self) -> None:
        """Raise no more: only the cleanup is left."""
        self._asked = True

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        first, self._asked = not self._asked, True
        if first and not self._held:
            raise Terminated


class Lifecycle:
    """One service, from its first start to its end. The caller holds the lock of `state`."""

    def __init__(self, service: ServiceConfig, state: StateFolder) -> None:
        self._service = service
        self._state = state
        self._signals = SignalHandler()
        self._backoff = RestartBackoff()
        self._record = StateRecord(state.folder, os.getpid())
        self._torchserve: TorchServe | None = None
        self._ready_at: float | None = None  # since this start
        self._was_ready = False

    def run(self) -> int:
        """0 after a signal. Raises CommandError if the service never became ready."""
        try:
            self._take_over()
            with descriptions(os.environ, self._service.addresses().management.url):
                self._keep_running()
        except Terminated:
            print_line("stopping")
            return 0
        finally:
            self._signals.ignore()
            self._stop_torchserve()
            self._state.clear()

    def _keep_running(self) -> NoReturn:
        """Never returns: raises Terminated, or CommandError if it never became ready."""
        while True:
            try:
                self._start_and_watch()
            except (CommandError, OSError) as fault:
                if not self._was_ready:
                    raise
                ready_for = time.monotonic() - self._ready_at if self._ready_at else 0.0
                delay = self._backoff.after(ready_for)
                print_line(f"{fault}; starting again in {delay:.0f} s")
                time.sleep(delay)

    def _take_over(self) -> None:
        """Replace an earlier supervisor's state file, and kill what a killed one left."""
        try:
            self._state.read()
        except StateError as error:
            print_line(f"{error} (it is replaced)")
        kill_orphans(self._state)
        try:
            self._state.write(self._record)
        except OSError as error:
            raise CommandError(f"{self._state.file} cannot be written: {error.strerror}") from error

    def _start_and_watch(self) -> None:
        """Never returns: raises Terminated or CommandError, with TorchServe stopped."""
        started = time.monotonic()
        self._ready_at = None
        named = self._service.check()
        models = promoted(named, self._service.state)
        for model in models:
            print_line(f"{STARTING} {model}, from {model.archive}")
        try:
            with self._signals.held():
                self._torchserve = self._service.start(models, self._state.mark)
            folder, names = str(self._torchserve.folder), [str(model) for model in named]
            self._write(replace(self._record, folder=folder, models=names))
            line = await_ready(self._service, self._torchserve)
            print_line(f"{line}, after {time.monotonic() - started:.0f} s")
            announcement = self._service.announcement()
            print_line(announcement)
            self._ready_at, self._was_ready = time.monotonic(), True
            self._write(replace(self._record, announcement=announcement))
            while self._torchserve.is_running():
                self._torchserve.remove_uploads()
                time.sleep(POLL_INTERVAL)
            reason = (
                self._torchserve.termination_cause() or f"exit code {self._torchserve.exit_code}"
            )
            if self._torchserve.exit_code == CRASH_EXIT_CODE:
                reason += ", as after a crash of Java (such as SIGSEGV)"
            raise CommandError(
                f"TorchServe ended by itself: {reason} (its log: {self._service.log})"
            )
        finally:
            self._stop_torchserve()
            self._write(replace(self._record, folder=None, announcement=None))

    def _write(self, record: StateRecord) -> None:
        """Write the state file. A full disk only leaves it outdated: the service goes on."""
        self._record = record
        try:
            self._state.write(record)
        except OSError as error:
            print_line(f"{self._state.file} cannot be written: {error.strerror}")

    def _stop_torchserve(self) -> None:
        """Uninterruptible: a second Ctrl-C must not leave Java and the workers behind."""
        with self._signals.held():
            if self._torchserve is not None:
                self._torchserve.stop()
                self._torchserve = None


def run_service(service: ServiceConfig, state: StateFolder) -> int:
    """Serve until a signal; returns 0 after it."""
    if sys.platform == "linux":
        # Workers are Java's children: as their subreaper the supervisor sees when they are gone.
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    return Lifecycle(service, state).run()


def await_ready(service: ServiceConfig, torchserve: TorchServe) -> str:
    """Wait until the service is ready; returns the readiness line. Raises CommandError."""
    deadline = time.monotonic() + STARTUP_TIMEOUT
    reason = "it did not answer"
    log = f"(TorchServe's log: {service.log})"
    while time.monotonic() < deadline:
        if not torchserve.is_running():
            reason = torchserve.termination_cause() or torchserve.output.reason()
            raise CommandError(f"TorchServe ended at start: {reason} (its log: {service.log})")
        if torchserve.output.worker_died:
            raise CommandError(f"the worker died at start: {torchserve.output.reason()} {log}")
        try:
            return readiness.check(service.addresses())
        except readiness.WrongAnswer as error:
            raise CommandError(f"{error} {log}") from error
        except readiness.NotReady as error:
            reason = str(error)
        time.sleep(POLL_INTERVAL)
    raise CommandError(f"not ready after {STARTUP_TIMEOUT:.0f} s: {reason} {log}")
