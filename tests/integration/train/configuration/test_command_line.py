"""Whole commands: what they are given, and errors that the user can fix."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from handler.errors import InvalidImage
from tests.unit.train.configuration.conftest import Run, Seen
from train.configuration import aliases

ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize(
    "path",
    ["Faces (2)/faces.csv", "Größe/a,b=c#1", "it's", "照片", " {x} [y] ", "b\udce9", "line\nbreak"],
)
def test_a_path_arrives_as_it_was_typed(run: Run, seen: Seen, path: str) -> None:
    assert run(f"data.sources.utkface={path}", f"run={path}", f"fit.start={path}") == 0
    (config,) = seen
    assert config.data.sources.utkface == config.run == config.fit.start == path


def test_an_earlier_name_of_a_key_is_taken_with_a_warning(
    run: Run,
    seen: Seen,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    warned: Seen = []  # caplog's handler is gone once Hydra has set up logging
    monkeypatch.setattr(aliases.log, "warning", lambda _, *words: warned.append(words))
    (tmp_path / "experiment").mkdir()
    mine = tmp_path / "experiment" / "mine.yaml"
    mine.write_text("# @package _global_\nsheet: {photographs: faces}\n")
    experiment = [f"--config-dir={tmp_path}", "+experiment=mine"]
    assert run("sheet.photographs=Größe (2)") == 0
    assert run(*experiment) == 0
    assert run(*experiment, "sheet.images=null") == 0
    assert run("-m", "sheet.photographs=a,b") == 0
    assert [config.sheet for config in seen] == [
        {"images": value} for value in ("Größe (2)", "faces", None, "a", "b")
    ]
    assert warned == [
        (where, "sheet.photographs", "sheet.images")
        for where in ("command line", "train/config", "train/config", "command line")
    ]
    assert run("sheet={photographs:faces}") == 2
    assert "sheet: unknown key" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("nothing\n  to see"), "nothing to see"),
        (FileNotFoundError("a.ckpt is missing: run it first"), "a.ckpt is missing: run it first"),
        (
            FileNotFoundError(2, "No such file or directory", "b\udce9.jpg"),
            "No such file or directory: b\\xe9.jpg",
        ),
        (ModuleNotFoundError("logger=wandb needs a package"), "logger=wandb needs a package"),
        (
            UnicodeEncodeError("utf-8", "b\udce9/run", 1, 2, "surrogates not allowed"),
            "b\\xe9/run: its name is not UTF-8, which is required here: rename it",
        ),
        (InvalidImage("the body is text"), str(InvalidImage("the body is text"))),
    ],
)
def test_an_error_that_the_user_can_fix_is_one_line(
    run: Run, capsys: pytest.CaptureFixture[str], error: Exception, line: str
) -> None:
    assert run(error=error) == 1
    assert capsys.readouterr().err == f"error: {line}\n"


def test_a_sweep_continues_and_fails_at_its_end(
    run: Run, seen: Seen, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--multirun", "fit.epochs=many,2,3", "run=a (${hydra:job.num})") == 2
    assert [(config.fit.epochs, config.run) for config in seen] == [(2, "a (1)"), (3, "a (2)")]
    expected = "error: fit.epochs=many: a whole number of at least 1 is expected"
    assert capsys.readouterr().err.splitlines()[-1] == expected
    assert run("-m", "fit.start=Größe/a b,c=d") == 0
    assert [config.fit.start for config in seen[2:]] == ["Größe/a b", "c=d"]


@pytest.mark.parametrize(
    "name",
    ["contact_sheet", "duplicates", "evaluate", "export", "fit", "prepare", "same_person"],
)
def test_every_command_validates_its_configuration(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = __import__(f"train.{name}", fromlist=["main"])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [name, "fit.epochs=many"])
    with pytest.raises(SystemExit) as stopped:
        module.main()
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith("error: fit.epochs=many: a whole number")


def test_names_that_are_not_utf_8_in_a_process(tmp_path: Path) -> None:
    """With bytes that are not UTF-8, in a terminal that shows UTF-8 alone."""
    path = b"b\xe9 (2)"
    words = [b"-m", b"train.prepare", b"data=own", b"data.sources.own=" + path]
    environ = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8:strict"}
    done = subprocess.run(
        [os.fsencode(sys.executable), *words], cwd=tmp_path, env=environ, capture_output=True
    )
    assert done.returncode == 1
    assert done.stderr.decode() == "error: own: b\\xe9 (2) is missing; set data.sources.own\n"
