"""Compare a fine-tuned network with classifiers of a backbone's frozen features.

    python -m train.baselines task=emotion run=runs/emotion
    python -m train.baselines task=age_classes baselines.features=data/imagenet/resnet18.ckpt

Trains a linear classifier, an SVM, gradient boosting and their ensemble on the features that the
backbone of `baselines.features` gives for the training crops, by default timm's published weights
of `model.backbone`, and measures them on the test crops beside the run's best checkpoint. Prints a
table, and writes it to `baselines.output` as baselines.json and baselines.md.
"""

import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig
from torch import Tensor

from handler.task import Categories
from train.atomic_write import atomic_write_all
from train.configuration.command_line import command
from train.configuration.runs import run_config
from train.configuration.settings import prepared_folders
from train.configuration.tasks import task_of
from train.data.dataset import CropDataset
from train.data.sampling import class_indices
from train.evaluation import classification
from train.evaluation.metrics import Measured, bootstrap
from train.evaluation.tables import Table
from train.extras import exit_if_missing
from train.fitting.build import initial_network
from train.modeling.checkpoint import load_checkpoint
from train.modeling.distill import load_teacher
from train.modeling.network import Architecture, Network

if TYPE_CHECKING:
    from train.modeling.classifiers import Classifier, Ensemble

log = logging.getLogger(__name__)
CHUNK = 256  # crops in a call
CALLS = 20  # single crops that a time is the median of


@dataclass(frozen=True)
class Figures:
    """The quality of one classifier on the test crops."""

    accuracy: Measured  # per cent
    mae: Measured | None  # of the label, if the categories' names are whole numbers

    @classmethod
    def of(
        cls, scores: NDArray[np.floating], test: CropDataset, output: Categories, resamples: int
    ) -> "Figures":
        """From the scores [n, K] of n crops; `resamples` is of the bootstrap intervals."""
        chosen, truth = scores.argmax(axis=1), class_indices(test.target, output).numpy()
        numbers, mae = classification.numbers(output.names), None
        if numbers is not None:
            mae = bootstrap(np.abs(numbers[chosen] - numbers[truth]), resamples)
        return cls(bootstrap(100.0 * (chosen == truth), resamples), mae)


@dataclass(frozen=True)
class Row:
    """One classifier: its quality and its costs."""

    name: str
    figures: Figures
    milliseconds: float  # of one crop, its features included
    megabytes: float  # of the classifier and its backbone
    seconds: float | None  # of training, beside the features; None: not known


def backbone(config: DictConfig, output: Categories) -> Network:
    """The network whose features are classified, in evaluation mode."""
    given = config.baselines.features
    if given is not None:
        return load_teacher(Path(given)).network.eval()
    model = config.model
    architecture = Architecture.of_timm(
        model.backbone, config.crop.size, output.classes, grey=config.task.grey
    )
    return initial_network(architecture, model).eval()


@torch.inference_mode()
def features_of(network: Network, crops: Tensor) -> NDArray[np.float32]:
    """Features [n, F] of crops, uint8 [n, 3, S, S]."""
    parts = [network.features(part.float()) for part in crops.split(CHUNK)]
    return torch.cat(parts).numpy()


def milliseconds(call: Callable[[Tensor], object], crop: Tensor) -> float:
    """Median duration of a call with one crop."""
    call(crop)
    times = []
    for _ in range(CALLS):
        start = time.perf_counter()
        call(crop)
        times.append(time.perf_counter() - start)
    return 1e3 * median(times)


def table(rows: Sequence[Row]) -> Table:
    """The rows with their intervals."""
    has_mae = any(row.figures.mae for row in rows)
    head = ("classifier", "accuracy, %", *["MAE"] * has_mae, "ms per image", "MB", "s to train")
    return Table(head, [_cells(row, has_mae) for row in rows])


def _cells(row: Row, has_mae: bool) -> tuple[str, ...]:
    return (
        row.name,
        str(row.figures.accuracy),
        *[str(row.figures.mae or "-")] * has_mae,
        f"{row.milliseconds:.1f}",
        f"{row.megabytes:.1f}",
        "-" if row.seconds is None else f"{row.seconds:.0f}",
    )


def compare(config: DictConfig) -> list[Row]:
    """Train the classifiers and measure them; with the run's network, if there is one.

    A run is compared on its own crops.

    Raises ValueError for a task whose output is a number.
    """
    with exit_if_missing():  # imported here: only this command needs the extra
        from train.modeling.classifiers import array_bytes, trained
    if Path(config.run, "config.yaml").is_file():
        config = run_config(config)
    task = task_of(config)
    output = task.output
    if not isinstance(output, Categories):
        raise ValueError(f"task={task.name} predicts a number: choose task=age_classes, say")
    folders, size = prepared_folders(config), config.crop.size
    training, test = (CropDataset(folders, split, output, size) for split in ("train", "test"))
    if config.baselines.limit:
        training.thin_out(config.baselines.limit)
    network = backbone(config, output)
    log.info("features of %d training and %d test crops", len(training), len(test))
    features, held_out = (features_of(network, each.crops) for each in (training, test))
    resamples, one = config.evaluate.bootstrap, test.crops[:1]
    indices = class_indices(training.target, output).numpy()
    rows = []
    for name, model, seconds in trained(features, indices, output.classes, config.seed):
        log.info("%s: trained in %.0f s", name, seconds)
        figures = Figures.of(model.scores(held_out), test, output, resamples)
        speed = milliseconds(partial(_scores, network, model), one)
        size = _megabytes(network) + array_bytes(model) / 1e6
        rows.append(Row(name, figures, speed, size, seconds))
    best = Path(config.run, "best.ckpt")
    if best.is_file():
        rows.append(_of_run(config, best, output))
    else:
        log.info("%s is missing: no fine-tuned network is compared", best)
    return rows


def _scores(network: Network, model: "Classifier | Ensemble", crops: Tensor) -> object:
    return model.scores(features_of(network, crops))


def _of_run(config: DictConfig, best: Path, output: Categories) -> Row:
    """The row of the run's own network, with the views that it is exported with."""
    network, architecture = load_checkpoint(best, config.export.shift)
    test = CropDataset(prepared_folders(config), "test", output, architecture.crop_size)
    with torch.inference_mode():
        scores = torch.cat([network(part) for part in test.crops.split(CHUNK)]).numpy()
        speed = milliseconds(network, test.crops[:1])
    figures = Figures.of(scores, test, output, config.evaluate.bootstrap)
    return Row(f"fine-tuned {architecture.backbone}", figures, speed, _megabytes(network), None)


def _megabytes(network: Network) -> float:
    return float(sum(value.nbytes for value in network.state_dict().values())) / 1e6


def write(rows: Sequence[Row], folder: Path) -> None:
    """Write the rows as baselines.json and baselines.md."""
    data, page = folder / "baselines.json", folder / "baselines.md"
    with atomic_write_all([data, page]) as partials:
        partials[data].write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
        partials[page].write_text(table(rows).markdown() + "\n")


@command
def main(config: DictConfig) -> None:
    """Compare, print the table and write it."""
    threads = torch.get_num_threads()
    rows = compare(config)
    write(rows, Path(config.baselines.output))
    print(f"{table(rows).text()}\n\ntimes with {threads} threads; in {config.baselines.output}")


if __name__ == "__main__":
    main()
