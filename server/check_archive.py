"""Checks that TorchServe can load archives, and that they are unchanged since they were packed.

    face-age check model_store/age.mar     exit 0, or 1 and the reason in a line

`server/supervisor.py` does so before it starts TorchServe. Run this before starting TorchServe in
another way: TorchServe drops a damaged archive, serves without it, and says Healthy.
"""

import argparse
import sys
from pathlib import Path

from handler.contract import ContractError
from handler.integrity import IntegrityError, Packed, check_archive
from server.errors import CommandError


def checked(archive: Path) -> Packed:
    """What an archive serves. Raises CommandError if TorchServe cannot load it as packed."""
    if not archive.exists():
        raise CommandError(f"{archive} is missing: make it with scripts/archive.py")
    try:
        return check_archive(archive)
    except IntegrityError as error:
        raise CommandError(
            f"{archive} is damaged: make it anew with scripts/archive.py ({error})"
        ) from error
    except ContractError as error:
        raise CommandError(str(error)) from error


def main() -> int:
    parser = argparse.ArgumentParser(description="Check that TorchServe can load archives.")
    parser.add_argument("archives", nargs="+", type=Path, metavar="FILE")
    failed = 0
    for archive in parser.parse_args().archives:
        try:
            packed = checked(archive)
            print(f"{archive}: as it was packed, {packed}, predicts {', '.join(packed.tasks)}")
        except CommandError as error:
            print(f"error: {error}", file=sys.stderr)
            failed += 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
