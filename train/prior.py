"""Prior correction: fits the frequency of young ages to the validation faces.

    python -m train.prior run=runs/mine
    python -m train.evaluate run=runs/mine export.checkpoints=[runs/mine/prior.ckpt]

Training oversamples rare ages (`fit.balance`) and learns from teachers that may have seen few
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

from train import torch_file
from train.configuration.command_line import command
from train.configuration.runs import run_config
from train.configuration.settings import contract_parts
from train.data.cache import widened
from train.data.dataset import model_crops
from train.data.samples import MAX_AGE
from train.modeling.checkpoint import chosen_network
from train.modeling.finite import refuse_weights
from train.modeling.network import AgeNetwork, median
from train.provenance.provenance import KEY, Step, join
from train.provenance.runs import exported_provenance
from train.provenance.terms import data_sets

FILE = "prior.ckpt"
BELOW = 30  # years
STEP = 2  # years between the knots of the factors, which are geometric means between them
RIDGE = 0.01  # weight of their squared logarithms; scores are a few years
STEPS = 60  # of L-BFGS


def score(probabilities: Tensor, ages: Tensor) -> Tensor:
    """Mean continuous ranked probability score, years, of `probabilities` [n, 117] for `ages` [n].

    The expected distance of a draw from the age, less half of that between two draws; 0 is the
    best (Gneiting and Raftery, Strictly Proper Scoring Rules, JASA 2007).
    """
    years = torch.arange(MAX_AGE + 1, device=probabilities.device)
    reached = (years >= ages.round()[:, None]).float()
    return ((probabilities.cumsum(dim=1) - reached) ** 2).sum(dim=1).mean()


def weighted(probabilities: Tensor, logarithms: Tensor) -> Tensor:
    """Probabilities [n, 117] times each year's factor, normalised."""
    changed = probabilities * logarithms.exp()
    return changed / changed.sum(dim=1, keepdim=True)


def fitted(probabilities: Tensor, ages: Tensor) -> Tensor:
    """Log factors [117] that minimise the score of `probabilities` [n, 117] for `ages` [n]."""
    base = _tents()
    knots = torch.zeros(base.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([knots], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = score(weighted(probabilities, base @ knots), ages) + RIDGE * knots.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return (base @ knots).detach()


def _tents() -> Tensor:
    """Linear interpolation weights of each year, [117, knots]: 1 at a knot, 0 at the next."""
    years, at = torch.arange(MAX_AGE + 1.0), torch.arange(0, BELOW, STEP)
    return (1 - (years[:, None] - at).abs() / STEP).clamp(min=0)


@torch.inference_mode()
def distributions(network: AgeNetwork, crops: Tensor) -> Tensor:
    """Served crops, uint8 [n, 3, C, C] -> their distributions over the years, [n, 117]."""
    return torch.cat([network.distribution(part) for part in crops.split(256)])


def prior(config: DictConfig) -> Path:
    """Write `prior.ckpt`, the weights of `export.checkpoints` with the prior, into the run folder.

    Raises FileNotFoundError and ValueError as `chosen_network` and `model_crops`.
    """
    config = run_config(config)
    network, architecture = chosen_network(config)
    geometry, _ = contract_parts(config)
    faces = model_crops(config, "val", widened(geometry, architecture.crop_size))
    before = distributions(network, faces.crops).clone()  # no inference tensor, for autograd
    logarithms = fitted(before, faces.age)
    for name, probabilities in (("before", before), ("after", weighted(before, logarithms))):
        error = (median(probabilities) - faces.age).abs().mean()
        print(f"{name:<7} score {score(probabilities, faces.age):.3f}, MAE {error:.3f} years")
    print(f"factors {_listed(logarithms.exp().tolist())}")
    with torch.no_grad():
        network.head.bias.copy_(network.head.bias + logarithms)
    start = exported_provenance(config)
    words = f"the probabilities of ages below {BELOW} fitted to validation faces"
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


def _listed(factors: Sequence[float]) -> str:
    return ", ".join(f"{age}: {factors[age]:.2f}" for age in range(0, BELOW, STEP))


@command
def main(config: DictConfig) -> None:
    """Fit the prior, and print the file."""
    print(f"with the fitted prior: export.checkpoints=[{prior(config)}]")


if __name__ == "__main__":
    main()
