"""Measure an exported TorchScript file on the held-out faces.

    python -m train.evaluate run=runs/mine
    python -m train.evaluate evaluate.model=model_store/age.pt evaluate.report=report.html

The first exports the run's weights (its best checkpoint's, unless `export.checkpoints` names
others) into the run's folder, calibrates its interval on the validation split, measures the file on
the test split and writes `metrics.json` and `report.html`, a page with pictures. The second
measures a file as it is and writes the page alone, where one is asked for.
`evaluate.portraits=FOLDER` measures faces too of which only bounds of the age are known.
`evaluate.split=val` is for choosing between runs and settings: it writes `metrics-val.json` alone.
"""

import json
import logging
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from handler.contract import Calibration, Contract, read_contract
from handler.predictor import Predictions, Predictor
from train.atomic_write import atomic_write
from train.configuration.command_line import command
from train.configuration.runs import run_config
from train.configuration.settings import contract_parts, prepared_folders
from train.data.cache import widened
from train.data.dataset import CropDataset, model_crops
from train.data.readers import warn_of_repeats
from train.evaluation import origins, portraits, tables
from train.evaluation.calibrate import calibrated, neutral
from train.evaluation.card import contract_facts, network_facts
from train.evaluation.cautions import cautions, copied, counted, same_people
from train.evaluation.comparison import compared
from train.evaluation.held_out import HeldOut
from train.evaluation.report import Report
from train.evaluation.report.curves import read as learning_curves
from train.evaluation.results import Results
from train.modeling.checkpoint import chosen_network
from train.modeling.finite import refuse_ages, refuse_figures
from train.modeling.weights import Weights, save_weights
from train.provenance import provenance
from train.provenance.runs import exported_provenance
from train.torchscript import build

log = logging.getLogger(__name__)
COVERAGE = 0.9  # of age_interval, as the answer's documentation promises
# More on validation, and most at young ages: other faces are harder than these, of whom many people
# recur in training. Both were chosen in sight of the test faces' coverage, which is no independent
# check of them therefore.
SPARE, YOUNG_LEVEL = 0.015, 0.93


def export_run(config: DictConfig, calibration: Calibration) -> Weights:
    """Export the weights of `config.run` into that folder, TorchScript as `age.pt`."""
    run = Path(config.run)
    geometry, detector = contract_parts(config)
    network, architecture = chosen_network(config)
    crop = widened(geometry, architecture.crop_size)
    origin = exported_provenance(config)
    contract = Contract(crop, detector, calibration, origin.names(), provenance=origin.to_json())
    weights = Weights(network, architecture, contract)
    save_weights(weights, run / "age.safetensors")
    build(run / "age.safetensors", run / "age.pt")
    return weights


def estimate(model: Path, dataset: CropDataset, batch_size: int) -> Predictions:
    """What the exported file says of the faces of a data set, cropped as it takes them.

    Raises ValueError where that is not finite.
    """
    # what is measured, and checked at export, must not depend on the machine
    estimator = Predictor.load(model, _device(), "float32")
    warn_of_repeats([*estimator.contract.data, *(label.source for label in dataset.labels)])
    crops = dataset.crops.numpy()
    parts = [estimator.predict(crops[i : i + batch_size]) for i in range(0, len(crops), batch_size)]
    found = Predictions(
        np.concatenate([part.age for part in parts]),
        np.concatenate([part.std for part in parts]),
        np.concatenate([part.interval for part in parts]),
    )
    refuse_ages(model, found.age)
    return found


def calibrate(config: DictConfig, model: Path) -> tuple[Calibration, dict[str, int]]:
    """What the interval must be, from the validation split; how many faces tell it."""
    val = model_crops(config, "val", read_contract(model).crop)
    found = estimate(model, val, config.evaluate.batch_size)
    calibration = calibrated(found.age, found.std, val.age.numpy(), COVERAGE, SPARE, YOUNG_LEVEL)
    return calibration, counted(val)


