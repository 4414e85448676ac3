"""One line for errors that the user can fix, a traceback for bugs."""

import os

import pytest

from tests.unit.train.configuration.conftest import Run, Seen


def test_the_command_s_values_have_their_types(run: Run, seen: Seen) -> None:
    assert run("fit.sigma=3", "+trainer.devices=2") == 0
    assert isinstance(seen[0].fit.sigma, float)
    assert seen[0].trainer.devices == 2


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


def test_the_environment_is_restored(run: Run, seen: Seen) -> None:
    assert os.environ.get("HYDRA_FULL_ERROR") is None
    assert run() == 0
    assert os.environ.get("HYDRA_FULL_ERROR") is None
