"""The run's checkpoint -> weights, TorchScript and model card, ready to be archived.

    python -m train.export run=runs/mine export.output=model_store

Takes the calibration and the figures of `train.evaluate`, and fails where eager network and
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

TOLERANCE = 0.05  # years between the trained network and the exported file
INT8_COST = 0.05  # years of mean absolute error that 8 bits may cost
CHECKED = 512  # validation crops
RANGED = 2048  # validation crops: one half for the ranges of 8 bits, the other for their cost
# Of each half: ranges are of extremes, which a few dozen do not show, and of 100 differences of
# about 0.2 years the mean is known to 0.04, less than the cost that is looked for.
ENOUGH = 100
RESAMPLES = 1000  # for the interval of that cost


def export(config: DictConfig) -> Path:
    """Write weights, TorchScript, figures and card to `export.output`, and give the TorchScript.

    All of them, or none where one cannot be written. Raises FileNotFoundError where the run was not
    evaluated, and ValueError, before any file is touched, where it was evaluated with other views
    or weights, or where the exported file does not agree with the network.
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
            f"{config.export.checkpoints}: evaluate it again with these"
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
    # of the weights as the file keeps them, in half precision
    lower = _lower(evaluated.network, crops) if config.export.int8 else None
    ranges = lower.ranges if lower and lower.kept else None
    weights = Weights(network, architecture, contract, ranges)
    card = model_card(architecture, contract, origin, results, lower.told() if lower else [])
    texts = {output / "metrics.json": metrics, output / "README.md": card.encode()}
    models = {folder / "age.pt": folder / "age.safetensors" for folder in (run, output)}
    records = map(build_record.record_path, models)
    with atomic_write_all([*texts, *models, *models.values(), *records]) as partials:
        kept = weights_file(weights, measured_file)
        partials[measured_file].write_bytes(kept)
        built = model_file(load_weights(partials[measured_file]))
        for model, its in models.items():
            told = build_record.model_sources(model, its, partials[measured_file])
            partials[its].write_bytes(kept)
            partials[model].write_bytes(built)
            partials[build_record.record_path(model)].write_text(
                build_record.render(model, told, partials[model])
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
class Lower:
    """What 8 bits need, and what they cost."""

    ranges: Ranges
    error: float  # mean absolute, years, of the network as it is
    cost: Measured  # what 8 bits add to it, years; its interval is of the differences of each crop
    ranged: int  # crops that the ranges were found on

    @property
    def kept(self) -> bool:
        """Whether they cost little enough."""
        return self.cost.value < INT8_COST

    def told(self) -> list[str]:
        """What was found, and what it is worth where the crops were few."""
        cost, count = self.cost, self.cost.count
        said = [
            f"8 bits change the mean absolute error of {self.error:.3f} years by {cost.value:+.3f} "
            f"[{cost.low:+.3f}, {cost.high:+.3f}] on {count} crops: "
            f"{'' if self.kept else 'not '}exported"
        ]
        if count < ENOUGH:
            said.append(
                f"8 bits were judged on {count} crops, and their ranges found on {self.ranged}: "
                f"{ENOUGH} of each tell more"
            )
        if cost.low < INT8_COST <= cost.high:
            said.append(
                f"{count} crops do not tell whether 8 bits cost less than {INT8_COST} years: "
                "prepare more, or set export.int8=false"
            )
        return said


def _lower(network: AgeNetwork, crops: CropDataset) -> Lower | None:
    """8 bits, with ranges from one half of the crops and the cost on the other; None of one crop.

    Raises ValueError where the backbone is none that torch's FX can trace.
    """
    sample = torch.linspace(0, len(crops) - 1, min(RANGED, len(crops))).long()
    faces, truth = crops.crops[sample], crops.age[sample].numpy()
    if len(sample) < 2:
        print("warning: one validation crop does not tell what 8 bits cost: not exported")
        return None
    try:
        ranges = activation_ranges(network, faces[::2])
        lower = quantized(network, ranges)
    except TraceError as error:
        raise ValueError(f"no 8 bits for this backbone, set export.int8=false: {error}") from error
    before, after = (np.abs(_eager(n, faces[1::2]) - truth[1::2]) for n in (network, lower))
    cost = bootstrap(after - before, RESAMPLES)
    found = Lower(ranges, float(before.mean()), cost, len(faces[::2]))
    first, *warnings = found.told()
    print("\n".join([first, *(f"warning: {line}" for line in warnings)]))
    return found


def _check_agreement(network: AgeNetwork, exported: Path, crops: CropDataset) -> None:
    chosen = torch.linspace(0, len(crops) - 1, min(CHECKED, len(crops))).long()
    crops.crops = crops.crops[chosen]
    served = estimate(exported, crops, batch_size=64).age
    difference = float(np.abs(served - _eager(network, crops.crops)).max())
    if not difference <= TOLERANCE:
        raise ValueError(
            f"the exported model is off by up to {difference:.3f} years on {len(chosen)} crops, "
            f"more than {TOLERANCE}: it was not installed"
        )
    print(f"eager and TorchScript agree within {difference:.4f} years on {len(chosen)} crops")


@torch.inference_mode()
def _eager(network: AgeNetwork, crops: torch.Tensor) -> NDArray[np.float32]:
    ages = [network(part)[0] for part in crops.split(64)]
    return torch.cat(ages).numpy()


def packing(model: Path) -> str:
    """The command, for a shell, that packs this very file."""
    return shlex.join(["python", "scripts/archive.py", "--model", str(model)])


@command
def main(config: DictConfig) -> None:
    """Export, and say what comes next."""
    print(f"{(model := export(config))} is ready: pack it with {packing(model)}")


if __name__ == "__main__":
    main()
