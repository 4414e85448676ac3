"""Smaller and faster variants of a model, measured beside each other: size, speed, error.

    python -m train.variants run=runs/mine
    python -m train.variants variants.weights=model_store/age.safetensors variants.limit=64
    python -m train.variants 'variants.files=[runs/resnet34/age.pt]' 'variants.prune=[]'

Every network in each precision that a CPU can serve it in: the model itself, the model with a part
of its channels cut out (`fitting.prune`) and trained for a moment after it, networks of other
sizes that were not trained, whose error is not told, and exported files. What is made is an
exported file in `variants.output`, and can be served; its interval is the model's, and not
calibrated anew.

torch.compile is timed only. The contract is TorchScript: one file for every machine, any number of
faces at a time, loaded without a compiler. What torch.compile makes is not a file, and AOTInductor,
whose kernels are the same, makes one for the processor that it was made on.
"""

import copy
import io
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import DictConfig
from torch.fx.proxy import TraceError

from handler.contract import INT8_FILE, read_contract, read_extra
from handler.predictor import Predictor, round_weights
from handler.settings import Precision
from train import torchscript
from train.configuration.command_line import command
from train.configuration.runs import run_config
from train.data.dataset import CropDataset, model_crops
from train.evaluation.tables import Table
from train.extras import exit_if_missing
from train.modeling.network import AgeNetwork, Architecture
from train.modeling.quantize import activation_ranges
from train.modeling.weights import Weights, load_weights
from train.provenance.provenance import Provenance, Step, contract_provenance, join, read_provenance
from train.provenance.terms import data_sets

CPU = torch.device("cpu")
BATCHES = (1, 16)  # faces at a time
CALLS = 5  # of a variant in each of its turns, after one that warms the caches
OBSERVED = 512  # validation crops that the ranges of 8 bits are found on

Faces = NDArray[np.uint8]  # [n, 3, S, S]


@dataclass(frozen=True)
class Variant:
    """One way to compute ages of faces."""

    name: str
    ages: Callable[[Faces], NDArray[np.float32]]  # [n], years
    size: int | None  # bytes of its TorchScript; None where it is none
    measured: bool  # whether its error means anything


@dataclass(frozen=True)
class Row:
    """What was measured of a variant."""

    variant: Variant
    milliseconds: Sequence[float]  # for each face, with each of `BATCHES`
    mae: float | None  # years

    def cells(self) -> tuple[str, ...]:
        """As text, for a table."""
        size, mae = self.variant.size, self.mae
        return (
            self.variant.name,
            "-" if size is None else f"{size / 1e6:.1f}",
            *(f"{each:.2f}" for each in self.milliseconds),
            "-" if mae is None else f"{mae:.2f}",
        )


def of_file(name: str, file: Path, measured: bool = True) -> Iterator[Variant]:
    """An exported file in each precision that it can be served in on a CPU."""
    precisions: tuple[Precision, ...] = ("float32", "bfloat16", "int8")
    for precision in precisions:
        if precision == "int8" and read_extra(file, INT8_FILE) is None:
            continue
        estimator = Predictor.load(file, CPU, precision)
        if estimator.precision != precision:  # a model that does not follow its weights' precision
            continue
        size = stored_size(file, precision)
        yield Variant(f"{name}, {precision}", _by(estimator), size, measured)


def _by(estimator: Predictor) -> Callable[[Faces], NDArray[np.float32]]:
    return lambda faces: estimator.predict(faces).age


def stored_size(file: Path, precision: Precision) -> int:
    """Bytes of a TorchScript file that holds the exported `file` in this precision alone."""
    if precision == "int8":
        return len(read_extra(file, INT8_FILE) or b"")
    model = torch.jit.load(str(file), map_location=CPU)
    round_weights(model, getattr(torch, precision))
    written = io.BytesIO()
    torch.jit.save(model, written)
    return len(written.getvalue())


def compiled(name: str, network: AgeNetwork, dtype: torch.dtype) -> Variant:
    """`network` by torch.compile, its weights folded into kernels for each number of faces."""
    lower = copy.deepcopy(network)
    round_weights(lower, dtype)
    model = torch.compile(lower, dynamic=False, options={"freezing": True})

    @torch.no_grad()  # Inductor does not fold under inference mode
    def ages(faces: Faces) -> NDArray[np.float32]:
        age: NDArray[np.float32] = model(torch.from_numpy(faces))[0].numpy()
        return age

    precision = str(dtype).removeprefix("torch.")
    return Variant(f"{name}, {precision}, torch.compile", ages, None, measured=False)


