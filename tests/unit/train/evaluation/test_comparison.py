"""A new model beside the shipped one, on the same faces."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import DictConfig

from handler.contract import Contract
from handler.predictions import CategoryPredictions, OrdinalPredictions
from handler.task import Categories, CropGeometry
from tests.archives import Colour, Darkness, exported
from train.configuration.tasks import task_of
from train.data.dataset import model_crops
from train.data.recrop import recropped
from train.evaluation import comparison
from train.evaluation.categories import CategoryKind
from train.evaluation.comparison import compared
from train.evaluation.held_out import HeldOut, OrdinalHeldOut
from train.evaluation.ordinal import AGE
from train.evaluation.predict import network_predictions
from train.modeling.network import Architecture, Network
from train.modeling.weights import Weights, save_weights

Make = Callable[..., DictConfig]


def predicted(ages: np.ndarray) -> OrdinalPredictions:
    return OrdinalPredictions(
        ages, np.ones_like(ages), np.stack([ages, ages], axis=1), np.zeros((len(ages), 117), "f4")
    )


def held_out(config: DictConfig, off: float) -> OrdinalHeldOut:
    """The test faces, with estimates that are off by so many years."""
    crops = model_crops(config, "test", task_of(config))
    return HeldOut(crops, predicted(crops.target.numpy() + np.float32(off)), AGE)


def test_the_difference_is_that_of_each_face(
    tiny: Make, contract: Contract, tmp_path: Path
) -> None:
    other = exported(Darkness(), contract, tmp_path / "other.pt")
    config = tiny(f"evaluate.beside={other}", "evaluate.bootstrap=200")
    faces = held_out(config, 0.5)
    found = compared(config, faces)
    assert found is not None
    assert (found.other, found.reason) == (f"{tmp_path.name}/other.pt", "")
    assert list(found.groups) == ["appa_real", "utkface", "all"]
    grey = faces.dataset.crops.float().mean(dim=(1, 2, 3)).numpy() * (100 / 255)
    theirs = np.abs(100 - grey - faces.truth)
    figures = found.groups["all"]
    assert figures["mae"].value == pytest.approx(0.5, abs=1e-4)
    assert figures["other"].value == pytest.approx(theirs.mean(), abs=1e-3)
    difference = figures["difference"]
    assert difference.value == pytest.approx(0.5 - theirs.mean(), abs=1e-3)
    assert difference.count == len(faces)
    # paired: as wide as the other's own interval, for our error is the same of every face
    wide = figures["other"].high - figures["other"].low
    assert difference.high - difference.low == pytest.approx(wide, abs=1e-3)


def test_weights_are_measured_as_they_are(tiny: Make, contract: Contract, tmp_path: Path) -> None:
    architecture = Architecture("test_resnet", 64, shift=6)
    torch.manual_seed(0)
    network = Network(architecture).eval()
    config = tiny(f"evaluate.beside={tmp_path / 'age.safetensors'}")
    wide = replace(contract, task=task_of(config, 76))
    weights = Weights(network, architecture, wide)
    save_weights(weights, tmp_path / "age.safetensors")
    found = compared(config, held_out(config, 0))
    assert found is not None
    crops = model_crops(config, "test", wide.task)
    ages = network_predictions(network, crops.crops, wide).value
    expected = np.abs(ages - crops.target.numpy()).mean()
    assert found.groups["all"]["other"].value == pytest.approx(expected, abs=0.02)  # kept in half


class TestOtherCrops:
    """The other model takes 1.4 times the side of the prepared crops, which do not hold it."""

    @pytest.fixture
    def other(self, contract: Contract) -> Contract:
        wide = replace(contract.task.input, crop=CropGeometry(64, 0.4, 0))
        return replace(contract, task=replace(contract.task, input=wide))

    def test_are_made_of_the_same_images(self, tiny: Make, other: Contract, tmp_path: Path) -> None:
        path = exported(Darkness(), other, tmp_path / "other.pt")
        config = tiny(f"evaluate.beside={path}")
        found = compared(config, faces := held_out(config, 0))
        assert found is not None
        crops = recropped(config, faces.dataset.labels, other.task.input)
        grey = crops.float().mean(dim=(1, 2, 3)).numpy() * (100 / 255)
        expected = np.abs(100 - grey - faces.truth).mean()
        assert found.groups["all"]["other"].value == pytest.approx(expected, abs=1e-3)

    def test_cannot_be_made_without_the_images(
        self, tiny: Make, other: Contract, tmp_path: Path
    ) -> None:
        path = exported(Darkness(), other, tmp_path / "other.pt")
        config = tiny(f"evaluate.beside={path}", f"data.sources.utkface={tmp_path / 'gone'}")
        found = compared(config, held_out(config, 0))
        assert found is not None
        assert found.reason == (
            f"utkface: {tmp_path / 'gone'} is missing; set data.sources.utkface"
        )


def test_of_the_same_weights_nothing_is_compared(tiny: Make, model_file: Path) -> None:
    config = tiny(f"evaluate.beside={model_file}")
    faces = held_out(config, 0)
    grey = faces.dataset.crops.float().mean(dim=(1, 2, 3)).numpy() * (100 / 255)
    found = compared(config, replace(faces, predictions=predicted(grey)))
    assert found is not None
    assert found.reason == "it is this model: its ages are the same"
    assert found.groups == {}


def test_nothing_is_compared_where_that_is_not_wanted(tiny: Make) -> None:
    config = tiny("evaluate.beside=null")
    assert compared(config, held_out(config, 0)) is None


class TestShipped:
    @pytest.fixture(autouse=True)
    def shipped(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
        path = tmp_path / "model_store" / "age.safetensors"
        monkeypatch.setattr(comparison, "ROOT", tmp_path)
        return path

    def test_is_missing(self, tiny: Make) -> None:
        """Which is quoted by the card, without this machine's folders."""
        found = compared(config := tiny(), held_out(config, 0))
        assert found is not None
        assert found.other == "model_store/age.safetensors"
        assert found.reason == "model_store/age.safetensors is missing"

    def test_is_damaged(self, tiny: Make, shipped: Path) -> None:
        shipped.parent.mkdir()
        shipped.write_bytes(b"nothing")
        found = compared(config := tiny(), held_out(config, 0))
        assert found is not None
        assert "age.safetensors cannot be read" in found.reason
        assert "\n" not in found.reason

    def test_is_replaced_by_what_the_run_began_from(
        self, tiny: Make, contract: Contract, tmp_path: Path
    ) -> None:
        start = exported(Darkness(), contract, tmp_path / "start.pt")
        found = compared(config := tiny(f"fit.start={start}"), held_out(config, 0))
        assert found is not None
        assert (found.other, found.reason) == (f"{tmp_path.name}/start.pt", "")


