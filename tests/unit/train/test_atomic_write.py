"""Files are complete or unchanged, whatever happens during a write."""

import errno
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from train import files
from train.atomic_write import atomic_write, atomic_write_all, clean


def test_atomic_write_replaces_the_file_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.txt"
    with atomic_write(target) as partial:
        partial.write_text("one")
        assert not target.exists()
        assert partial.parent == target.parent  # of one file system
    assert target.read_text() == "one"
    assert list(target.parent.iterdir()) == [target]


def test_atomic_write_keeps_the_old_file_when_writing_fails(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(TypeError), atomic_write(target) as partial:
        partial.write_text(b"bytes")  # type: ignore[arg-type]
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_is_on_the_disk_before_it_is_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = []
    fsync, replace = os.fsync, os.replace

    def flushed(handle: int) -> None:
        done.append(f"flush {Path(os.readlink(f'/proc/self/fd/{handle}')).suffix}")
        fsync(handle)

    def moved(source: Path, target: Path) -> None:
        done.append(f"move to {target.name}")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", flushed)
    monkeypatch.setattr(os, "replace", moved)
    (tmp_path / "b").write_text("old")
    with atomic_write_all([tmp_path / "a", tmp_path / "b"]) as partials:
        for partial in partials.values():
            partial.write_text("new")
    assert done == ["flush .partial", "flush .partial", "move to a", "move to b", "flush "]


def test_the_file_that_was_there_goes_on_under_another_name(tmp_path: Path) -> None:
    last, previous = tmp_path / "last", tmp_path / "previous"
    for text in ("one", "two", "three"):
        with atomic_write(last, previous) as partial:
            partial.write_text(text)
            if text != "one":
                assert last.read_text() != text  # there is one at any time
    assert (last.read_text(), previous.read_text()) == ("three", "two")
    assert sorted(tmp_path.iterdir()) == [last, previous]


class TestTogether:
    """All of them or none."""

    NAMES = ("new.txt", "old.txt", "other.txt")

    @pytest.fixture
    def paths(self, tmp_path: Path) -> list[Path]:
        for name in self.NAMES[1:]:
            (tmp_path / name).write_text(f"old {name}")
        return [tmp_path / name for name in self.NAMES]

    def write(self, paths: list[Path]) -> None:
        with atomic_write_all(paths) as partials:
            for path in paths:
                partials[path].write_text(f"new {path.name}")

    def contents(self, folder: Path) -> dict[str, str]:
        return {path.name: path.read_text() for path in folder.iterdir()}

    def test_are_written(self, paths: list[Path], tmp_path: Path) -> None:
        self.write(paths)
        assert self.contents(tmp_path) == {name: f"new {name}" for name in self.NAMES}

    @pytest.mark.parametrize("failing", range(3))
    @pytest.mark.parametrize("links", [True, False])
    def test_are_put_back_where_one_cannot_be_moved(
        self,
        paths: list[Path],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        failing: int,
        links: bool,
    ) -> None:
        replace = os.replace

        def refused(source: Path, target: Path) -> None:
            if target == paths[failing] and source.suffix == ".partial":
                raise OSError(errno.EIO, os.strerror(errno.EIO), str(source), None, str(target))
            replace(source, target)

        def unknown(*_: object, **__: object) -> None:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

        before = self.contents(tmp_path)
        monkeypatch.setattr(os, "replace", refused)
        if not links:
            monkeypatch.setattr(os, "link", unknown)
        with pytest.raises(OSError, match="Input/output error") as caught:
            self.write(paths)
        assert files.error_text(caught.value).startswith("Input/output error: ")
        assert self.contents(tmp_path) == before

    def test_of_one_file_by_two_paths(self, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tmp_path)
        self.write([tmp_path / "a", tmp_path / "link" / "a"])
        (tmp_path / "link").unlink()
        assert self.contents(tmp_path) == {"a": "new a"}


def test_an_error_tells_of_the_file(tmp_path: Path) -> None:
    words = os.strerror(errno.ENOSPC)

    def raised_text(error: OSError) -> str:
        def write() -> None:
            with atomic_write(tmp_path / "a") as partial:
                if error.filename:
                    error.filename = str(partial)
                raise error

        with pytest.raises(OSError, match=words) as caught:
            write()
        return files.error_text(caught.value)

    assert raised_text(OSError(errno.ENOSPC, words)) == f"{words}: {tmp_path / 'a'}"
    assert raised_text(OSError(errno.ENOSPC, words, "partial")) == f"{words}: {tmp_path / 'a'}"


def test_an_error_of_a_copy_tells_where_it_leads(tmp_path: Path) -> None:
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "source", None, "target")
    assert files.error_text(error) == "No space left on device: target"

    def copy() -> None:
        with atomic_write(tmp_path / "a") as partial:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "source", None, str(partial))

    with pytest.raises(OSError, match="No space left") as caught:
        copy()
    assert files.error_text(caught.value) == f"No space left on device: {tmp_path / 'a'}"


def ran(code: str, *words: Path, before: Callable[[], None] | None = None) -> int:
    """The exit code of some Python."""
    command = [sys.executable, "-c", code, *map(str, words)]
    done = subprocess.run(command, preexec_fn=before, check=False, capture_output=True)
    return done.returncode


KILLED = """
import os, pathlib, signal, sys
from train.atomic_write import atomic_write
with atomic_write(pathlib.Path(sys.argv[1])) as partial:
    partial.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
WRITTEN = """
import pathlib, sys
from train.atomic_write import atomic_write
with atomic_write(pathlib.Path(sys.argv[1])) as partial:
    partial.write_text("whole")
"""


def test_a_kill_leaves_the_old_file_and_the_next_start_cleans_up(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    assert ran(KILLED, target) == -signal.SIGKILL
    assert target.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2
    assert ran(WRITTEN, tmp_path / "b.txt") == 0
    assert sorted(tmp_path.iterdir()) == [target, tmp_path / "b.txt"]


def test_what_others_write_is_not_cleaned_up(tmp_path: Path) -> None:
    mine = [tmp_path / ".hidden", tmp_path / "a.partial", tmp_path / ".a.partial"]
    for path in mine:
        path.touch()
    with atomic_write(tmp_path / "a") as partial:
        partial.write_text("new")
        (tmp_path / ".b.123.partial").touch()
        (tmp_path / ".b.123.before").touch()
        clean(tmp_path)
        assert sorted(tmp_path.iterdir()) == sorted([*mine, partial])
    assert (tmp_path / "a").read_text() == "new"


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (3, 3))

    target = tmp_path / "a.txt"
    target.write_text("old")
    assert ran(WRITTEN, target, before=limit) == 1
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_is_not_taken_the_place_of(tmp_path: Path) -> None:
    (tmp_path / "out" / "inside").mkdir(parents=True)
    with pytest.raises(IsADirectoryError) as caught, atomic_write(tmp_path / "out") as partial:
        partial.write_text("a file")
    assert caught.value.filename == str(tmp_path / "out")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "inside"]


def test_a_folder_that_nothing_came_into_is_not_left(tmp_path: Path) -> None:
    with suppress(ZeroDivisionError), atomic_write(tmp_path / "new" / "file") as partial:
        partial.write_text(str(1 / 0))
    assert not (tmp_path / "new").exists()
