"""A synthetic data set in both real layouts, prepared once for all tests of train."""

import copy
import csv
import functools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf
from PIL import Image

import train
from handler.contract import Contract
from tests.images import FACE_BOX, RGBImage, astronaut, encoded, scene
from train import torchscript
from train.configuration.tasks import task_input, task_labels
from train.data.cache import Shard, write_shard
from train.data.crop_maker import CropMaker
from train.data.readers import read
from train.evaluate import evaluate
from train.fit import fit
from train.modeling.network import Architecture, Network
from train.modeling.weights import Weights, save_weights
from train.prepare import prepare

CONFIGS = Path(train.__file__).parent / "config"
_MISSING = object()
SIZE = 64  # of the served crops, pixels
CHIPS, WILD = 24, 16
COLOURS = ("red", "green", "blue")
COUNTS = {"train": 6, "val": 3, "test": 3}  # of images of each colour


def face_of_age(age: int, margin: int) -> RGBImage:
    """The astronaut's face with a margin in pixels, darker with age, which can be learned."""
    x1, y1, x2, y2 = (int(v) for v in FACE_BOX)
    face = astronaut()[max(0, y1 - margin) : y2 + margin, x1 - margin : x2 + margin]
    return (face * (1 - 0.6 * age / 80)).astype(np.uint8)


def save(image: RGBImage, path: Path) -> None:
    """Write it as JPEG, 200 px high, like UTKFace and APPA-REAL."""
    pil_image = Image.fromarray(image)
    pil_image.resize((round(pil_image.width * 200 / pil_image.height), 200)).save(path, quality=92)