def measure(variants: Sequence[Variant], test: CropDataset, rounds: int) -> list[Row]:
    """Speed in turns, so that all have the same share of what else the machine does, and error."""
    crops = test.crops.numpy()
    faces = [np.resize(crops, (count, *crops.shape[1:])) for count in BATCHES]
    for variant in variants:
        for batch in faces:
            for _ in range(2):  # TorchScript optimises on its second call
                variant.ages(batch)
    turns = [
        [[_seconds(variant, batch) / len(batch) for batch in faces] for variant in variants]
        for _ in range(rounds)
    ]
    rows = []
    for variant, *of_turns in zip(variants, *turns, strict=True):
        medians = [1e3 * median(times) for times in zip(*of_turns, strict=True)]
        rows.append(Row(variant, medians, _mae(variant, test) if variant.measured else None))
    return rows


def _seconds(variant: Variant, faces: Faces) -> float:
    """Of one call."""
    variant.ages(faces)
    start = time.perf_counter()
    for _ in range(CALLS):
        variant.ages(faces)
    return (time.perf_counter() - start) / CALLS


def _mae(variant: Variant, test: CropDataset) -> float:
    return float(np.abs(variant.ages(test.crops.numpy()) - test.age.numpy()).mean())


def table(rows: Sequence[Row]) -> Table:
    """Of what `measure` gave."""
    speeds = [f"ms for a face, {count} at a time" for count in BATCHES]
    return Table(("network", "MB", *speeds, "MAE, years"), [row.cells() for row in rows])


def make(model: Weights, config: DictConfig) -> list[Variant]:
    """All variants of `model` that `config.variants` asks for; its `output` holds what is made.

    Raises ValueError where one of the files takes other crops than the model.
    """
    wanted, name = config.variants, model.architecture.backbone
    if wanted.prune:
        with exit_if_missing():  # not at the top: all but this does without it
            from train.fitting.prune import pruned, retrained
    observed = model_crops(config, "val", model.contract.crop)
    observed.thin_out(OBSERVED)
    origin = contract_provenance(model.contract, "the model that was made smaller")

    def exported(
        name: str, network: AgeNetwork, origin: Provenance, measured: bool = True
    ) -> Iterator[Variant]:
        file = Path(wanted.output) / f"{name}.pt"
        contract = replace(
            model.contract,
            data=origin.names(),
            metrics={},  # they say nothing of the others
            provenance=origin.to_json(),
        )
        ranges = _ranges(network, observed)
        made = replace(model, network=network, contract=contract, ranges=ranges)
        torchscript.save(made, file)
        return of_file(name, file, measured)

    variants = list(exported(name, model.network, origin))
    if wanted.compile:
        dtypes = (torch.float32, torch.bfloat16)
        variants += [compiled(name, model.network, dtype) for dtype in dtypes]
    for part in wanted.prune:
        smaller = pruned(model.network, part)
        if wanted.steps:
            retrained(smaller, model.architecture, config, wanted.steps)
        called = f"{name}-pruned-{round(100 * part)}"
        variants += exported(called, smaller, of_pruned(origin, called, part, config))
    for backbone in wanted.untrained:
        architecture = Architecture.of_timm(backbone, model.architecture.size)
        other = AgeNetwork(replace(architecture, shift=model.architecture.shift)).eval()
        called = f"{backbone}-untrained"
        nothing = Provenance((Step("derived", called, "not trained"),))
        variants += exported(called, other, nothing, measured=False)
    for file in map(Path, wanted.files):
        if read_contract(file).crop != model.contract.crop:
            raise ValueError(f"{file} takes other crops than the model that it is put beside")
        variants += of_file(str(file), file)
    return variants


def of_pruned(origin: Provenance, name: str, part: float, config: DictConfig) -> Provenance:
    """How a model came to be that `part` was cut out of, and that was trained as `config` says."""
    words, steps = f"{part:.0%} of each layer's channels cut out", config.variants.steps
    if not steps:
        return join(Step("derived", name, words), [origin])
    words = f"{words}, then trained for {steps} steps"
    teachers = [read_provenance(Path(path)) for path in config.fit.teachers]
    return join(Step("derived", name, words, data=data_sets(config)), [origin], teachers)


def _ranges(network: AgeNetwork, observed: CropDataset) -> dict[str, tuple[float, int]] | None:
    """What 8 bits need; None where torch's FX cannot trace the backbone."""
    try:
        return dict(activation_ranges(network, observed.crops))
    except TraceError:
        return None


def compare(config: DictConfig) -> Table:
    """Make the variants and measure them.

    Raises FileNotFoundError where there is no such run, or it was not evaluated, and ValueError
    where the crops are not those of the model.
    """
    wanted = config.variants
    if wanted.weights is None:
        config = run_config(config)
    model = load_weights(Path(wanted.weights or Path(config.run, "age.safetensors")))
    test = model_crops(config, wanted.split, model.contract.crop)
    variants = make(model, config)
    if wanted.limit is not None:
        test.thin_out(wanted.limit)
    torch.set_num_threads(wanted.threads)
    return table(measure(variants, test, wanted.rounds))


@command
def main(config: DictConfig) -> None:
    """Print the table."""
    print(compare(config).markdown())


if __name__ == "__main__":
    main()
