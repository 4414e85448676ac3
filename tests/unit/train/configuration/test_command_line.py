"""One line for errors that the user can fix, a traceback for bugs."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from handler.errors import InvalidImage
from train.configuration import aliases
from train.configuration.command_line import command

ROOT = Path(__file__).parents[4]
Seen = list[Any]
Run = Callable[..., int]


@pytest.fixture
def seen() -> Seen:
    """The configurations that the command was called with."""
    return []


@pytest.fixture
def run(seen: Seen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs a command that raises `error`, and returns its exit code."""
    handlers = list(logging.root.handlers)
    hydra_config = HydraConfig.instance()
    monkeypatch.setattr(hydra_config, "cfg", hydra_config.cfg)  # Hydra leaves the job's own there
    monkeypatch.chdir(tmp_path)

    def call(*words: str, error: BaseException | None = None) -> int:
        @command
        def main(config: DictConfig) -> float:
            seen.append(OmegaConf.create(OmegaConf.to_container(config, resolve=True)))
            if error is not None:
                raise error
            return 1.0

        monkeypatch.setattr(sys, "argv", ["main", *words])
        try:
            main()
        except SystemExit as stopped:
            return int(stopped.code or 0)
        return 0

    yield call
    for handler in set(logging.root.handlers) - set(handlers):
        logging.root.removeHandler(handler)
        handler.close()


@pytest.mark.parametrize(
    "path",
    ["Faces (2)/faces.csv", "Größe/a,b=c#1", "it's", "照片", " {x} [y] ", "b\udce9", "line\nbreak"],
)
def test_a_path_arrives_as_it_was_typed(run: Run, seen: Seen, path: str) -> None:
    assert run(f"data.sources.utkface={path}", f"run={path}", f"fit.start={path}") == 0
    (config,) = seen
    assert config.data.sources.utkface == config.run == config.fit.start == path


def test_the_command_s_values_have_their_types(run: Run, seen: Seen) -> None:
    assert run("fit.sigma=3", "+trainer.devices=2") == 0
    assert isinstance(seen[0].fit.sigma, float)
    assert seen[0].trainer.devices == 2


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
    ("words", "line"),
    [
        (["fit.epochs=many"], "fit.epochs=many: a whole number of at least 1 is expected"),
        (["crop.size=abc"], "crop.size=abc: a multiple of 8, in pixels, is expected"),
        (["evaluate.split=tset"], "evaluate.split=tset: one of train, val, test is expected"),
        (["fit.epochs=(1"], "fit.epochs=(1: a whole number of at least 1 is expected"),
        (["fit.epoch=1"], "fit.epoch: unknown key; did you mean fit.epochs?"),
        (["experiment=fine"], "experiment: unknown key; +experiment=... adds one"),
        (
            ["data.sources.own=a.csv"],
            "data.sources.own: unknown key; +data.sources.own=... adds it",
        ),
        (["fit"], "fit: key=value is expected"),
        (
            ["größe=1"],
            "größe: a key consists of letters a to z, digits, _ and -, separated by points",
        ),
        (
            ["fit.teachers=[a,,b]"],
            "fit.teachers: its value cannot be parsed; put each text within it in quotes, "
            """as in 'fit.teachers=["a,b.ckpt",c.ckpt]'""",
        ),
        (
            ["logger=nope"],
            "train/config has no logger/nope; it has mlflow, tensorboard, wandb",
        ),
        (
            ["data=own,utkface"],
            "data=own,utkface: write 'data=[own,utkface]' for a list, or --multirun for one run "
            "each",
        ),
        (
            ["run=${nope}"],
            "Interpolation key 'nope' not found; write \\${ for a literal ${",
        ),
    ],
)
def test_an_error_in_the_command_line_is_one_line(
    run: Run, seen: Seen, capsys: pytest.CaptureFixture[str], words: list[str], line: str
) -> None:
    assert run(*words) == 2
    assert capsys.readouterr().err == f"error: {line}\n"
    assert not seen


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


def test_a_bug_keeps_its_traceback(run: Run) -> None:
    with pytest.raises(TypeError, match="ours"):
        run(error=TypeError("ours"))


def test_every_error_keeps_it_on_request(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(ValueError, match="many"):
        run("fit.epochs=many")
    with pytest.raises(OSError, match="gone"):
        run(error=OSError("gone"))
    assert os.environ["HYDRA_FULL_ERROR"] == "1"


def test_an_interrupt_prints_nothing(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(error=KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == ""


def test_a_sweep_continues_and_fails_at_its_end(
    run: Run, seen: Seen, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--multirun", "fit.epochs=many,2,3", "run=a (${hydra:job.num})") == 2
    assert [(config.fit.epochs, config.run) for config in seen] == [(2, "a (1)"), (3, "a (2)")]
    expected = "error: fit.epochs=many: a whole number of at least 1 is expected"
    assert capsys.readouterr().err.splitlines()[-1] == expected
    assert run("-m", "fit.start=Größe/a b,c=d") == 0
    assert [config.fit.start for config in seen[2:]] == ["Größe/a b", "c=d"]


def test_the_environment_is_restored(run: Run, seen: Seen) -> None:
    assert os.environ.get("HYDRA_FULL_ERROR") is None
    assert run() == 0
    assert os.environ.get("HYDRA_FULL_ERROR") is None


@pytest.mark.parametrize(
    "name",
    ["contact_sheet", "duplicates", "evaluate", "export", "fit", "prepare", "prior", "same_person"],
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
    assert done.stderr.decode().startswith("error: own: b\\xe9 (2) is not a table, and ")
