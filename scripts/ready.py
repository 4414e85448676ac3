"""Tells whether the service answers: `face-age ready`."""

import sys

from server.readiness import main

if __name__ == "__main__":
    sys.exit(main())
