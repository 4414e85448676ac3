"""TorchServe's launcher, but it becomes Java: who started it sees how Java itself ends.

As it is, it waits for Java and then exits with 0, whether Java was stopped, killed or broke.
"""

import os
import signal
import sys
from types import SimpleNamespace
from typing import NoReturn

from ts import model_server


def become(command: list[str]) -> NoReturn:
    """Takes the place of `subprocess.Popen`."""
    sys.stdout.flush()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python's own setting would be inherited
    os.execvp(command[0], command)  # nosec B606  # no shell, no stranger's words


if __name__ == "__main__":
    model_server.subprocess = SimpleNamespace(Popen=become)
    model_server.start()
