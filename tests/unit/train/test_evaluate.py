"""Which data a file is measured on, and which files can be."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from handler.contract import Contract, ContractError
from tests.unit.train.conftest import SIZE, configuration
from train.evaluate import evaluate, of_file, show
from train.modeling.network import Architecture, Network
from train.modeling.weights import Weights, save_weights

Make = Callable[..., DictConfig]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run on one's own faces, of another size."""
    config = configuration(["data=own", "data.sources.own=mine.csv", "crop.size=64"])
    folder = tmp_path / "mine"
    folder.mkdir()
    OmegaConf.save(config, folder / "config.yaml")
    return folder


@pytest.mark.parametrize(
    ("more", "sources", "size"),
    [
        ([], {"own": "mine.csv"}, 64),
        (["data.prepared=prep"], {"own": "mine.csv"}, 64),
        # what is said beside it counts
        (["data=utkface"], {"utkface": "data/utkface"}, 144),
        (["data=own", "data.sources.own=b.csv"], {"own": "b.csv"}, 144),
        (["data=appa_real", "crop.size=96"], {"appa_real": "data/appa_real"}, 96),
    ],
)
def test_a_run_that_is_named_tells_the_data_to_measure_a_file_with(
    run: Path, more: list[str], sources: dict[str, str], size: int
) -> None:
    overrides = [f"run={run}", "evaluate.model=a.pt", *more]
    found = of_file(configuration(overrides), overrides)
    assert found.data.sources == sources
    assert found.crop.size == size
    assert found.evaluate.model == "a.pt"
    assert found.data.prepared == ("prep" if "data.prepared=prep" in more else "data/prepared")


def test_a_run_that_is_not_named_tells_nothing(run: Path) -> None:
    config = configuration([f"run={run}", "evaluate.model=a.pt"])
    assert of_file(config, ["evaluate.model=a.pt"]) is config


def test_a_run_that_is_named_must_be_there(tmp_path: Path) -> None:
    overrides = [f"run={tmp_path}", "evaluate.model=a.pt"]
    with pytest.raises(FileNotFoundError, match=r"config\.yaml is missing: run python -m train"):
        of_file(configuration(overrides), overrides)


def test_weights_are_measured_as_they_would_be_served(
    tiny: Make, contract: Contract, tmp_path: Path
) -> None:
    architecture = Architecture("test_resnet", SIZE)
    torch.manual_seed(0)
    weights = Weights(Network(architecture).eval(), architecture, contract)
    save_weights(weights, tmp_path / "age.safetensors")
    config = tiny(f"evaluate.model={tmp_path / 'age.safetensors'}", "evaluate.beside=null")
    results = evaluate(config)
    assert results.sources["utkface"]["mae"].count == 6
    assert [path.name for path in tmp_path.iterdir()] == ["age.safetensors"]
    output = show(results)
    assert "warning: utkface has 6 test faces: " in output
    assert "warning: 6 of 6 test faces of utkface have a near copy in another split" in output
    with pytest.raises(ContractError, match=r"age\.pt is no file: make .* train\.torchscript"):
        evaluate(tiny(f"evaluate.model={tmp_path / 'age.pt'}"))
