"""server/cli.py: what `face-age serve` and `face-age stop` do with their arguments."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from server import cli
from server.archive import ROOT, STORE

Run = Callable[..., tuple[int, list[tuple[str, list[str], str]]]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in a folder elsewhere: exit code, and what was called with which words."""
    called: list[tuple[str, list[str], str]] = []
    monkeypatch.delenv(cli.STATE, raising=False)
    monkeypatch.chdir(tmp_path)
    for module in ("ensure_archives", "supervisor"):

        def main(words: list[str], module: str = module) -> int:
            called.append((module, words, os.getcwd()))
            return 0

        monkeypatch.setattr(getattr(cli, module), "main", main)

    def command(function: Callable[[], int], *words: str) -> tuple[int, list]:
        monkeypatch.setattr(sys, "argv", ["face-age", *words])
        return function(), called

    return command


def test_model_store_of_the_clone(run: Run) -> None:
    code, called = run(cli.main)
    assert (code, called) == (
        0,
        [("ensure_archives", [], str(ROOT)), ("supervisor", [], str(ROOT))],
    )


def test_paths_are_those_of_the_folder_where_they_were_typed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.mar").touch()
    _, called = run(cli.main, "--background", "--models", "age=age.mar", "my=mine.mar")
    models = ["--models", f"age={STORE / 'age.mar'}", f"my={tmp_path / 'mine.mar'}"]
    assert [words for _, words, _ in called] == [models, ["--background", *models]]


def test_a_model_to_pack(run: Run, tmp_path: Path) -> None:
    _, called = run(cli.main, "--model", "mine.pt")
    assert [words for _, words, _ in called] == [["--model", str(tmp_path / "mine.pt")], []]


def test_stop(run: Run) -> None:
    assert run(cli.stop) == (0, [("supervisor", ["--stop"], str(ROOT))])


def test_lock_and_logs_elsewhere(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cli.STATE, "/tmp/serve")
    run(cli.main)
    _, called = run(cli.stop)
    words = [words for module, words, _ in called if module == "supervisor"]
    assert words == [["--state", "/tmp/serve"], ["--state", "/tmp/serve", "--stop"]]


def test_what_is_no_archive(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli.main, "--models", "age.mar") == (1, [])
    assert capsys.readouterr().err.startswith("error: --models age.mar: ")


def test_installed_without_a_clone(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "ROOT", tmp_path)
    assert run(cli.main) == (1, [])
    line = "error: face-age serve needs a clone, installed by pip install -e .\n"
    assert capsys.readouterr().err == line
