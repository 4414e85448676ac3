"""Packs age.mar: `face-age archive`."""

import sys

from server.archive import main

if __name__ == "__main__":
    sys.exit(main())
