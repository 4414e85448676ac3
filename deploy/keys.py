"""Adds, lists and revokes the proxy's API keys; nginx applies a change with the next request.

    python deploy/keys.py add alice       prints alice's key, which is not stored
    python deploy/keys.py list
    python deploy/keys.py revoke alice

The file has a line for each key: SHA-256, name and date. A key is 32 random bytes, so a plain hash
can neither be reversed nor searched. Runs on hosts without this project: it needs only the standard
library.
"""

import argparse
import contextlib
import datetime
import fcntl
import hashlib
import os
import re
import secrets
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

FILE = Path("/etc/face-age/keys")
NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


class KeyFileError(Exception):
    """The key file cannot be read or changed; the message is one line for the operator."""


@dataclass(frozen=True)
class Key:
    """A line of the file: a key's hash, name and date."""

    sha256: str
    name: str
    made: str  # YYYY-MM-DD

    @classmethod
    def parse(cls, line: str) -> Self:
        """The inverse of `str(key)`. Raises KeyFileError on any other line."""
        if not re.fullmatch(rf"[0-9a-f]{{64}} {NAME.pattern} \d{{4}}-\d\d-\d\d", line):
            raise KeyFileError(f"not a line of keys: {line[:20]!r}...")
        return cls(*line.split())

    def __str__(self) -> str:
        return f"{self.sha256} {self.name} {self.made}"


def read(file: Path) -> list[Key]:
    """The keys of a file; empty if the file is missing."""
    try:
        return [Key.parse(line) for line in file.read_text().splitlines()]
    except FileNotFoundError:
        return []


def add(file: Path, name: str) -> str:
    """Store the hash of a new key; returns the key. Raises KeyFileError on a bad or taken name."""
    if not NAME.fullmatch(name):
        raise KeyFileError(
            f"{name!r} is no name: letters, digits, dot, dash and underscore, at most 64"
        )
    key = secrets.token_urlsafe(32)
    with _changing(file) as keys:
        if any(other.name == name for other in keys):
            raise KeyFileError(f"there is a key {name}: revoke it, or choose another name")
        today = datetime.date.today().isoformat()
        keys.append(Key(hashlib.sha256(key.encode()).hexdigest(), name, today))
    return key


def revoke(file: Path, name: str) -> None:
    """Remove a key. Raises KeyFileError if there is none of that name."""
    with _changing(file) as keys:
        left = [key for key in keys if key.name != name]
        if len(left) == len(keys):
            raise KeyFileError(f"there is no key {name}")
        keys[:] = left


@contextlib.contextmanager
def _changing(file: Path) -> Iterator[list[Key]]:
    """The file's keys, to be edited; locked, and replaced atomically at the end."""
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        keys = read(file)
        yield keys
        number, fresh = tempfile.mkstemp(prefix=".keys-", dir=file.parent)
        try:
            with os.fdopen(number, "w") as stream:
                stream.writelines(f"{key}\n" for key in keys)
                stream.flush()
                os.fchmod(number, 0o644)  # nginx's workers run as another user; hashes are public
                os.fsync(number)
            os.replace(fresh, file)
        except BaseException:
            os.unlink(fresh)
            raise
        os.fsync(folder)
    finally:
        os.close(folder)


def main() -> int:
    parser = argparse.ArgumentParser(description="Add, list and revoke the proxy's keys.")
    parser.add_argument("--file", type=Path, default=FILE, help=f"default: {FILE}")
    actions = parser.add_subparsers(dest="action", required=True)
    actions.add_parser("add", help="print a new key").add_argument("name")
    actions.add_parser("list", help="print names and days")
    actions.add_parser("revoke", help="remove a key").add_argument("name")
    given = parser.parse_args()
    try:
        if given.action == "add":
            print(add(given.file, given.name))
        elif given.action == "revoke":
            revoke(given.file, given.name)
        else:
            for key in read(given.file):
                print(f"{key.made} {key.name}")
    except (KeyFileError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
