"""Reads what TorchServe prints and keeps the one line that says why it failed."""

import contextlib
import os
import re
import sys
import threading
from collections import deque
from typing import IO

# What a worker prints comes as "... W-9000-age_1.0-stdout MODEL_LOG - text".
_WORKER = re.compile(r" MODEL_LOG - (.*)")
# TorchServe's own words around a cause: it looks for a handler that cannot be imported among its
# own ones, and follows an error of the handler with one of its own.
_AROUND = ("'ts.torch_handler", "RuntimeError: 500 - ", "RuntimeError: 507 - ")
_JAVA = re.compile(r"\[ERROR\] \S+ \S+ - (.*)")
_OUT_OF_MEMORY = re.compile(r"Terminating due to (java\.lang\.OutOfMemoryError.*)")


def say(line: str) -> None:
    """Print a line in one write: `print` writes its end apart, and threads would run together.

    A full disk, or nobody who reads, is no reason to end for a service that answers.
    """
    with contextlib.suppress(OSError):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def close_output() -> None:
    """To be called last: what cannot be printed by now would change the exit code."""
    try:
        sys.stdout.flush()
    except OSError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 (it ends with the process)


class Console:
    """Follows TorchServe's output to its end, in a thread of its own.

    The pipe must be read for as long as TorchServe runs, or it would block; nothing of it is
    kept but the reasons, as TorchServe writes (and rotates) its own log files.
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
        """The likeliest cause of a failure: the worker's exception, else Java's last error."""
        self._thread.join(1)  # a worker's traceback comes a moment after the news of its death
        causes = [line for line in self._exceptions if not any(text in line for text in _AROUND)]
        return (causes or list(self._errors) or [self._last])[-1]

    def out_of_memory(self) -> str | None:
        """Java's last words where it ended for want of memory."""
        self._thread.join(1)  # they come a moment after the news of its end
        return self._out_of_memory

    def close(self) -> None:
        """Wait until everything that was printed has been read."""
        self._thread.join(1)

    def _follow(self, stream: IO[bytes]) -> None:
        with stream:
            for raw in stream:
                line = raw.decode(errors="replace").rstrip()
                if self._echo:
                    say(line)
                self._observe(line)

    def _observe(self, line: str) -> None:
        self._last = line or self._last
        if worker := _WORKER.search(line):
            self._observe_worker(worker[1])
        elif error := _JAVA.search(line):
            self._errors.append(error[1])
        elif last := _OUT_OF_MEMORY.match(line):
            self._out_of_memory = last[1]
        # TorchServe says so after each death of a worker, whatever ended it.
        if " - Retry worker: " in line or " - Failed to load model: " in line:
            self.worker_died = True

    def _observe_worker(self, text: str) -> None:
        if text.startswith("Traceback (most recent call last)"):
            self._in_traceback = True
        elif self._in_traceback and text and not text[0].isspace():
            self._exceptions.append(text)
            self._in_traceback = False
