"""Ends a worker that hangs, long before the time that its largest batch may take is over."""

import faulthandler


class Watchdog:
    """A block in which something has to happen all the time.

    Where nothing does, the process ends at once, with the stacks of its threads on stderr. That
    holds for C code too that never returns and does not let go of the interpreter.
    """

    def __init__(self, seconds: int) -> None:
        """`seconds`: the longest that one step of the work may take; 0: any time."""
        self._seconds = seconds
        self._armed = False

    def __enter__(self) -> None:
        self._armed = self._seconds > 0
        self.progress()

    def __exit__(self, *_: object) -> None:
        self._armed = False
        faulthandler.cancel_dump_traceback_later()

    def progress(self) -> None:
        """Begin the time anew: a step of the work is done. Outside of the block it does nothing."""
        if self._armed:
            faulthandler.dump_traceback_later(self._seconds, exit=True, file=2)
