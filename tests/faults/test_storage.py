"""The disk of the logs is full, or may not be written to any more: images are answered."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.load import Load, direct, load
from tests.faults.table import Table
from tests.torchserve import FEW_WORKERS, ROOT, SUPERVISE, private_addresses, running, supervised

USERS = 8


def mount(*words: str) -> None:
    """Skips where that is not for us to do."""
    done = subprocess.run(["mount", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of 4 MB."""
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder))
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def breakable_disk(folder: Path) -> Iterator[None]:
    """An ext4 of 16 MB, which `-o remount,abort` breaks: then it is read-only, as after a fault."""
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("no mkfs.ext4 to make a file system with")
    image = folder.with_suffix(".img")
    with image.open("wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    folder.mkdir()
    mount("-o", "loop", str(image), str(folder))
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(file: Path) -> None:
    """Write until nothing more fits."""
    with pytest.raises(OSError, match="No space left on device"):
        file.write_bytes(bytes(8 << 20))


def test_full(model_store: Path, tmp_path: Path, table: Table) -> None:
    state = tmp_path / "disk"
    with small_disk(state), running(model_store, state, environ=FEW_WORKERS) as service:
        log = service.logs / "ts_log.log"
        full = state / "full"

        def loaded() -> tuple[Load, int]:
            """What became of the images, and how much the log has grown."""
            before = log.stat().st_size
            with load(direct(service.rest), USERS) as users:
                users.await_answers(3 * USERS)
            assert users.lost == {}
            return users, log.stat().st_size - before

        fill(full)
        users, _ = loaded()
        table.add("the logs' disk is full", users)
        assert loaded()[1] == 0
        full.unlink()
        assert loaded()[1] > 0  # it goes on by itself
        fill(full)  # it can be stopped, too


def test_turns_read_only(model_store: Path, table: Table) -> None:
    """All that the service writes to: its logs and state, its temporary files and sockets."""
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as short,  # a socket's path has 107 bytes at most
        breakable_disk(state := Path(short, "disk")),
        running(model_store, state, environ=FEW_WORKERS | {"TMPDIR": str(state)}) as service,
    ):
        with load(direct(service.rest), USERS) as users:
            mount("-o", "remount,abort", str(state))
            with pytest.raises(OSError, match="Read-only file system"):
                (state / "probe").touch()
            users.await_answers(3 * USERS)
        assert users.lost == {}
        # and it can be stopped
    table.add("the file system turns read-only", users)


def test_read_only(model_store: Path, tmp_path: Path, table: Table) -> None:
    """Nothing may be written to but /tmp: the rest is read-only, for the service alone."""
    addresses = private_addresses()
    read_only = f"""
        mount --bind /tmp /tmp
        mount --bind {ROOT} {ROOT}
        mount -o remount,bind,ro {ROOT}
        mount -o remount,bind,ro /
        for folder in / {ROOT}; do
            if touch "$folder/probe" 2> /dev/null; then exit 3; fi
        done
        exec "$@"
    """
    unshared = ["unshare", "--mount", "sh", "-ec", read_only, "sh"]
    tried = subprocess.run([*unshared, "true"], capture_output=True, text=True, check=False)
    assert tried.returncode != 3
    if tried.returncode:
        pytest.skip(f"no file system can be mounted here: {tried.stderr.strip()}")
    environ = addresses | FEW_WORKERS
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as state,
        supervised(model_store, Path(state), environ, prefix=unshared) as service,
        load(direct(service.service.rest), USERS) as users,
    ):
        users.await_answers(3 * USERS)
    assert users.lost == {}
    table.add("the file system is read-only but for /tmp", users)


@pytest.mark.parametrize("words", [[], ["--background"]])
@pytest.mark.parametrize(
    ("trouble", "reason"),
    [("full", "No space left on device"), ("read-only", "Read-only file system")],
)
def test_from_the_start(
    model_store: Path, tmp_path: Path, words: list[str], trouble: str, reason: str
) -> None:
    state = tmp_path / "disk"
    with small_disk(state):
        if trouble == "full":
            fill(state / "full")
        else:
            mount("-o", "remount,ro", str(state))
        done = subprocess.run(
            [*SUPERVISE, "--state", str(state), "--model-store", str(model_store), *words],
            env=os.environ | private_addresses(),
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"error: {state}/logs cannot be written to ({reason}): make room, or choose another "
        "folder by --state\n"
    )
