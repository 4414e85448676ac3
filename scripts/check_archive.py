"""Tells whether TorchServe can load archives, whole and as they were packed.

    python scripts/check_archive.py model_store/age.mar     exit 0, or 1 and why not, in a line

`scripts/supervise.py` looks at the archives on its start line so; this is for those who start
TorchServe in another way: by itself it serves without a damaged one, and says Healthy.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # for `handler`

from handler.contract import ContractError
from handler.integrity import IntegrityError, check_archive


def fault(archive: Path) -> str | None:
    """What is wrong with an archive and what to do about it, in one line; None where nothing is."""
    if not archive.exists():
        return f"{archive} is missing: make it with scripts/archive.py"
    try:
        check_archive(archive)
    except IntegrityError as error:
        return f"{archive} is damaged: make it anew with scripts/archive.py ({error})"
    except ContractError as error:
        return str(error)
    return None


def main() -> int:
    parser = argparse.ArgumentParser(description="Tell whether TorchServe can load archives.")
    parser.add_argument("archives", nargs="+", type=Path, metavar="FILE")
    faults = 0
    for archive in parser.parse_args().archives:
        if found := fault(archive):
            print(f"error: {found}", file=sys.stderr)
            faults += 1
        else:
            print(f"{archive}: as it was packed")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
