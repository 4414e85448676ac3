"""server/state_folder.py: the lock, and notes that are believed only where they are one's own."""

import json
import os
from contextlib import closing
from pathlib import Path

import pytest

from server.state_folder import StateError, StateFolder, StateRecord


def notes(state: StateFolder) -> StateRecord:
    return StateRecord(state.folder, 5, "/tmp/age-x", ["age 1.0"], "serving")


def read(folder: Path) -> StateRecord | None:
    with closing(StateFolder(folder)) as state:
        return state.read()


def test_one_holds_it_at_a_time(tmp_path: Path) -> None:
    with closing(StateFolder(tmp_path)) as second:
        with closing(StateFolder(tmp_path)) as first:
            assert first.acquire()
            assert not second.acquire()
        assert second.acquire()


def test_a_child_takes_the_lock_over(tmp_path: Path) -> None:
    with closing(StateFolder(tmp_path)) as parent:
        assert parent.acquire()
        with closing(StateFolder(tmp_path, os.dup(parent.fileno()))) as child:
            assert child.acquire()
            assert not os.get_inheritable(child.fileno())


def test_a_lock_that_is_none_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    with closing(StateFolder(folder)), pytest.raises(StateError):
        StateFolder(folder, 9999)
    with (tmp_path / "other").open("w") as other:
        number = other.fileno()
        with pytest.raises(StateError) as refused:
            StateFolder(folder, number)
    assert str(refused.value) == f"--lock {number} is not {folder}/lock"


def test_notes_of_a_containers_first_process(tmp_path: Path) -> None:
    with closing(StateFolder(tmp_path)) as state:
        state.write(StateRecord(state.folder, 1))
        assert state.read() == StateRecord(state.folder, 1)


def test_notes_are_read_back(tmp_path: Path) -> None:
    with closing(StateFolder(tmp_path)) as state:
        assert state.read() is None
        state.write(notes(state))
        assert state.read() == notes(state)
        state.clear()
        assert state.read() is None


GOOD = {"state": "", "pid": 5, "folder": None, "models": [], "announcement": None}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b'{"pid"',
        b"\xff\xfe",
        b"[" * 100_000,
        b"[]",
        b"5",
        b"{}",
        *(
            json.dumps(GOOD | wrong).encode()
            for wrong in (
                {"pid": "5"},
                {"pid": True},
                {"pid": 5.0},
                {"pid": -1},  # every process of the user
                {"pid": 0},  # the own group
                {"pid": None},
                {"state": None},
                {"folder": ["/"]},
                {"models": "age"},
                {"models": [1]},
                {"announcement": 1},
            )
        ),
    ],
)
def test_broken_notes_are_reported_in_one_line(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "state.json").write_bytes(text)
    with closing(StateFolder(tmp_path)) as state, pytest.raises(StateError) as refused:
        state.read()
    line = str(refused.value)
    assert line.startswith(f"{tmp_path}/state.json is broken (")
    assert line.endswith("): remove it")
    assert "\n" not in line


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text("mine")
    with closing(StateFolder(tmp_path)) as state:
        state.file.symlink_to(other)
        with pytest.raises(StateError) as refused:
            state.read()
        assert str(refused.value) == f"{state.file} cannot be read (a link): remove it"
        state.file.with_suffix(".new").symlink_to(other)
        state.write(notes(state))
        assert not state.file.is_symlink()
    assert other.read_text() == "mine"


@pytest.mark.parametrize("name", ["state.json", "lock"])
@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_what_is_no_file_is_reported_at_once(name: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(StateError) as refused:
        read(tmp_path)
    assert str(tmp_path) in str(refused.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("name", ["state.json", "lock"])
def test_another_users_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    os.chown(tmp_path / name, 12345, -1)
    with pytest.raises(StateError) as refused:
        read(tmp_path)
    assert str(refused.value) == (
        f"{tmp_path}/{name} belongs to user 12345, and this is user 0: be that user, or choose "
        "another folder by --state"
    )


@pytest.mark.parametrize("linked", [False, True])
def test_a_copy_is_refused(linked: bool, tmp_path: Path) -> None:
    """A hard-linked one too, whose lock is the same file."""
    copy = tmp_path / "copy"
    copy.mkdir()
    with closing(StateFolder(tmp_path / "first")) as first:
        first.write(notes(first))
        for file in Path(first.folder).iterdir():
            if linked:
                (copy / file.name).hardlink_to(file)
            else:
                (copy / file.name).write_bytes(file.read_bytes())
        with closing(StateFolder(copy)) as second:
            assert second.mark != first.mark
            with pytest.raises(StateError) as refused:
                second.read()
    assert str(refused.value) == (
        f"{copy}/state.json is a copy of the state of a service in {tmp_path}/first (process 5): "
        "remove it here; stop that service with --stop there"
    )
