"""Ends a worker that hangs, long before the timeout of a whole batch."""

import faulthandler


class Watchdog:
    """Kills the process if no progress is reported within the timeout.

    A context manager, armed within its block. The stacks of all threads go to stderr. It also works
    when C code never returns and holds the GIL.
    """

    def __init__(self, seconds: int) -> None:
        """`seconds`: timeout of one step of the work; 0 disables it."""
        self._seconds = seconds
        self._armed = False

    def __enter__(self) -> None:
        self._armed = self._seconds > 0
        self.progress()

    def __exit__(self, *_: object) -> None:
        self._armed = False
        faulthandler.cancel_dump_traceback_later()

    def progress(self) -> None:
        """Restart the timeout: a step is done. No effect outside of the block."""
        if self._armed:
            faulthandler.dump_traceback_later(self._seconds, exit=True, file=2)
