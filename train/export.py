"""Export a run: weights, TorchScript and model card, ready to be archived.

    python -m train.export run=runs/mine export.output=model_store

Uses the calibration and the figures of `train.evaluate`, and fails where the eager network and the
TorchScript differ by more than `task.tolerance` on real crops.
"""

import json
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch.fx.proxy import TraceError

from handler.contract import Contract
from handler.task import Task
from train import build_record
from train.atomic_write import atomic_write_all
from train.configuration.command_line import command
from train.configuration.runs import run_config
from train.configuration.tasks import task_of
from train.data.dataset import CropDataset, model_crops
from train.evaluation import origins
from train.evaluation.card import Prose, model_card
from train.evaluation.kind import AnyKind
from train.evaluation.kinds import kind_of
from train.evaluation.metrics import Measured, bootstrap
from train.evaluation.predict import file_predictions, network_predictions
from train.evaluation.results import Results
from train.modeling.checkpoint import chosen_network
from train.modeling.finite import refuse_figures
from train.modeling.network import Architecture, Network
from train.modeling.quantize import Ranges, activation_ranges, quantized
from train.modeling.weights import Weights, load_weights, stored
from train.modeling.weights import serialized as weights_file
from train.provenance.provenance import Provenance
from train.provenance.runs import exported_provenance
from train.reference import described, image_files, with_reference
from train.torchscript import serialized as model_file

CHECKED = 512  # validation crops for the comparison with TorchScript
INT8_CROPS = 2048  # validation crops: half for the ranges of int8, half for its cost
# In each half: ranges are extremes, which a few dozen crops do not show, and the mean of 100
# differences of about 0.2 years is known to 0.04, less than the age task's int8_cost.
ENOUGH = 100
RESAMPLES = 1000  # for the bootstrap interval of that cost


def export(config: DictConfig) -> Path:
    """Write weights, TorchScript, figures and card to `export.output`; return the TorchScript.

    Writes all files or none. Raises FileNotFoundError if the run was not evaluated, and ValueError,
    before any file changes, if it was evaluated with other views or weights, if the exported file
    differs from the network, or if `export.reference` has too few images.
    """
    config = run_config(config)
    if config.export.reference is not None:
        image_files(Path(config.export.reference))  # before minutes of work
    run, output, name = Path(config.run), Path(config.export.output), config.task.name
    metrics_file, measured_file = run / "metrics.json", run / f"{name}.safetensors"
    for file in (metrics_file, measured_file):
        if not file.is_file():
            raise FileNotFoundError(f"{file} is missing: run python -m train.evaluate first")
    evaluated = load_weights(measured_file)
    network, architecture = _evaluated_network(config, evaluated)
    metrics = metrics_file.read_bytes()
    figures = json.loads(metrics)
    refuse_figures(metrics_file, figures)
    results = Results.from_json(figures, config.data.sources)
    origin = exported_provenance(config)
    contract = _contract(task_of(config, architecture.crop_size), results, origin)
    crops = model_crops(config, "val", contract.task)
    # of the weights in their stored precision
    int8 = None
    if config.export.int8:
        int8 = _try_int8(evaluated.network, crops, contract, config.task.int8_cost)
    ranges = int8.ranges if int8 and int8.is_accepted else None
    weights = Weights(network, architecture, contract, ranges)
    if config.export.reference is not None:
        # of the weights that will be served
        served = replace(weights, network=evaluated.network)
        contract = with_reference(served, Path(config.export.reference)).contract
        weights = replace(weights, contract=contract)
        print(f"reference for drift: {described(contract.reference or {})}")
    prose = Prose.of(config)
    summary = int8.summary() if int8 else []
    card = model_card(prose, architecture, contract, origin, results, summary)
    texts = {output / "metrics.json": metrics, output / "README.md": card.encode()}
    models = {folder / f"{name}.pt": folder / f"{name}.safetensors" for folder in (run, output)}
    records = map(build_record.record_path, models)
    with atomic_write_all([*texts, *models, *models.values(), *records]) as partials:
        kept = weights_file(weights, measured_file)
        partials[measured_file].write_bytes(kept)
        built = model_file(load_weights(partials[measured_file]))
        for model, source in models.items():
            built_from = build_record.model_sources(model, source, partials[measured_file])
            partials[source].write_bytes(kept)
            partials[model].write_bytes(built)
            partials[build_record.record_path(model)].write_text(
                build_record.render(model, built_from, partials[model])
            )
        for path, text in texts.items():
            partials[path].write_bytes(text)
        exported = partials[run / f"{name}.pt"]
        _check_agreement(network, exported, crops, contract, config.task.tolerance)
        print(origins.terms(origin))
    return output / f"{name}.pt"


