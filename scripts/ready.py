"""Tells whether the service answers: `face-age ready`."""

import sys

from server.console import close_output
from server.readiness import main

if __name__ == "__main__":
    code = main()
    close_output()
    sys.exit(code)
