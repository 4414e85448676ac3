"""One line for errors that the user can fix, a traceback for bugs."""

import os

import pytest

from tests.unit.train.configuration.conftest import Run, Seen


def test_the_command_s_values_have_their_types(run: Run, seen: Seen) -> None:
    assert run("fit.sigma=3", "+trainer.devices=2") == 0
    assert isinstance(seen[0].fit.sigma, float)
    assert seen[0].trainer.devices == 2


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
