"""Export a run: weights, TorchScript and model card, ready to be archived.

    python -m train.export run=runs/mine export.output=model_store

Uses the calibration and the figures of `train.evaluate`, and fails where the eager network and the
TorchScript differ by more than 0.05 years on real crops.
"""

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig
from torch.fx.proxy import TraceError

from handler.contract import Contract
from train import build_record
from train.atomic_write import atomic_write_all
from train.configuration.command_line import command
from train.configuration.runs import run_config
from train.configuration.settings import contract_parts
from train.data.cache import widened
from train.data.dataset import CropDataset, model_crops
from train.evaluate import estimate
from train.evaluation import origins
from train.evaluation.card import model_card
from train.evaluation.metrics import Measured, bootstrap
from train.evaluation.results import Results
from train.modeling.checkpoint import chosen_network
from train.modeling.finite import refuse_figures
from train.modeling.network import AgeNetwork
from train.modeling.quantize import Ranges, activation_ranges, quantized
from train.modeling.weights import Weights, load_weights, stored
from train.modeling.weights import serialized as weights_file
from train.provenance.runs import exported_provenance
from train.torchscript import serialized as model_file

TOLERANCE = 0.05  # years between the eager network and the exported file
INT8_COST = 0.05  # years of mean absolute error that int8 may add
CHECKED = 512  # validation crops for the comparison with TorchScript
INT8_CROPS = 2048  # validation crops: half for the ranges of int8, half for its cost
# In each half: ranges are extremes, which a few dozen crops do not show, and the mean of 100
# differences of about 0.2 years is known to 0.04, less than INT8_COST.
ENOUGH = 100
RESAMPLES = 1000  # for the bootstrap interval of that cost


def export(config: DictConfig) -> Path:
    """Write weights, TorchScript, figures and card to `export.output`; return the TorchScript.

    Writes all files or none. Raises FileNotFoundError if the run was not evaluated, and ValueError,
    before any file changes, if it was evaluated with other views or weights, or if the exported
    file differs from the network.
    """
    config = run_config(config)
    run, output = Path(config.run), Path(config.export.output)
    metrics_file, measured_file = run / "metrics.json", run / "age.safetensors"
    for file in (metrics_file, measured_file):
        if not file.is_file():
            raise FileNotFoundError(f"{file} is missing: run python -m train.evaluate first")
    evaluated = load_weights(measured_file)
    if evaluated.architecture.shift != config.export.shift:
        raise ValueError(
            f"the run was evaluated with export.shift={evaluated.architecture.shift}: evaluate it "
            f"again with export.shift={config.export.shift}"
        )
    metrics = metrics_file.read_bytes()
    figures = json.loads(metrics)
    refuse_figures(metrics_file, figures)
    results = Results.from_json(figures, config.data.sources)
    network, architecture = chosen_network(config)
    if not _same(network, evaluated.network):
        raise ValueError(
            f"other weights were evaluated than those of export.checkpoints="
            f"{config.export.checkpoints}: evaluate the run again with these"
        )
    geometry, detector = contract_parts(config)
    crop = widened(geometry, architecture.crop_size)
    measured = {
        f"test_mae_{name}": figures["mae"].value for name, figures in results.sources.items()
    }
    origin = exported_provenance(config)
    contract = Contract(
        crop,
        detector,
        results.calibration,
        origin.names(),
        measured,
        origin.to_json(),
    )
    crops = model_crops(config, "val", crop)
    # of the weights in their stored precision
    int8 = _try_int8(evaluated.network, crops) if config.export.int8 else None
    ranges = int8.ranges if int8 and int8.is_accepted else None
    weights = Weights(network, architecture, contract, ranges)
    card = model_card(architecture, contract, origin, results, int8.summary() if int8 else [])
    texts = {output / "metrics.json": metrics, output / "README.md": card.encode()}
    models = {folder / "age.pt": folder / "age.safetensors" for folder in (run, output)}
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
        _check_agreement(network, partials[run / "age.pt"], crops)
        print(origins.terms(origin))
    return output / "age.pt"