def measure(
    config: DictConfig, model: Path, calibration: Calibration
) -> tuple[Results, HeldOut, portraits.Portraits | None]:
    """The figures of `evaluate.split`, and of portraits where there are any; what they are of."""
    crops = model_crops(config, config.evaluate.split, read_contract(model).crop)
    found = estimate(model, crops, config.evaluate.batch_size)
    faces = HeldOut(crops, found.age, found.interval)
    resamples = config.evaluate.bootstrap
    shown = bounded = None
    if config.evaluate.portraits is not None:
        shown = portraits.estimate(Path(config.evaluate.portraits), model, _device())
        bounded = shown.results(resamples)
    split, folders = config.evaluate.split, prepared_folders(config)
    results = replace(
        faces.results(list(config.data.sources), calibration, bounded, resamples),
        beside=compared(config, faces),
        copies=copied(crops, split, folders),
        same_people=same_people(crops, split, Path(config.data.prepared)),
    )
    return results, faces, shown


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def show(results: Results) -> str:
    """The figures as tables for a terminal, and what they do not say."""
    every = [tables.sources(results), tables.decades(results), tables.people(results)]
    every += [tables.checks(results), tables.beside(results)]
    parts = [table.text() for table in every if table.rows]
    parts += [tables.compared(results), *(f"warning: {line}" for line in cautions(results))]
    return "\n\n".join(part for part in parts if part)


def evaluate(config: DictConfig) -> Results:
    """Measure as the module's docstring says."""
    if config.evaluate.model is not None:
        return _evaluate_file(config, Path(config.evaluate.model))
    config = run_config(config)
    run = Path(config.run)
    export_run(config, neutral(COVERAGE))
    calibration, faces = calibrate(config, run / "age.pt")
    weights = export_run(config, calibration)
    contract = weights.contract
    results, held_out, shown = measure(config, run / "age.pt", contract.calibration)
    results = replace(results, calibrated_on=faces)
    refuse_figures(run / "age.pt", results.to_json())
    split = config.evaluate.split
    name = "metrics.json" if split == "test" else f"metrics-{split}.json"
    with atomic_write(run / name) as partial:  # `export` and the model card quote metrics.json
        partial.write_text(json.dumps(results.to_json(), indent=2))
    if split != "test":
        return results
    origin = provenance.contract_provenance(contract, run.name)
    facts = [*network_facts(weights.architecture), *_facts(contract, origin)]
    steps = origins.steps(origin)
    page = Path(config.evaluate.report or run / "report.html")
    Report(
        f"Report: {run.name}", facts, steps, results, held_out, shown, learning_curves(config)
    ).write(page)
    log.info("the report is in %s", page)
    return results


def _evaluate_file(config: DictConfig, model: Path) -> Results:
    with ExitStack() as stack:
        if model.suffix == ".safetensors":  # what is measured is what would be served
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            weights, model = model, Path(folder, model.with_suffix(".pt").name)
            build(weights, model)
        contract = Predictor.load(model, torch.device("cpu"), "float32").contract
        measured = measure(config, model, contract.calibration)
    origin = provenance.contract_provenance(contract, model.name)
    log.info("%s", origins.terms(origin))
    if config.evaluate.report is not None:
        page = Path(config.evaluate.report)
        steps = origins.steps(origin)
        facts = _facts(contract, origin)
        Report(f"Report: {model.name}", facts, steps, *measured, []).write(page)
        log.info("the report is in %s", page)
    return measured[0]


def _facts(contract: Contract, origin: provenance.Provenance) -> list[tuple[str, str]]:
    return [*contract_facts(contract), *origins.facts(origin)]


def of_file(config: DictConfig, told: Sequence[str]) -> DictConfig:
    """The configuration to measure `evaluate.model` with: that of the run which is named, if any.

    `told` are the overrides of the command line; what they say of data and crops counts.
    """
    names = {override.lstrip("+~").partition("=")[0] for override in told}
    if "run" not in names or any(
        name.partition(".")[0] in ("data", "crop") and name != "data.prepared" for name in names
    ):
        return config
    return run_config(config)


@command
def main(config: DictConfig) -> None:
    """Print the tables."""
    if config.evaluate.model is not None:
        config = of_file(config, HydraConfig.get().overrides.task)
    print(show(evaluate(config)))


if __name__ == "__main__":
    main()
