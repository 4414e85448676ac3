"""commands/main.py: the command `face-age` and its sub-commands."""

import importlib
import sys
from importlib.util import find_spec

import pytest

from commands.main import CALLED, TRAINING, main


def test_help_names_every_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["face-age", "--help"])
    assert main() == 0
    printed = capsys.readouterr().out
    assert printed.startswith("usage: face-age COMMAND ...")
    assert [name for name in (*CALLED, *TRAINING) if f"\n  {name} " not in printed] == []


@pytest.mark.parametrize(("words", "line"), [([], "no command"), (["pack"], "pack is no command")])
def test_what_is_no_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], line: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["face-age", *words])
    assert main() == 2
    assert capsys.readouterr().err.startswith(f"error: {line}\nusage: face-age")


def test_every_command_is_there() -> None:
    for module, function, _ in CALLED.values():
        assert callable(getattr(importlib.import_module(module), function))
    assert [name for name, (module, _) in TRAINING.items() if find_spec(module) is None] == []


@pytest.mark.parametrize("name", CALLED)
def test_help_is_the_command_s(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["face-age", name, "--help"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: face-age {name} ")


def test_its_exit_code_is_the_command_s(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["face-age", "check", "none.mar"])
    assert main() == 1
    line = "error: none.mar is missing: make it with scripts/archive.py\n"
    assert capsys.readouterr() == ("", line)