def _evaluated_network(config: DictConfig, evaluated: Weights) -> tuple[Network, Architecture]:
    """The network to export. Raises ValueError if another one was evaluated."""
    if evaluated.architecture.shift != config.export.shift:
        raise ValueError(
            f"the run was evaluated with export.shift={evaluated.architecture.shift}: evaluate it "
            f"again with export.shift={config.export.shift}"
        )
    network, architecture = chosen_network(config)
    if not _same(network, evaluated.network):
        raise ValueError(
            f"other weights were evaluated than those of export.checkpoints="
            f"{config.export.checkpoints}: evaluate the run again with these"
        )
    return network, architecture


def _contract(task: Task, results: Results, origin: Provenance) -> Contract:
    main = results.kind.main
    metrics = {
        f"test_{main}_{source}": figures[main].value for source, figures in results.sources.items()
    }
    return Contract(task, results.calibration, origin.names(), metrics, origin.to_json())


def _same(network: Network, measured: Network) -> bool:
    ours, theirs = stored(network), stored(measured)
    return ours.keys() == theirs.keys() and all(
        torch.equal(ours[name], theirs[name]) for name in ours
    )


@dataclass(frozen=True)
class Int8:
    """The int8 model's ranges and its cost in accuracy."""

    kind: AnyKind
    ranges: Ranges
    before: float  # the main figure of the network in full precision
    change: Measured  # of the main figure, paired by crop
    calibrated_on: int  # crops
    limit: float  # of the cost, in the main figure's unit

    @property
    def cost(self) -> Measured:
        """What int8 makes worse."""
        return self.kind.worse_by(self.change)

    @property
    def is_accepted(self) -> bool:
        """Whether it costs less than the limit."""
        return self.cost.value < self.limit

    def summary(self) -> list[str]:
        """The cost in a sentence, then warnings if too few crops decided."""
        cost, count = self.cost, self.cost.count
        lines = [
            f"int8 changes {self.kind.cost(self.before, self.change)} on {count} crops: "
            f"{'' if self.is_accepted else 'not '}exported"
        ]
        if count < ENOUGH:
            lines.append(
                f"int8 was measured on {count} crops, and its ranges are from "
                f"{self.calibrated_on}: {ENOUGH} of each are more reliable"
            )
        if cost.low < self.limit <= cost.high:
            lines.append(
                f"{count} crops do not show whether int8 costs less than {self.limit:g} "
                f"{self.kind.unit}: prepare more, or set export.int8=false"
            )
        return lines


def _try_int8(
    network: Network, crops: CropDataset, contract: Contract, limit: float
) -> Int8 | None:
    """Quantize with ranges from one half of the crops and measure on the other; prints the result.

    None for a single crop. Raises ValueError for a backbone that torch's FX cannot trace.
    """
    sample = torch.linspace(0, len(crops) - 1, min(INT8_CROPS, len(crops))).long()
    inputs, truth = crops.crops[sample], crops.target[sample].numpy()
    if len(sample) < 2:
        print("warning: int8 cannot be measured on one validation crop: not exported")
        return None
    try:
        ranges = activation_ranges(network, inputs[::2])
        lower = quantized(network, ranges)
    except TraceError as error:
        raise ValueError(f"no int8 for this backbone, set export.int8=false: {error}") from error
    kind = kind_of(contract.task)
    before, after = (
        kind.scores(network_predictions(each, inputs[1::2], contract), truth[1::2])
        for each in (network, lower)
    )
    change = bootstrap(after - before, RESAMPLES)
    limit *= kind.scale
    int8 = Int8(kind, ranges, float(before.mean()), change, len(inputs[::2]), limit)
    first, *warnings = int8.summary()
    print("\n".join([first, *(f"warning: {line}" for line in warnings)]))
    return int8


def _check_agreement(
    network: Network, exported: Path, crops: CropDataset, contract: Contract, tolerance: float
) -> None:
    chosen = torch.linspace(0, len(crops) - 1, min(CHECKED, len(crops))).long()
    crops.crops = crops.crops[chosen]
    kind = kind_of(contract.task)
    served = file_predictions(exported, crops, batch_size=64)
    eager = network_predictions(network, crops.crops, contract)
    difference = kind.difference(served, eager)
    unit = kind.prediction_unit
    if not difference <= tolerance:
        raise ValueError(
            f"the exported model differs from the network by up to {difference:.3f}{unit} on "
            f"{len(chosen)} crops, more than {tolerance}: nothing was exported"
        )
    print(f"eager and TorchScript agree within {difference:.4f}{unit} on {len(chosen)} crops")


def packing(model: Path) -> str:
    """The shell command that packs this file."""
    return shlex.join(["python", "scripts/archive.py", "--model", str(model)])


@command
def main(config: DictConfig) -> None:
    """Export, and print the next command."""
    print(f"{(model := export(config))} is ready: pack it with {packing(model)}")


if __name__ == "__main__":
    main()
