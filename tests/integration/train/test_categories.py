"""A task of categories, from a folder per class to a model that is measured and described."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from handler.contract import CategoryCalibration
from handler.predictions import CategoryPredictions
from handler.predictor import Predictor
from handler.task import Categories, ImageInput
from tests.unit.train.conftest import configuration
from train.baselines import compare
from train.configuration.tasks import task_input, task_labels
from train.data.crop_maker import CropMaker
from train.data.dataset import model_crops
from train.data.readers import read
from train.evaluate import evaluate, show
from train.evaluation.card import Prose
from train.export import export
from train.fit import fit
from train.modeling.weights import load_weights
from train.prepare import prepare

COLOURS = {"blue": (40, 60, 200), "green": (40, 200, 60), "red": (200, 60, 40)}
SPLITS = {"train": 10, "val": 30, "test": 12}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of one colour with noise, in a folder per split and class."""
    root = tmp_path_factory.mktemp("walls")
    generator = np.random.default_rng(0)
    for split, count in SPLITS.items():
        for name, colour in COLOURS.items():
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                noise = generator.normal(0, 25, (40, 48, 3))
                image = (np.array(colour) + noise).clip(0, 255).astype(np.uint8)
                Image.fromarray(image).save(root / split / name / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def config(folders: Path, tmp_path_factory: pytest.TempPathFactory) -> DictConfig:
    """The configuration of a run that was fitted and evaluated."""
    home = tmp_path_factory.mktemp("home")
    task = {
        "name": "paint",
        "title": "Paint",
        "input": "image",
        "output": {"low": None, "high": None, "unit": "", "names": None},
        "auxiliary": {},
        "predicts": "which paint a wall has",
        "intended": ["Choosing paint."],
        "prohibited": ["Selling paint."],
        "limits": ["There are three."],
    }
    config = configuration(
        [
            *(f"data.prepared={home / 'prepared'}", f"run={home / 'run'}"),
            *("crop.size=32", "model.backbone=test_resnet", "fit.epochs=4", "fit.batch_size=6"),
            *("fit.learning_rate=5e-3", "fit.precision=32-true", "evaluate.bootstrap=20"),
            *("export.shift=3", f"export.output={home / 'store'}", "augment.grey=0"),
        ]
    )
    config.task = OmegaConf.merge(config.task, task)
    config.data.sources = {"walls": str(folders)}
    config.data.terms = {"walls": "unknown"}
    maker = CropMaker(task_input(config), config.crop.min_face_size, config.crop.max_side)
    samples, problems = read("walls", folders, task_labels(config))
    folder = Path(config.data.prepared, "walls")
    prepare(samples, problems, maker, folder, processes=1, max_bad=0.0)
    fit(config)
    evaluate(config)
    return config


def test_it_learns_and_is_measured(config: DictConfig) -> None:
    run = Path(config.run)
    figures = json.loads((run / "metrics.json").read_text())
    assert figures["task"] == {
        "name": "paint",
        "items": "images",
        "output": {"categories": {"names": ["blue", "green", "red"]}},
    }
    assert list(figures["test"]) == ["walls", "walls blue", "walls green", "walls red"]
    found = figures["test"]["walls"]
    assert found["accuracy"]["value"] > 80
    assert found["accuracy"]["count"] == 36
    assert found["coverage"]["value"] >= found["accuracy"]["value"]
    assert figures["calibrated_on"] == {"all": 90, "blue": 30, "green": 30, "red": 30}
    right = sum(figures["confusion"][name].get(name, 0) for name in COLOURS)
    assert right / 36 == pytest.approx(found["accuracy"]["value"] / 100)
    page = (run / "report.html").read_text(encoding="utf-8")
    for title in ("Confusions", "Calibration", "The prediction set", "Learning curves"):
        assert f">{title}</h2>" in page
    assert "the accuracy on the validation split" in page


def test_it_is_compared_with_classifiers_of_frozen_features(config: DictConfig) -> None:
    """On the run's own crops and task, whatever the current ones are."""
    best = Path(config.run, "best.ckpt")
    rows = compare(configuration([f"run={config.run}", f"baselines.features={best}"]))
    names = [row.name for row in rows]
    assert names == ["linear", "SVM", "gradient boosting", "ensemble", "fine-tuned test_resnet"]
    for row in rows:
        assert row.figures.accuracy.count == 36
        assert row.figures.mae is None
        assert row.milliseconds > 0
        assert row.megabytes > 0.1
    linear, svm, _, _, tuned = (row.figures.accuracy.value for row in rows)
    assert min(linear, svm, tuned) > 80  # 30 images are too few for a tree
    assert [row.seconds is None for row in rows] == [False] * 4 + [True]


def test_it_is_exported_and_described(
    config: DictConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    model = export(config)
    output = capsys.readouterr().out
    assert "int8 changes the accuracy of " in output
    assert " of a probability on 90 crops" in output
    assert model == Path(config.export.output, "paint.pt")
    assert {path.name for path in model.parent.iterdir()} == {
        *("paint.pt", "paint.pt.json", "paint.safetensors", "metrics.json", "README.md"),
    }
    contract = load_weights(model.with_suffix(".safetensors")).contract
    assert contract.task.name == "paint"
    assert contract.task.input == ImageInput(38, 38 / 32)
    assert contract.task.output == Categories(("blue", "green", "red"))
    assert isinstance(contract.calibration, CategoryCalibration)
    accuracy = json.loads((model.parent / "metrics.json").read_text())["test"]["walls"]["accuracy"]
    assert contract.metrics == {"test_accuracy_walls": accuracy["value"]}

    card = (model.parent / "README.md").read_text()
    assert card.startswith("# Model card: paint\n\nPredicts which paint a wall has, from a 38 x 38")
    for line in (
        "`paint.safetensors`",
        "## Intended use\n- Choosing paint.",
        "- Selling paint.",
        "- There are three.",
        "| true, down; predicted, across | blue | green | red |",
        "| categories | blue, green, red |",
    ):
        assert line in card
    assert "age" not in Prose.of(config).predicts

    test = model_crops(config, "test", contract.task)
    found = Predictor.load(model, torch.device("cpu"), "float32").predict(test.crops.numpy())
    assert isinstance(found, CategoryPredictions)
    right = found.probabilities.argmax(axis=1) == test.target.numpy()
    assert 100 * right.mean() == pytest.approx(accuracy["value"])


def test_a_file_is_evaluated_as_it_is(config: DictConfig, tmp_path: Path) -> None:
    config = config.copy()
    config.evaluate.model = str(Path(config.run, "paint.pt"))
    config.evaluate.beside = None
    results = evaluate(config)
    text = show(results)
    assert "accuracy, %" in text
    assert "coverage of paint_set, %" in text
    config.evaluate.portraits = str(tmp_path)
    with pytest.raises(ValueError, match="the task paint is not the age of faces"):
        evaluate(config)
