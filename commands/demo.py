"""`face-age demo`: a page to try the service in a browser, which is scripts/demo.sh of the clone."""

import os
import sys
from pathlib import Path
from typing import Final

SCRIPT: Final = Path(__file__).resolve().parent.parent / "scripts" / "demo.sh"


def main() -> int:
    """Become the script; returns only if there is none."""
    if not SCRIPT.is_file():
        print("error: face-age demo needs a clone, installed by pip install -e .", file=sys.stderr)
        return 1
    os.execv(SCRIPT, [str(SCRIPT), *sys.argv[1:]])  # nosec B606  # no shell


if __name__ == "__main__":
    sys.exit(main())
