"""Evaluate an exported model on the held-out images.

    python -m train.evaluate run=runs/mine
    python -m train.evaluate evaluate.model=model_store/age.pt evaluate.report=report.html

The first exports the run's weights (`export.checkpoints`, by default the best checkpoint) into the
run's folder, calibrates interval or prediction set on the validation split, evaluates the file on
the test split, and writes `metrics.json` and the report with plots, `report.html`. The second
evaluates a file as it is, and writes only the report, if asked for. `evaluate.portraits=FOLDER`
adds faces with bounds of the age instead of the age. `evaluate.split=val` is for choosing between
runs and settings: it writes only `metrics-val.json`.
"""

import datetime
import json
import logging
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from handler.contract import Calibration, Contract
from handler.exported_model import read_contract
from handler.predictor import Predictor
from train.atomic_write import atomic_write
from train.configuration.command_line import command
from train.configuration.runs import run_config
from train.configuration.settings import prepared_folders
from train.configuration.tasks import auxiliary_names, task_of
from train.data.dataset import model_crops
from train.evaluation import origins, portraits, tables
from train.evaluation.card import contract_facts, network_facts
from train.evaluation.cautions import cautions, copied, same_people
from train.evaluation.comparison import compared
from train.evaluation.held_out import AnyHeldOut, HeldOut
from train.evaluation.kinds import kind_of
from train.evaluation.predict import device, file_predictions
from train.evaluation.report import Report
from train.evaluation.report.curves import read as learning_curves
from train.evaluation.results import Results
from train.modeling.checkpoint import chosen_network
from train.modeling.finite import refuse_figures
from train.modeling.metric import metric_of
from train.modeling.weights import Weights, save_weights
from train.provenance import provenance
from train.provenance.runs import exported_provenance
from train.torchscript import build

log = logging.getLogger(__name__)


def export_run(config: DictConfig, calibration: Calibration | None) -> Weights:
    """Export the weights of `config.run` into its folder, as TASK.safetensors and TASK.pt.

    Without a calibration they get the neutral one.
    """
    run = Path(config.run)
    network, architecture = chosen_network(config)
    task = task_of(config, architecture.crop_size)
    origin = exported_provenance(config)
    contract = Contract(
        task, calibration or kind_of(task).neutral(), origin.names(), provenance=origin.to_json()
    )
    weights = Weights(network, architecture, contract)
    save_weights(weights, run / f"{task.name}.safetensors")
    build(run / f"{task.name}.safetensors", run / f"{task.name}.pt")
    return weights


def calibrate(config: DictConfig, model: Path) -> tuple[Calibration, dict[str, int]]:
    """Calibrate on the validation split; also gives its number of images by group."""
    task = read_contract(model).task
    val = model_crops(config, "val", task)
    found = file_predictions(model, val, config.evaluate.batch_size)
    kind, truth = kind_of(task), val.target.numpy()
    return kind.calibrated(found, truth), kind.counted(truth)


def measure(
    config: DictConfig, model: Path, calibration: Calibration
) -> tuple[Results, AnyHeldOut, portraits.Portraits | None]:
    """Evaluate on `evaluate.split` and any portraits; also gives their predictions."""
    task = read_contract(model).task
    kind = kind_of(task)
    if config.evaluate.portraits is not None:
        portraits.refuse_other(kind)
    crops = model_crops(config, config.evaluate.split, task)
    found = file_predictions(model, crops, config.evaluate.batch_size)
    images: AnyHeldOut = HeldOut(crops, found, kind)
    resamples = config.evaluate.bootstrap
    portrait_faces = bounded = None
    if config.evaluate.portraits is not None:
        portrait_faces = portraits.estimate(Path(config.evaluate.portraits), model, device())
        bounded = portrait_faces.results(resamples)
    split, folders = config.evaluate.split, prepared_folders(config)
    labels = auxiliary_names(config)
    of_people = same_people(crops, split, Path(config.data.prepared)) if task.is_of_faces else {}
    results = replace(
        images.results(list(config.data.sources), labels, calibration, bounded, resamples),
        beside=compared(config, images),
        copies=copied(crops, split, folders),
        same_people=of_people,
    )
    return results, images, portrait_faces


def show(results: Results) -> str:
    """Tables and warnings, for a terminal."""
    sentence, groups = tables.shown_groups(results)
    shown = [tables.sources(results), groups, tables.confusion(results), tables.people(results)]
    shown += [tables.checks(results), tables.comparison(results)]
    parts = [
        f"{sentence}\n{table.text()}" if sentence and table is groups else table.text()
        for table in shown
        if table.rows
    ]
    parts += [tables.compared(results), *(f"warning: {line}" for line in cautions(results))]
    return "\n\n".join(part for part in parts if part)


def evaluate(config: DictConfig) -> Results:
    """Evaluate a run or a file; see the module's docstring."""
    if config.evaluate.model is not None:
        return _evaluate_file(config, Path(config.evaluate.model))
    config = run_config(config)
    run = Path(config.run)
    model = run / f"{export_run(config, None).contract.task.name}.pt"
    calibration, counts = calibrate(config, model)
    weights = export_run(config, calibration)
    contract = weights.contract
    results, images, portrait_faces = measure(config, model, contract.calibration)
    results = replace(results, calibrated_on=counts, measured=_today())
    refuse_figures(model, results.to_json())
    split = config.evaluate.split
    name = "metrics.json" if split == "test" else f"metrics-{split}.json"
    with atomic_write(run / name) as partial:  # `export` and the model card quote metrics.json
        partial.write_text(json.dumps(results.to_json(), indent=2))
    if split != "test":
        return results
    origin = provenance.contract_provenance(contract, run.name)
    facts = [*network_facts(weights.architecture, contract), *_facts(contract, origin)]
    steps = origins.steps(origin)
    page = Path(config.evaluate.report or run / "report.html")
    curves = learning_curves(config, metric_of(contract.task.output).key)
    title = f"Report: {run.name}"
    Report(title, facts, steps, results, images, portrait_faces, curves, _today()).write(page)
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
        Report(f"Report: {model.name}", facts, steps, *measured, [], _today()).write(page)
        log.info("the report is in %s", page)
    return measured[0]


def _today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()


def _facts(contract: Contract, origin: provenance.Provenance) -> list[tuple[str, str]]:
    return [*contract_facts(contract), *origins.facts(origin)]


def of_file(config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    """The configuration to evaluate `evaluate.model` with.

    It is the run's if the command line's `overrides` name a run, and neither task, data nor crop.
    """
    names = {override.lstrip("+~").partition("=")[0] for override in overrides}
    groups = {name.partition(".")[0] for name in names - {"data.prepared"}}
    if "run" not in names or groups & {"data", "crop", "task"}:
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
