"""Tells whether archives are whole: `face-age check`."""

import sys

from server.check_archive import main

if __name__ == "__main__":
    sys.exit(main())
