"""Evaluate an exported model on the held-out faces.

    python -m train.evaluate run=runs/mine
    python -m train.evaluate evaluate.model=model_store/age.pt evaluate.report=report.html

The first exports the run's weights (`export.checkpoints`, by default the best checkpoint) into the
run's folder, calibrates the interval on the validation split, evaluates the file on the test split,
and writes `metrics.json` and the report with plots, `report.html`. The second evaluates a file as
it is, and writes only the report, if asked for. `evaluate.portraits=FOLDER` adds faces with bounds
of the age instead of the age. `evaluate.split=val` is for choosing between runs and settings: it
writes only `metrics-val.json`.
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
COVERAGE = 0.9  # of age_interval, as the API documentation promises
# Higher on validation, above all at young ages: new faces are harder than these, as many of their
# people are in the training split too. Both values were chosen with the coverage on test faces in
# sight, so that this coverage is no independent check of them.
SPARE, YOUNG_LEVEL = 0.015, 0.93


def export_run(config: DictConfig, calibration: Calibration) -> Weights:
    """Export the weights of `config.run` into its folder, as `age.safetensors` and `age.pt`."""
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
    """Predictions of an exported file for a data set with crops of its size.

    Raises ValueError for ages that are not finite.
    """
    # in full precision: figures must not depend on the machine
    predictor = Predictor.load(model, _device(), "float32")
    warn_of_repeats([*predictor.contract.data, *(label.source for label in dataset.labels)])
    crops = dataset.crops.numpy()
    parts = [predictor.predict(crops[i : i + batch_size]) for i in range(0, len(crops), batch_size)]
    predictions = Predictions(
        np.concatenate([part.age for part in parts]),
        np.concatenate([part.std for part in parts]),
        np.concatenate([part.interval for part in parts]),
    )
    refuse_ages(model, predictions.age)
    return predictions


def calibrate(config: DictConfig, model: Path) -> tuple[Calibration, dict[str, int]]:
    """Calibrate the interval on the validation split; also gives its faces per decade."""
    val = model_crops(config, "val", read_contract(model).crop)
    found = estimate(model, val, config.evaluate.batch_size)
    calibration = calibrated(found.age, found.std, val.age.numpy(), COVERAGE, SPARE, YOUNG_LEVEL)
    return calibration, counted(val)


def measure(
    config: DictConfig, model: Path, calibration: Calibration
) -> tuple[Results, HeldOut, portraits.Portraits | None]:
    """Evaluate on `evaluate.split` and any portraits; also gives their predictions."""
    crops = model_crops(config, config.evaluate.split, read_contract(model).crop)
    found = estimate(model, crops, config.evaluate.batch_size)
    faces = HeldOut(crops, found.age, found.interval)
    resamples = config.evaluate.bootstrap
    portrait_faces = bounded = None
    if config.evaluate.portraits is not None:
        portrait_faces = portraits.estimate(Path(config.evaluate.portraits), model, _device())
        bounded = portrait_faces.results(resamples)
    split, folders = config.evaluate.split, prepared_folders(config)
    results = replace(
        faces.results(list(config.data.sources), calibration, bounded, resamples),
        beside=compared(config, faces),
        copies=copied(crops, split, folders),
        same_people=same_people(crops, split, Path(config.data.prepared)),
    )
    return results, faces, portrait_faces


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def show(results: Results) -> str:
    """Tables and warnings, for a terminal."""
    shown = [tables.sources(results), tables.decades(results), tables.people(results)]
    shown += [tables.checks(results), tables.comparison(results)]
    parts = [table.text() for table in shown if table.rows]
    parts += [tables.compared(results), *(f"warning: {line}" for line in cautions(results))]
    return "\n\n".join(part for part in parts if part)


def evaluate(config: DictConfig) -> Results:
    """Evaluate a run or a file; see the module's docstring."""
    if config.evaluate.model is not None:
        return _evaluate_file(config, Path(config.evaluate.model))
    config = run_config(config)
    run = Path(config.run)
    export_run(config, neutral(COVERAGE))
    calibration, faces = calibrate(config, run / "age.pt")
    weights = export_run(config, calibration)
    contract = weights.contract
    results, held_out, portrait_faces = measure(config, run / "age.pt", contract.calibration)
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
    curves = learning_curves(config)
    report = Report(f"Report: {run.name}", facts, steps, results, held_out, portrait_faces, curves)
    report.write(page)
    log.info("the report is in %s", page)
    return results


def _evaluate_file(config: DictConfig, model: Path) -> Results:
    with ExitStack() as stack:
        if model.suffix == ".safetensors":  # evaluate the model that would be served
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


def of_file(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """The configuration to evaluate `evaluate.model` with.

    It is the run's if the command line's `overrides` name a run, and neither data nor crop.
    """
    names = {override.lstrip("+~").partition("=")[0] for override in overrides}
    if "run" not in names or any(
        name.partition(".")[0] in ("data", "crop") and name != "data.prepared" for name in names
    ):
        return config
    return run_config(config)


@command
def main(config: DictConfig) -> None:
    """Evaluate and print the tables."""
    if config.evaluate.model is not None:
        config = of_file(config, HydraConfig.get().overrides.task)
    print(show(evaluate(config)))


if __name__ == "__main__":
    main()
