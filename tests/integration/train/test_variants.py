"""Variants of a model, made and measured."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import DictConfig

from handler.contract import Contract
from handler.exported_model import read_contract
from handler.predictions import OrdinalPredictions
from handler.task import CropGeometry
from tests.unit.train.conftest import SIZE
from train import torchscript
from train.configuration.settings import prepared_folders
from train.data.dataset import CropDataset
from train.evaluation.kinds import kind_of
from train.evaluation.ordinal import AGE, AGES
from train.evaluation.predict import network_predictions
from train.modeling.network import Architecture, Network
from train.modeling.weights import Weights, save_weights
from train.provenance.provenance import contract_provenance
from train.variants import Inputs, Variant, compare, compiled, measure, of_file, table

Make = Callable[..., DictConfig]
ARCHITECTURE = Architecture("test_resnet", SIZE)


@pytest.fixture
def model(contract: Contract) -> Weights:
    torch.manual_seed(0)
    return Weights(Network(ARCHITECTURE).eval(), ARCHITECTURE, contract)


@pytest.fixture
def weights(model: Weights, tmp_path: Path) -> Path:
    path = tmp_path / "age.safetensors"
    save_weights(model, path)
    return path


def test_every_variant_is_in_the_table(tiny: Make, model: Weights, weights: Path) -> None:
    other = weights.with_name("other.pt")
    torchscript.save(model, other)
    output = weights.with_name("variants")
    found = compare(
        tiny(
            f"variants.weights={weights}",
            f"variants.output={output}",
            f"variants.files=[{other}]",
            "variants.untrained=[test_resnet]",
            "variants.prune=[0.5]",
            "variants.steps=1",
            "variants.compile=false",
            "variants.limit=4",
            "variants.rounds=1",
        )
    )
    rows = {name: cells for name, *cells in found.rows}
    files = ("test_resnet", "test_resnet-pruned-50", "test_resnet-untrained")
    precisions = ("float32", "bfloat16", "int8")
    expected = [f"{name}, {precision}" for name in files for precision in precisions]
    assert list(rows) == [*expected, f"{other}, float32", f"{other}, bfloat16"]
    for name, (size, *speeds, mae) in rows.items():
        assert float(size) > 0
        assert all(float(speed) > 0 for speed in speeds)
        assert (mae == "-") == ("untrained" in name)
    sizes = {name: float(cells[0]) for name, cells in rows.items()}
    assert sizes["test_resnet, float32"] > sizes["test_resnet, bfloat16"]
    assert sizes["test_resnet, float32"] > sizes["test_resnet-pruned-50, float32"]
    assert rows[f"{other}, float32"][-1] == rows["test_resnet, float32"][-1]
    # what was made can be served, and does not have the model's figures for its own
    data = {}
    for name in files:
        contract_of_file = read_contract(output / f"{name}.pt")
        data[name] = contract_of_file.data
        assert contract_of_file.data == contract_provenance(contract_of_file, name).names()
        same = replace(contract_of_file, data=model.contract.data, provenance=None)
        assert same == replace(model.contract, metrics={})
    assert [data[name] for name in files] == [("made",), ("utkface", "appa_real", "made"), ()]


def test_size_and_ages_are_those_of_the_file(model: Weights, tmp_path: Path) -> None:
    file = tmp_path / "age.pt"
    torchscript.save(model, file)
    full, lower = of_file("made", file)
    matrices = sum(p.numel() for p in model.network.parameters() if p.ndim > 1)
    assert full.size is not None
    assert lower.size is not None
    assert full.size - lower.size == pytest.approx(2 * matrices, rel=0.02)
    faces = np.random.default_rng(0).integers(0, 256, (3, 3, SIZE, SIZE), np.uint8)
    expected = network_predictions(model.network, torch.from_numpy(faces), model.contract)
    assert AGE.difference(full.predict(faces), expected) < 1e-3
    assert AGE.difference(lower.predict(faces), expected) < 1.0


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "off"), [(torch.float32, 1e-3), (torch.bfloat16, 1.0)])
def test_what_is_compiled_gives_the_same_ages(
    model: Weights, dtype: torch.dtype, off: float
) -> None:
    faces = np.random.default_rng(0).integers(0, 256, (3, 3, SIZE, SIZE), np.uint8)
    expected = network_predictions(model.network, torch.from_numpy(faces), model.contract)
    variant = compiled("made", model.network, model.contract, dtype)
    assert AGE.difference(variant.predict(faces), expected) < off
    assert (variant.size, variant.measured) == (None, False)


def test_the_error_is_that_of_the_split_s_crops(tiny: Make) -> None:
    test = CropDataset(prepared_folders(tiny()), "test", AGES, SIZE)
    test.thin_out(3)
    assert [float(label.label) for label in test.labels] == test.target.tolist()
    assert len(test.crops) == len(test) == 3
    given: list[int] = []

    def ages(faces: Inputs) -> OrdinalPredictions:
        given.append(n := len(faces))
        value = np.full(n, 20, np.float32)
        return OrdinalPredictions(value, value, np.zeros((n, 2), "f4"), np.zeros((n, 117), "f4"))

    variants = [Variant("20", ages, 2_500_000, True), Variant("unknown", ages, None, False)]
    rows = measure(variants, test, AGE, rounds=2)
    mae = float((test.target - 20).abs().mean())
    assert [row.figure for row in rows] == [pytest.approx(mae), None]
    assert set(given) == {1, 16, 3}
    first, second = table(rows, AGE).rows
    assert (first[0], first[1], first[-1]) == ("20", "2.5", f"{mae:.2f}")
    assert (second[0], second[1], second[-1]) == ("unknown", "-", "-")


def test_crops_of_another_model_are_refused(
    tiny: Make, model: Weights, contract: Contract, weights: Path
) -> None:
    quick = (
        f"variants.weights={weights}",
        f"variants.output={weights.parent}",
        *("variants.prune=[]", "variants.untrained=[]", "variants.compile=false"),
    )
    with pytest.raises(ValueError, match="the model takes crops of another size or scale"):
        compare(tiny(*quick, "crop.size=128"))
    other = weights.with_name("other.pt")
    taken = replace(contract.task.input, crop=CropGeometry(SIZE, 0.5, 0))
    other_task = replace(contract.task, input=taken)
    torchscript.save(replace(model, contract=replace(contract, task=other_task)), other)
    with pytest.raises(ValueError, match=r"other\.pt takes other crops"):
        compare(tiny(*quick, f"variants.files=[{other}]"))


def test_of_categories_the_accuracy_is_measured(tint_contract: Contract, tmp_path: Path) -> None:
    kind = kind_of(tint_contract.task)
    torch.manual_seed(0)
    architecture = Architecture("test_resnet", 48, classes=3)
    made = Weights(Network(architecture).eval(), architecture, tint_contract)
    torchscript.save(made, tmp_path / "tint.pt")
    (variant, *_) = of_file("tint", tmp_path / "tint.pt")
    test = object.__new__(CropDataset)
    test.crops = torch.randint(0, 256, (5, 3, 48, 48), dtype=torch.uint8)
    found = network_predictions(made.network, test.crops, tint_contract)
    test.target = torch.from_numpy(found.probabilities.argmax(axis=1)).float()
    test.target[0] = (test.target[0] + 1) % 3
    (row,) = rows = measure([variant], test, kind, rounds=1)
    assert row.figure == pytest.approx(80)
    assert table(rows, kind).head[-1] == "accuracy, %"
