"""Measure an exported TorchScript file on the held-out faces.

    python -m train.evaluate run=runs/mine
    python -m train.evaluate evaluate.model=model_store/age.pt

The first exports the run's best checkpoint into the run's folder, scales its interval on the
validation split, measures the file on the test split and writes `metrics.json`. The second measures
a file as it is and writes nothing.
"""

import dataclasses
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig

from handler.contract import Calibration, Contract
from handler.estimation import AgeEstimator
from train.checkpoint import load_checkpoint
from train.configuration import CONFIG, contract_parts, of_run, prepared_folders
from train.data import CropDataset
from train.datasets import warn_of_repeats
from train.files import written_whole
from train.metrics import Measured, decades, describe, interval_scale
from train.torchscript import build
from train.weights import Weights, save_weights

log = logging.getLogger(__name__)
COVERAGE = 0.9  # of age_interval, as the answer's documentation promises
Report = dict[str, dict[str, Measured]]  # group of faces -> figure -> measured


def export_run(config: DictConfig, calibration: Calibration) -> Path:
    """Export the best checkpoint of `config.run` into that folder and give the TorchScript file."""
    run = Path(config.run)
    geometry, detector = contract_parts(config)
    network, architecture = load_checkpoint(run / "best.ckpt", config.export.mirror)
    contract = Contract(geometry, detector, calibration, tuple(config.data.sources))
    save_weights(Weights(network, architecture, contract), run / "age.safetensors")
    build(run / "age.safetensors", run / "age.pt")
    return run / "age.pt"


def estimate(
    model: Path, dataset: CropDataset, batch_size: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Ages [n] and intervals [n, 2] of a data set, by the exported file."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    # what is measured, and checked at export, must not depend on the machine
    estimator = AgeEstimator.load(model, device, "float32")
    warn_of_repeats([*estimator.contract.data, *(label.source for label in dataset.labels)])
    size = estimator.contract.crop.size
    if dataset.crops.shape[-1] != size:
        raise ValueError(f"{model} takes {size} px crops; set crop.size and prepare again")
    crops = dataset.crops.numpy()
    parts = [
        estimator.estimate(crops[i : i + batch_size]) for i in range(0, len(crops), batch_size)
    ]
    age = np.concatenate([part.age for part in parts])
    return age, np.concatenate([part.interval for part in parts])


def calibrate(config: DictConfig, model: Path) -> Calibration:
    """The factor between spread and interval, from the validation split.

    `model` must carry the neutral calibration, whose interval is age ± spread.
    """
    val = CropDataset(prepared_folders(config), "val", config.crop.size)
    age, interval = estimate(model, val, config.evaluate.batch_size)
    spread = interval[:, 1] - age  # the lower end is cut off at birth
    return Calibration(COVERAGE, interval_scale(age, spread, val.age.numpy(), COVERAGE))


def measure(config: DictConfig, model: Path) -> Report:
    """The figures of the test split: each source, and the decades of each."""
    test = CropDataset(prepared_folders(config), "test", config.crop.size)
    age, interval = estimate(model, test, config.evaluate.batch_size)
    truth = test.age.numpy()
    source = np.array([label.source for label in test.labels])
    report: Report = {}
    for name in config.data.sources:
        of_source = source == name
        groups = {name: of_source} | {
            f"{name} {decade}": mask
            for decade, mask in decades(np.where(of_source, truth, -1)).items()
        }
        for group, mask in groups.items():
            report[group] = describe(
                age[mask], truth[mask], interval[mask], config.evaluate.bootstrap
            )
    return report


def show(report: Report) -> str:
    """The report as a table for a terminal."""
    rows = [["test faces", "n", "MAE", "CS@5 %", "bias", "coverage %", "width"]]
    for group, figures in report.items():
        cells = [str(figures[name]) for name in ("mae", "cs5", "bias", "coverage", "width")]
        rows.append([group, str(figures["mae"].count), *cells])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join(
        "  ".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True)) for row in rows
    )


def evaluate(config: DictConfig) -> Report:
    """Measure as the module's docstring says."""
    if config.evaluate.model is not None:
        return measure(config, Path(config.evaluate.model))
    config = of_run(config)
    neutral = Calibration(COVERAGE, 1.0)
    calibration = calibrate(config, export_run(config, neutral))
    report = measure(config, export_run(config, calibration))
    write_metrics(Path(config.run) / "metrics.json", calibration, report)
    return report


def write_metrics(path: Path, calibration: Calibration, report: Mapping[str, Any]) -> None:
    """Store what `export` and the model card quote."""
    text = {
        "calibration": dataclasses.asdict(calibration),
        "test": {
            group: {name: dataclasses.asdict(each) for name, each in figures.items()}
            for group, figures in report.items()
        },
    }
    with written_whole(path) as partial:
        partial.write_text(json.dumps(text, indent=2))


@hydra.main(**CONFIG)
def main(config: DictConfig) -> None:
    """Print the table."""
    print(show(evaluate(config)))


if __name__ == "__main__":
    main()
