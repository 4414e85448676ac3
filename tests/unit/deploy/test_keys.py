"""deploy/keys.py: what it writes, and what it refuses."""

import datetime
import hashlib
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy import keys


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def run(file: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, keys.__file__, "--file", str(file), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_only_the_hash_is_kept(file: Path) -> None:
    key = keys.add(file, "alice")
    assert re.fullmatch(r"[\w-]{43}", key)
    sha256 = hashlib.sha256(key.encode()).hexdigest()
    assert file.read_text() == f"{sha256} alice {datetime.date.today()}\n"
    assert [path.name for path in file.parent.iterdir()] == ["keys"]
    assert file.stat().st_mode & 0o777 == 0o644


def test_revoking_leaves_the_others(file: Path) -> None:
    for name in ("alice", "bob", "carol"):
        keys.add(file, name)
    keys.revoke(file, "bob")
    assert [key.name for key in keys.read(file)] == ["alice", "carol"]


@pytest.mark.parametrize("name", ["", "a b", "a\nb", "ä", "x" * 65, "../x"])
def test_name_that_is_none(file: Path, name: str) -> None:
    with pytest.raises(keys.KeyFileError, match="is no name"):
        keys.add(file, name)
    assert not file.exists()


def test_name_that_is_taken(file: Path) -> None:
    keys.add(file, "alice")
    before = file.read_text()
    with pytest.raises(keys.KeyFileError, match="there is a key alice"):
        keys.add(file, "alice")
    assert file.read_text() == before


def test_damaged_file_is_not_overwritten(file: Path) -> None:
    file.write_text("alice:secret\n")
    with pytest.raises(keys.KeyFileError, match="not a line of keys"):
        keys.add(file, "bob")
    assert file.read_text() == "alice:secret\n"
    assert [path.name for path in file.parent.iterdir()] == ["keys"]


def test_many_at_once(file: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda i: keys.add(file, f"n{i}"), range(24)))
    kept = {key.name: key.sha256 for key in keys.read(file)}
    wanted = {f"n{i}": hashlib.sha256(key.encode()).hexdigest() for i, key in enumerate(made)}
    assert kept == wanted


def test_command_line(file: Path) -> None:
    added = run(file, "add", "alice")
    assert (added.returncode, added.stderr) == (0, "")
    (kept,) = keys.read(file)
    assert kept.sha256 == hashlib.sha256(added.stdout.strip().encode()).hexdigest()
    assert run(file, "list").stdout == f"{datetime.date.today()} alice\n"
    assert run(file, "revoke", "alice").returncode == 0
    assert run(file, "list").stdout == ""
    again = run(file, "revoke", "alice")
    assert (again.returncode, again.stderr) == (1, "error: there is no key alice\n")


def test_folder_that_is_missing(file: Path) -> None:
    done = run(file.parent / "no" / "keys", "add", "alice")
    assert done.returncode == 1
    assert re.fullmatch(r"error: .*No such file or directory: .*\n", done.stderr)
