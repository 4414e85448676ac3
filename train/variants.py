"""Compare smaller and faster variants of a model: size, speed, error or accuracy.

    python -m train.variants run=runs/mine
    python -m train.variants variants.weights=model_store/age.safetensors variants.limit=64
    python -m train.variants 'variants.files=[runs/resnet34/age.pt]' 'variants.prune=[]'

Each network in each precision that a CPU can serve: the model itself, the model with pruned
channels (`fitting.prune`) and a short training after it, untrained networks of other sizes, for
their speed, and exported files. The variants are exported files in `variants.output` and can be
served; they keep the model's interval, without a new calibration.

torch.compile is only timed. The contract is TorchScript: one file for every machine, any batch
size, loaded without a compiler. torch.compile gives no file, and AOTInductor, with the same
kernels, gives one for the processor that built it.
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

from handler.contract import INT8_FILE, Contract
from handler.exported_model import read_contract, read_extra
from handler.predictions import Predictions, predictions
from handler.predictor import Predictor, round_weights
from handler.settings import Precision
from train import torchscript
from train.configuration.command_line import command
from train.configuration.runs import run_config
from train.data.dataset import CropDataset, model_crops
from train.evaluation.kind import AnyKind
from train.evaluation.kinds import kind_of
from train.evaluation.tables import Table
from train.extras import exit_if_missing
from train.modeling.network import Architecture, Network
from train.modeling.quantize import activation_ranges
from train.modeling.weights import Weights, load_weights
from train.provenance.provenance import Provenance, Step, contract_provenance, join, read_provenance
from train.provenance.terms import data_sets

CPU = torch.device("cpu")
BATCHES = (1, 16)  # inputs in a call
CALLS = 5  # timed calls of a variant in each round, after one that warms the caches
INT8_CROPS = 512  # validation crops for the ranges of int8

Inputs = NDArray[np.uint8]  # [n, 3, S, S]


@dataclass(frozen=True)
class Variant:
    """A way to compute a task's predictions."""

    name: str
    predict: Callable[[Inputs], Predictions]
    size: int | None  # bytes of its TorchScript; None: no such file
    measured: bool  # whether the table has its figure; an untrained network's means nothing


@dataclass(frozen=True)
class Row:
    """The measurements of a variant."""

    variant: Variant
    milliseconds: Sequence[float]  # per input, for each of `BATCHES`
    figure: float | None  # mean absolute error, or accuracy in per cent

    def cells(self) -> tuple[str, ...]:
        """The row's texts, for a table."""
        size = self.variant.size
        return (
            self.variant.name,
            "-" if size is None else f"{size / 1e6:.1f}",
            *(f"{each:.2f}" for each in self.milliseconds),
            "-" if self.figure is None else f"{self.figure:.2f}",
        )


def of_file(name: str, file: Path, measured: bool = True) -> Iterator[Variant]:
    """An exported file in each precision that a CPU can serve."""
    precisions: tuple[Precision, ...] = ("float32", "bfloat16", "int8")
    for precision in precisions:
        if precision == "int8" and read_extra(file, INT8_FILE) is None:
            continue
        predictor = Predictor.load(file, CPU, precision)
        if predictor.precision != precision:  # the model cannot compute in it
            continue
        size = stored_size(file, precision)
        yield Variant(f"{name}, {precision}", predictor.predict, size, measured)


def stored_size(file: Path, precision: Precision) -> int:
    """Bytes of a TorchScript file with the model of `file` in this precision only."""
    if precision == "int8":
        return len(read_extra(file, INT8_FILE) or b"")
    model = torch.jit.load(str(file), map_location=CPU)
    round_weights(model, getattr(torch, precision))
    written = io.BytesIO()
    torch.jit.save(model, written)
    return len(written.getvalue())


def compiled(name: str, network: Network, contract: Contract, dtype: torch.dtype) -> Variant:
    """`network` with torch.compile, its weights frozen, for each batch size."""
    lower = copy.deepcopy(network)
    round_weights(lower, dtype)
    model = torch.compile(lower, dynamic=False, options={"freezing": True})

    @torch.no_grad()  # Inductor does not fold under inference mode
    def predict(inputs: Inputs) -> Predictions:
        return predictions(model(torch.from_numpy(inputs)), contract)

    precision = str(dtype).removeprefix("torch.")
    return Variant(f"{name}, {precision}, torch.compile", predict, None, measured=False)


def measure(
    variants: Sequence[Variant], test: CropDataset, kind: AnyKind, rounds: int
) -> list[Row]:
    """Measure figures, and speeds in interleaved rounds, so that other load affects all alike."""
    crops = test.crops.numpy()
    batches = [np.resize(crops, (count, *crops.shape[1:])) for count in BATCHES]
    for variant in variants:
        for batch in batches:
            for _ in range(2):  # TorchScript optimises on its second call
                variant.predict(batch)
    seconds = [
        [[_seconds(variant, batch) / len(batch) for batch in batches] for variant in variants]
        for _ in range(rounds)
    ]
    rows = []
    for variant, *of_rounds in zip(variants, *seconds, strict=True):
        medians = [1e3 * median(times) for times in zip(*of_rounds, strict=True)]
        figure = None
        if variant.measured:
            figure = float(kind.scores(variant.predict(crops), test.target.numpy()).mean())
        rows.append(Row(variant, medians, figure))
    return rows