def test_a_model_of_another_task_is_not_compared(
    tiny: Make, tint_contract: Contract, tmp_path: Path
) -> None:
    other = exported(Colour(), tint_contract, tmp_path / "other.pt")
    found = compared(config := tiny(f"evaluate.beside={other}"), held_out(config, 0))
    assert found is not None
    assert found.reason == "other.pt predicts other values or categories than this model"


def test_of_categories_accuracies_are_compared_by_image(
    tiny: Make, tint_contract: Contract, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other model predicts red for every face, by its colours."""
    other = exported(Colour(), tint_contract, tmp_path / "tint.pt")
    config = tiny(f"evaluate.beside={other}", "evaluate.bootstrap=50")
    crops = held_out(config, 0).dataset
    crops.target = torch.tensor([0.0] * 6 + [1.0] * (len(crops) - 6))
    monkeypatch.setattr(comparison, "model_crops", lambda *_: crops)
    probabilities = np.tile(np.array([[0.2, 0.5, 0.3]], "f4"), (len(crops), 1))
    predictions = CategoryPredictions(probabilities, probabilities > 0.4)
    kind = CategoryKind("tint", "faces", output=Categories(("red", "green", "blue")))
    found = compared(config, HeldOut(crops, predictions, kind))
    assert found is not None
    figures = found.groups["all"]
    assert figures["accuracy"].value == pytest.approx(40)
    assert figures["other"].value == pytest.approx(60)
    assert figures["difference"].value == pytest.approx(-20)
