"""`face-age predict` with the code of this folder."""

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    os.environ["PYTHONPATH"] = str(Path(__file__).resolve().parent.parent)
    command = [sys.executable, "-P", "-m", "commands.predict", *sys.argv[1:]]
    os.execv(command[0], command)  # nosec B606  # no shell, no user input