def _seconds(variant: Variant, inputs: Inputs) -> float:
    """Mean duration of a call."""
    variant.predict(inputs)
    start = time.perf_counter()
    for _ in range(CALLS):
        variant.predict(inputs)
    return (time.perf_counter() - start) / CALLS


def table(rows: Sequence[Row], kind: AnyKind) -> Table:
    """The table of all rows."""
    speeds = [f"ms per {kind.items.removesuffix('s')}, batch {count}" for count in BATCHES]
    head = ("network", "MB", *speeds, kind.columns[kind.main])
    return Table(head, [row.cells() for row in rows])


def make(model: Weights, config: DictConfig) -> list[Variant]:
    """Build the variants of `model` that `config.variants` lists, in its folder `output`.

    Raises ValueError if one of its files takes other crops than the model.
    """
    wanted, name = config.variants, model.architecture.backbone
    if wanted.prune:
        with exit_if_missing():  # imported here: only pruning needs this extra
            from train.fitting.prune import pruned, retrained
    observed = model_crops(config, "val", model.contract.task)
    observed.thin_out(INT8_CROPS)
    origin = contract_provenance(model.contract, "the original model")

    def exported(
        name: str, network: Network, origin: Provenance, measured: bool = True
    ) -> Iterator[Variant]:
        file = Path(wanted.output) / f"{name}.pt"
        contract = replace(
            model.contract,
            data=origin.names(),
            metrics={},  # the model's do not hold for a variant
            provenance=origin.to_json(),
        )
        ranges = _ranges(network, observed)
        made = replace(model, network=network, contract=contract, ranges=ranges)
        torchscript.save(made, file)
        return of_file(name, file, measured)

    variants = list(exported(name, model.network, origin))
    if wanted.compile:
        dtypes = (torch.float32, torch.bfloat16)
        variants += [compiled(name, model.network, model.contract, dtype) for dtype in dtypes]
    for part in wanted.prune:
        smaller = pruned(model.network, part)
        if wanted.steps:
            retrained(smaller, model.architecture, config, wanted.steps)
        new_name = f"{name}-pruned-{round(100 * part)}"
        variants += exported(new_name, smaller, of_pruned(origin, new_name, part, config))
    for backbone in wanted.untrained:
        of_model = model.architecture
        architecture = Architecture.of_timm(
            backbone, of_model.size, of_model.classes, mirror=of_model.mirror
        )
        other = Network(replace(architecture, shift=of_model.shift)).eval()
        new_name = f"{backbone}-untrained"
        untrained = Provenance((Step("derived", new_name, "not trained"),))
        variants += exported(new_name, other, untrained, measured=False)
    for file in map(Path, wanted.files):
        if read_contract(file).task != model.contract.task:
            raise ValueError(f"{file} takes other crops than the model, or predicts other things")
        variants += of_file(str(file), file)
    return variants


def of_pruned(origin: Provenance, name: str, part: float, config: DictConfig) -> Provenance:
    """The provenance of a pruned model."""
    words, steps = f"{part:.0%} of each layer's channels pruned", config.variants.steps
    if not steps:
        return join(Step("derived", name, words), [origin])
    words = f"{words}, then trained for {steps} steps"
    teachers = [read_provenance(Path(path)) for path in config.fit.teachers]
    return join(Step("derived", name, words, data=data_sets(config)), [origin], teachers)


def _ranges(network: Network, observed: CropDataset) -> dict[str, tuple[float, int]] | None:
    """Ranges of int8; None if torch's FX cannot trace the backbone."""
    try:
        return dict(activation_ranges(network, observed.crops))
    except TraceError:
        return None


def compare(config: DictConfig) -> Table:
    """Build the variants and measure them.

    Raises FileNotFoundError for a run that is missing or was not evaluated, and ValueError if the
    prepared crops are not the model's.
    """
    wanted = config.variants
    if wanted.weights is None:
        config = run_config(config)
    model = load_weights(
        Path(wanted.weights or Path(config.run, f"{config.task.name}.safetensors"))
    )
    task = model.contract.task
    test = model_crops(config, wanted.split, task)
    variants = make(model, config)
    if wanted.limit is not None:
        test.thin_out(wanted.limit)
    torch.set_num_threads(wanted.threads)
    kind = kind_of(task)
    return table(measure(variants, test, kind, wanted.rounds), kind)


@command
def main(config: DictConfig) -> None:
    """Compare, and print the table."""
    print(compare(config).markdown())


if __name__ == "__main__":
    main()
