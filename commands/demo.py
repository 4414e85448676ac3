"""Try the service in a browser: scripts/demo.sh of the clone."""

import os
import sys
from pathlib import Path
from typing import Final

CLONE: Final = Path(__file__).resolve().parent.parent


def main() -> int:
    """Check the command line, then become the script; returns only if there is none."""
    if (CLONE / "demo" / "constraints.txt").is_file():
        from demo import options  # the container has no page

        options.read()
        script = str(CLONE / "scripts" / "demo.sh")
        os.execv(script, [script, *sys.argv[1:]])  # nosec B606  # no shell
    print("error: face-age demo needs a clone, installed by pip install -e .", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
