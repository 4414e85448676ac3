"""One line for each error in the command line."""

import pytest

from tests.unit.train.configuration.conftest import Run, Seen


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
