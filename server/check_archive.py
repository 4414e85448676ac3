"""Tells whether TorchServe can load archives, whole and as they were packed.

    face-age check model_store/age.mar     exit 0, or 1 and why not, in a line

`server/supervisor.py` looks at the archives on its start line so; this is for those who start
TorchServe in another way: by itself it serves without a damaged one, and says Healthy.
"""

import argparse
import sys
from pathlib import Path

from handler.contract import ContractError
from handler.integrity import IntegrityError, Packed, check_archive


class ArchiveFault(Exception):
    """What is wrong with an archive and what to do about it, in one line."""


def checked(archive: Path) -> Packed:
    """What an archive serves. Raises ArchiveFault where TorchServe cannot load it as packed."""
    if not archive.exists():
        raise ArchiveFault(f"{archive} is missing: make it with scripts/archive.py")
    try:
        return check_archive(archive)
    except IntegrityError as error:
        raise ArchiveFault(
            f"{archive} is damaged: make it anew with scripts/archive.py ({error})"
        ) from error
    except ContractError as error:
        raise ArchiveFault(str(error)) from error


def main() -> int:
    parser = argparse.ArgumentParser(description="Tell whether TorchServe can load archives.")
    parser.add_argument("archives", nargs="+", type=Path, metavar="FILE")
    faults = 0
    for archive in parser.parse_args().archives:
        try:
            print(f"{archive}: as it was packed, {checked(archive)}")
        except ArchiveFault as found:
            print(f"error: {found}", file=sys.stderr)
            faults += 1
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
