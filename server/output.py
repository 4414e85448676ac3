"""Prints lines safely, and extracts the reason for a failure from TorchServe's output."""

import contextlib
import os
import re
import sys
import threading
from collections import deque
from typing import IO, NoReturn

# A worker's output arrives as "... W-9000-age_1.0-stdout MODEL_LOG - text".
_WORKER = re.compile(r" MODEL_LOG - (.*)")
# TorchServe wraps the cause in errors of its own: it also searches its own handlers for a handler
# that cannot be imported, and raises again after a handler's error.
_WRAPPERS = ("'ts.torch_handler", "RuntimeError: 500 - ", "RuntimeError: 507 - ")
_JAVA = re.compile(r"\[ERROR\] \S+ \S+ - (.*)")
_OUT_OF_MEMORY = re.compile(r"Terminating due to (java\.lang\.OutOfMemoryError.*)")


def print_line(line: str) -> None:
    """Print a line in one write: `print` writes the newline separately, and threads interleave.

    A full disk or a closed pipe is ignored: it must not end a service that answers.
    """
    with contextlib.suppress(OSError):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def exit_with(code: int) -> NoReturn:
    """Flush stdout and exit; a flush that fails does not change the exit code."""
    close_stdout()
    sys.exit(code)


def close_stdout() -> None:
    """Flush stdout; if that fails, discard the rest, or Python would exit with 120."""
    try:
        sys.stdout.flush()
    except OSError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (closed at exit)


class OutputReader:
    """Reads TorchServe's output to its end, in a thread.

    TorchServe would block on a full pipe. Only reasons for failures are kept: TorchServe writes
    and rotates its own log files.
    """

    def __init__(self, stream: IO[bytes], *, echo: bool) -> None:
        self.worker_died = False
        self._echo = echo
        self._in_traceback = False
        self._exceptions: deque[str] = deque(maxlen=20)
        self._errors: deque[str] = deque(maxlen=20)
        self._last = "nothing"
        self._out_of_memory: str | None = None
        self._thread = threading.Thread(target=self._follow, args=(stream,), daemon=True)
        self._thread.start()

    def reason(self) -> str:
        """The most likely cause of a failure: the worker's exception, else Java's last error."""
        self._thread.join(1)  # a worker's traceback arrives just after the line about its death
        causes = [line for line in self._exceptions if not any(text in line for text in _WRAPPERS)]
        return (causes or list(self._errors) or [self._last])[-1]

    def out_of_memory(self) -> str | None:
        """Java's OutOfMemoryError, if it terminated with one."""
        self._thread.join(1)  # the line arrives just after the process has ended
        return self._out_of_memory

    def close(self) -> None:
        """Wait until all output has been read."""
        self._thread.join(1)

    def _follow(self, stream: IO[bytes]) -> None:
        with stream:
            for raw in stream:
                line = raw.decode(errors="replace").rstrip()
                if self._echo:
                    print_line(line)
                self._observe(line)

    def _observe(self, line: str) -> None:
        self._last = line or self._last
        if worker := _WORKER.search(line):
            self._observe_worker(worker[1])
        elif error := _JAVA.search(line):
            self._errors.append(error[1])
        elif last := _OUT_OF_MEMORY.match(line):
            self._out_of_memory = last[1]
        # TorchServe logs one of these after each death of a worker, whatever the cause.
        if " - Retry worker: " in line or " - Failed to load model: " in line:
            self.worker_died = True

    def _observe_worker(self, text: str) -> None:
        if text.startswith("Traceback (most recent call last)"):
            self._in_traceback = True
        elif self._in_traceback and text and not text[0].isspace():
            self._exceptions.append(text)
            self._in_traceback = False
