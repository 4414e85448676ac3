"""The plan that the proxy follows: who answers a request, and which requests are copied.

deploy/nginx/rollout.lua reads it with each request. It ends by itself unless it is renewed, so that
no candidate answers requests while nobody watches it.
"""

import contextlib
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from server.errors import CommandError
from train.atomic_write import atomic_write

VALID: Final = 30  # seconds after it was written
RENEWED: Final = 5.0  # seconds between two writings


@dataclass(frozen=True)
class Plan:
    """Parts of the requests that name no version of a model."""

    model: str
    version: str  # the candidate
    share: float = 0.0  # part that the candidate answers, 0 to 1
    by: Literal["request", "key"] = "request"  # key: all of a key's requests, or none
    copies: float = 0.0  # part of the rest that is copied, 0 to 1
    port: int = 0  # of this machine, where copies go

    def line(self, until: float) -> str:
        """The line of the file; `until` is in seconds since 1970."""
        return (
            f"{self.model} {self.version} share={self.share:.4f} by={self.by} "
            f"copies={self.copies:.4f} port={self.port} until={until:.0f}\n"
        )


class PlanFile:
    """The proxy's file. As a context manager it renews the plan, and removes it at the end."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._plan: Plan | None = None
        self._change = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def follow(self, plan: Plan | None) -> None:
        """Have the proxy follow another plan, or none. Raises CommandError."""
        with self._change:
            self._plan = plan
            self._write()

    def __enter__(self) -> "PlanFile":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self.follow(None)

    def _renew(self) -> None:
        while not self._ended.wait(RENEWED):
            with self._change:
                if self._plan is not None:
                    with contextlib.suppress(CommandError):  # an old plan ends by itself
                        self._write()

    def _write(self) -> None:
        try:
            if self._plan is None:
                self._file.unlink(missing_ok=True)
                return
            with atomic_write(self._file) as partial:
                partial.write_text(self._plan.line(time.time() + VALID))
                os.chmod(partial, 0o644)  # nginx's workers are another user
        except OSError as error:
            raise CommandError(
                f"the plan for nginx cannot be written to {self._file} ({error.strerror}): name "
                "the file of site.conf by --plan, in a folder that you may write to"
            ) from error