def _same(network: AgeNetwork, measured: AgeNetwork) -> bool:
    ours, theirs = stored(network), stored(measured)
    return ours.keys() == theirs.keys() and all(
        torch.equal(ours[name], theirs[name]) for name in ours
    )


@dataclass(frozen=True)
class Int8:
    """The int8 model's ranges and its cost in accuracy."""

    ranges: Ranges
    error: float  # mean absolute, years, of the network in full precision
    cost: Measured  # years of mean absolute error that int8 adds, paired by crop
    calibrated_on: int  # crops

    @property
    def is_accepted(self) -> bool:
        """Whether it costs less than INT8_COST."""
        return self.cost.value < INT8_COST

    def summary(self) -> list[str]:
        """The cost in a sentence, then warnings if too few crops decided."""
        cost, count = self.cost, self.cost.count
        lines = [
            f"int8 changes the mean absolute error of {self.error:.3f} years by {cost.value:+.3f} "
            f"[{cost.low:+.3f}, {cost.high:+.3f}] on {count} crops: "
            f"{'' if self.is_accepted else 'not '}exported"
        ]
        if count < ENOUGH:
            lines.append(
                f"int8 was measured on {count} crops, and its ranges are from "
                f"{self.calibrated_on}: {ENOUGH} of each are more reliable"
            )
        if cost.low < INT8_COST <= cost.high:
            lines.append(
                f"{count} crops do not show whether int8 costs less than {INT8_COST} years: "
                "prepare more, or set export.int8=false"
            )
        return lines


def _try_int8(network: AgeNetwork, crops: CropDataset) -> Int8 | None:
    """Quantize with ranges from one half of the crops and measure on the other; prints the result.

    None for a single crop. Raises ValueError for a backbone that torch's FX cannot trace.
    """
    sample = torch.linspace(0, len(crops) - 1, min(INT8_CROPS, len(crops))).long()
    faces, truth = crops.crops[sample], crops.age[sample].numpy()
    if len(sample) < 2:
        print("warning: int8 cannot be measured on one validation crop: not exported")
        return None
    try:
        ranges = activation_ranges(network, faces[::2])
        lower = quantized(network, ranges)
    except TraceError as error:
        raise ValueError(f"no int8 for this backbone, set export.int8=false: {error}") from error
    before, after = (np.abs(_eager(n, faces[1::2]) - truth[1::2]) for n in (network, lower))
    cost = bootstrap(after - before, RESAMPLES)
    int8 = Int8(ranges, float(before.mean()), cost, len(faces[::2]))
    first, *warnings = int8.summary()
    print("\n".join([first, *(f"warning: {line}" for line in warnings)]))
    return int8


def _check_agreement(network: AgeNetwork, exported: Path, crops: CropDataset) -> None:
    chosen = torch.linspace(0, len(crops) - 1, min(CHECKED, len(crops))).long()
    crops.crops = crops.crops[chosen]
    served = estimate(exported, crops, batch_size=64).age
    difference = float(np.abs(served - _eager(network, crops.crops)).max())
    if not difference <= TOLERANCE:
        raise ValueError(
            f"the exported model differs from the network by up to {difference:.3f} years on "
            f"{len(chosen)} crops, more than {TOLERANCE}: nothing was exported"
        )
    print(f"eager and TorchScript agree within {difference:.4f} years on {len(chosen)} crops")


@torch.inference_mode()
def _eager(network: AgeNetwork, crops: torch.Tensor) -> NDArray[np.float32]:
    ages = [network(part)[0] for part in crops.split(64)]
    return torch.cat(ages).numpy()


def packing(model: Path) -> str:
    """The shell command that packs this file."""
    return shlex.join(["python", "scripts/archive.py", "--model", str(model)])


@command
def main(config: DictConfig) -> None:
    """Export, and print the next command."""
    print(f"{(model := export(config))} is ready: pack it with {packing(model)}")


if __name__ == "__main__":
    main()
