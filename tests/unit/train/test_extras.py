import configparser
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from omegaconf import OmegaConf

from train import extras, variants

SETUP = Path(extras.__file__).parents[1] / "setup.cfg"


def test_extras_are_those_of_the_project():
    setup = configparser.ConfigParser()
    setup.read(SETUP)
    assert extras.EXTRAS.keys() <= setup["options.extras_require"].keys()


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("lightning.pytorch", "error: lightning is not installed: pip install -e '.[train]'"),
        ("torch_pruning", "error: torch_pruning is not installed: pip install -e '.[prune]'"),
        ("nothing_that_is_known", None),
    ],
)
def test_the_error_names_the_extra(name, line):
    assert extras.missing_package(name) == line


def test_a_missing_package_exits(monkeypatch):
    monkeypatch.setitem(sys.modules, "locust", None)
    words = r"locust is not installed: pip install -e \./client -e '\.\[load\]'"
    with pytest.raises(SystemExit, match=words):
        extras.require("locust")
    monkeypatch.setitem(sys.modules, "tqdm", None)
    with pytest.raises(SystemExit, match="tqdm is not installed"), extras.exit_if_missing():
        import tqdm  # noqa: F401
    with pytest.raises(ModuleNotFoundError), extras.exit_if_missing():
        import nothing_that_is_known  # noqa: F401


def test_an_uncaught_error_of_another_kind_keeps_its_traceback(capsys):
    for error, words in (
        (ModuleNotFoundError("no", name="hydra"), "error: hydra is not installed: "),
        (ModuleNotFoundError("no", name="x"), "ModuleNotFoundError: no"),
        (ValueError("wrong"), "ValueError: wrong"),
    ):
        extras.excepthook(type(error), error, None)
        assert capsys.readouterr().err.startswith(words)


def test_only_variants_that_are_cut_need_the_package_that_cuts(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch_pruning", None)
    monkeypatch.delitem(sys.modules, "train.fitting.prune", raising=False)
    model = SimpleNamespace(architecture=SimpleNamespace(backbone="resnet18"))
    with pytest.raises(SystemExit, match="torch_pruning is not installed"):
        variants.make(model, OmegaConf.create({"variants": {"prune": [0.5]}}))