def ages(count: int) -> list[int]:
    """`count` ages from 1 to 80, unordered."""
    return [1 + 79 * (7 * i % count) // (count - 1) for i in range(count)]


def split(index: int) -> str:
    """Half of the images for training, a quarter each for validation and test."""
    return ("train", "train", "val", "test")[index % 4]


@pytest.fixture(scope="session")
def utkface(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tight chips with labels in their names, and split tables."""
    root = tmp_path_factory.mktemp("utkface")
    (root / "images").mkdir()
    tables: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for i, age in enumerate(ages(CHIPS)):
        name = f"{age}_{i % 2}_{i % 5}_2017{i:013d}.jpg.chip.jpg"
        save(face_of_age(age, margin=5), root / "images" / name)
        tables[split(i)].append(name)
    for part, names in tables.items():
        (root / f"{part}.csv").write_text("\n".join(["file", *names]) + "\n")
    return root


@pytest.fixture(scope="session")
def appa_real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Faces with a margin, and a table of labels."""
    root = tmp_path_factory.mktemp("appa_real")
    (root / "images").mkdir()
    with (root / "labels.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(("file", "real_age", "split"))
        for i, age in enumerate(ages(WILD)):
            save(face_of_age(age, margin=60), root / "images" / f"{i:06d}.jpg")
            table.writerow((f"{i:06d}.jpg", age, split(i)))
    return root


@pytest.fixture
def portraits_folder(tmp_path: Path) -> Path:
    """Two portraits with bounds of the age, one of them darker, and three invalid rows."""
    root = tmp_path / "portraits"
    (root / "images").mkdir(parents=True)
    for name, image in {
        "bright.png": astronaut(),
        "dark.png": astronaut() // 2,
        "empty.png": scene(300, 200),
    }.items():
        (root / "images" / name).write_bytes(encoded(image))
    rows = [
        "bright.png,40,44",
        "dark.png,60.5,70",
        "empty.png,1,2",
        "wrong.png,9,8",
        "gone.png,1,2",
    ]
    (root / "labels.csv").write_text("\n".join(["file,age_low,age_high", *rows]))
    return root


@pytest.fixture(scope="session")
def prepared(utkface: Path, appa_real: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The synthetic data set as crops; returns the overrides with its paths."""
    folder = tmp_path_factory.mktemp("prepared")
    overrides = [
        f"data.sources.utkface={utkface}",
        f"data.sources.appa_real={appa_real}",
        f"data.prepared={folder}",
        f"crop.size={SIZE}",
        "crop.margin=-0.02",
    ]
    config = configuration(overrides)
    maker = CropMaker(task_input(config), min_face_size=20, max_side=1280)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("multiprocessing.get_context", lambda _: SimpleNamespace(Pool=OwnProcess))
        patch.setattr("signal.signal", lambda *_: None)  # Ctrl-C still ends the tests
        for name, root in config.data.sources.items():
            samples = read(name, Path(root), task_labels(config))
            prepare(*samples, maker, folder / name, processes=1, max_bad=0.0)
    return overrides


class OwnProcess:
    """A pool that works in this process: the imports of others take longer than the crops."""

    imap_unordered = staticmethod(map)

    def __init__(
        self, processes: int, initializer: Callable[..., None], arguments: tuple[Any, ...]
    ) -> None:
        initializer(*arguments)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images in a folder per class, in splits; the classes can be learned."""
    root = tmp_path_factory.mktemp("colours")
    noise = np.random.default_rng(0)
    for part, count in COUNTS.items():
        for channel, name in enumerate(COLOURS):
            folder = root / part / name
            folder.mkdir(parents=True)
            for i in range(count):
                image = noise.integers(0, 100, (40, 48, 3), np.uint8)
                image[..., channel] += 120
                Image.fromarray(image).save(folder / f"{i}.png")
    return root


@pytest.fixture(scope="session")
def prepared_colours(colours: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The same as crops, made in this process; returns the overrides, with names from the data."""
    folder = tmp_path_factory.mktemp("prepared_colours")
    overrides = [
        "task=asl",
        "model.pretrained=false",
        "task.name=colour",
        f"data.sources.asl_alphabet={colours}",
        f"data.prepared={folder}",
        "crop.size=32",
    ]
    config = configuration(overrides)
    maker = CropMaker(task_input(config), min_face_size=20, max_side=1280)
    samples, _ = read("asl_alphabet", colours, task_labels(config))
    made = [maker.make(sample, None) for sample in samples]
    crops = np.stack([crop for crop, _ in made])
    write_shard(folder / "asl_alphabet", 0, Shard(crops, [label for _, label in made], {}))
    summary = {"crops": len(made), "unusable": 0}
    (folder / "asl_alphabet" / "summary.json").write_text(json.dumps(summary))
    return overrides


def configuration(overrides: list[str]) -> DictConfig:
    """The shipped configuration with some keys set, as Hydra composes it.

    Hydra reads every file anew, which takes longer than many a test: keys that only get another
    value, or a new one, are set in a copy of the configuration that it composed once.
    """
    values = [override for override in overrides if _is_a_value(_parsed(override))]
    base = _composed_once(tuple(override for override in overrides if override not in values))
    config = copy.deepcopy(base)
    for override in map(_parsed, values):
        key, adds = override.key_or_group, override.type is OverrideType.ADD
        there = OmegaConf.select(config, key, default=_MISSING) is not _MISSING
        if there is adds:
            return composed(overrides)  # which is an error, or one of Hydra's own keys
        OmegaConf.update(config, key, override.value(), merge=True, force_add=adds)
    return config


def composed(overrides: list[str]) -> DictConfig:
    """The same by Hydra alone."""
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        return compose("config", overrides)


@functools.cache
def _composed_once(choices: tuple[str, ...]) -> DictConfig:
    return composed([*choices])


@functools.cache
def _parsed(override: str) -> Override:
    return OverridesParser.create().parse_override(override)


def _is_a_value(override: Override) -> bool:
    """Whether it is `key=value` or `+key=value`, and chooses no file."""
    return (
        override.type in (OverrideType.CHANGE, OverrideType.ADD)
        and not override.is_sweep_override()
        and override.package is None
        and not (CONFIGS / override.key_or_group).is_dir()
    )


def tiny_configuration(prepared: list[str], run: Path, *more: str) -> DictConfig:
    """The configuration of a run that takes seconds."""
    small = [
        f"run={run}",
        "model.backbone=test_resnet",
        "model.drop_path=0.1",
        "fit.epochs=3",
        "fit.batch_size=4",
        "fit.precision=32-true",
        "evaluate.bootstrap=20",
    ]
    return configuration([*prepared, *small, *more])


@pytest.fixture
def tiny(prepared: list[str], tmp_path: Path) -> Callable[..., DictConfig]:
    """Makes the configuration of a run that takes seconds, in this test's folder."""
    return lambda *more: tiny_configuration(prepared, tmp_path / "run", *more)


@pytest.fixture
def tiny_colours(prepared_colours: list[str], tmp_path: Path) -> Callable[..., DictConfig]:
    """The same of `colours`."""
    return lambda *more: tiny_configuration(prepared_colours, tmp_path / "run", *more)


@pytest.fixture(scope="session")
def session_run(prepared: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of one epoch, for fixtures that copy it."""
    run = tmp_path_factory.mktemp("trained") / "run"
    fit(tiny_configuration(prepared, run, "fit.epochs=1"))
    return run


@pytest.fixture(scope="session")
def session_evaluation(
    session_run: Path, prepared: list[str], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of the same run after its evaluation, for fixtures that copy it."""
    run = tmp_path_factory.mktemp("evaluated") / "run"
    shutil.copytree(session_run, run)
    evaluate(tiny_configuration(prepared, run, "fit.epochs=1"))
    return run


@pytest.fixture
def trained(session_run: Path, tiny: Callable[..., DictConfig], tmp_path: Path) -> DictConfig:
    """A run of one epoch, in this test's folder; its configuration, with an output for exports."""
    shutil.copytree(session_run, tmp_path / "run")
    return tiny("fit.epochs=1", f"export.output={tmp_path / 'store'}")


@pytest.fixture
def evaluated(
    session_evaluation: Path, tiny: Callable[..., DictConfig], tmp_path: Path
) -> DictConfig:
    """The same after its evaluation."""
    shutil.copytree(session_evaluation, tmp_path / "run")
    return tiny("fit.epochs=1", f"export.output={tmp_path / 'store'}")


@pytest.fixture(scope="module")
def built(contract: Contract, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """age.pt, beside its age.safetensors."""
    architecture = Architecture("test_resnet", 64)
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("built")
    weights = Weights(Network(architecture).eval(), architecture, contract)
    save_weights(weights, folder / "age.safetensors")
    torchscript.build(folder / "age.safetensors", folder / "age.pt")
    return folder / "age.pt"
