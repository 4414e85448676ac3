"""Prior correction of ordinals: fits the frequency of low values to the validation images.

    python -m train.prior run=runs/mine
    python -m train.evaluate run=runs/mine export.checkpoints=[runs/mine/prior.ckpt]

For the age, whose words are used here, and any other ordinal. Training oversamples rare ages
(`fit.balance`) and learns from teachers that may have seen few
children, so that the network's probabilities are of another population. Each year's probability is
multiplied by a factor, smooth over the years (Saerens et al., Adjusting the Outputs of a Classifier
to New a Priori Probabilities, Neural Computation 2002). In logits this is a sum, which the last
layer's bias absorbs: serving costs nothing. Years from `BELOW` on keep their probabilities: the
excess for old ages makes the network right on people of other data sets.
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import Tensor

from handler.predictions import median
from handler.task import Ordinal, Task
from train import torch_file
from train.configuration.command_line import command
from train.configuration.runs import run_config
from train.configuration.tasks import task_of
from train.data.dataset import model_crops
from train.modeling.checkpoint import chosen_network
from train.modeling.finite import refuse_weights
from train.modeling.network import Network
from train.provenance.provenance import KEY, Step, join
from train.provenance.runs import exported_provenance
from train.provenance.terms import data_sets

FILE = "prior.ckpt"
BELOW = 30  # years above the lowest
STEP = 2  # years between the knots of the factors, which are geometric means between them
RIDGE = 0.01  # weight of their squared logarithms; scores are a few years
STEPS = 60  # of L-BFGS


def score(probabilities: Tensor, indices: Tensor) -> Tensor:
    """Mean continuous ranked probability score, years, of `probabilities` [n, K].

    `indices`: the true age's, [n].

    The expected distance of a draw from the age, less half of that between two draws; 0 is the
    best (Gneiting and Raftery, Strictly Proper Scoring Rules, JASA 2007).
    """
    years = torch.arange(probabilities.shape[1], device=probabilities.device)
    reached = (years >= indices.round()[:, None]).float()
    return ((probabilities.cumsum(dim=1) - reached) ** 2).sum(dim=1).mean()


def weighted(probabilities: Tensor, logarithms: Tensor) -> Tensor:
    """Probabilities [n, K] times each year's factor, normalised."""
    changed = probabilities * logarithms.exp()
    return changed / changed.sum(dim=1, keepdim=True)


def fitted(probabilities: Tensor, indices: Tensor) -> Tensor:
    """Log factors [K] that minimise the score of `probabilities` [n, K] for true `indices` [n]."""
    base = _tents(probabilities.shape[1])
    knots = torch.zeros(base.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([knots], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = score(weighted(probabilities, base @ knots), indices)
        value = value + RIDGE * knots.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return (base @ knots).detach()


def _tents(classes: int) -> Tensor:
    """Linear interpolation weights of each year, [K, knots]: 1 at a knot, 0 at the next."""
    years, at = torch.arange(float(classes)), torch.arange(0, min(BELOW, classes), STEP)
    return (1 - (years[:, None] - at).abs() / STEP).clamp(min=0)


@torch.inference_mode()
def distributions(network: Network, crops: Tensor) -> Tensor:
    """Served crops, uint8 [n, 3, C, C] -> their distributions over the years, [n, K]."""
    return torch.cat([network(part) for part in crops.split(256)])


def prior(config: DictConfig) -> Path:
    """Write `prior.ckpt`, the weights of `export.checkpoints` with the prior, into the run folder.

    Raises FileNotFoundError and ValueError as `chosen_network` and `model_crops`, and ValueError
    for categories.
    """
    config = run_config(config)
    network, architecture = chosen_network(config)
    task = task_of(config, architecture.crop_size)
    output = task.output
    if not isinstance(output, Ordinal):
        raise ValueError(
            f"the task {task.name} has categories: the prior is of numbers such as ages; set "
            "fit.balance.target=0 for categories as frequent as in the data"
        )
    faces = model_crops(config, "val", task)
    before = distributions(network, faces.crops).clone()  # no inference tensor, for autograd
    indices = faces.target - output.low
    logarithms = fitted(before, indices)
    for name, probabilities in (("before", before), ("after", weighted(before, logarithms))):
        error = (median(probabilities, output.low) - faces.target).abs().mean()
        crps = score(probabilities, indices)
        print(f"{name:<7} score {crps:.3f}, MAE {error:.3f} {output.unit}")
    print(f"factors {_listed(logarithms.exp().tolist(), output.low)}")
    with torch.no_grad():
        network.head.bias.copy_(network.head.bias + logarithms)
    start = exported_provenance(config)
    end = output.low + BELOW
    words = f"the probabilities of {task.name}s below {end} fitted to validation {_items(task)}"
    step = Step("derived", start.last.name, words, data=data_sets(config))
    path = Path(config.run, FILE)
    refuse_weights(path, network.state_dict())
    torch_file.write(
        {
            "state_dict": {f"network.{name}": v for name, v in network.state_dict().items()},
            "architecture": asdict(replace(architecture, shift=0)),
            "side": architecture.size,
            KEY: join(step, [start]).to_json(),
        },
        path,
    )
    return path


def _items(task: Task) -> str:
    return "faces" if task.is_of_faces else "images"


def _listed(factors: Sequence[float], low: int) -> str:
    knots = range(0, min(BELOW, len(factors)), STEP)
    return ", ".join(f"{low + knot}: {factors[knot]:.2f}" for knot in knots)


@command
def main(config: DictConfig) -> None:
    """Fit the prior, and print the file."""
    print(f"with the fitted prior: export.checkpoints=[{prior(config)}]")


if __name__ == "__main__":
    main()
