"""How common each young age is, as the validation faces have it: fitted to them, kept in the head.

    python -m train.prior run=runs/mine
    python -m train.evaluate run=runs/mine export.checkpoints=[runs/mine/prior.ckpt]

Training sees rare ages more often than they are (`fit.balance`), and learns from teachers that may
have seen few children: the network's shares of the years are those of another population. Each is
multiplied by a factor, smooth over the years (Saerens et al., Adjusting the Outputs of a Classifier
to New a Priori Probabilities, Neural Computation 2002), which is a sum in the last layer's bias and
costs nothing where it is served. Years from `BELOW` on keep their shares: that those of old people
are larger than they are common at home is what tells them right elsewhere.
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
RIDGE = 0.01  # of the squares of their logarithms; the score of a face is a few years
STEPS = 60  # of L-BFGS


def score(shares: Tensor, ages: Tensor) -> Tensor:
    """The mean continuous ranked probability score, in years, of shares [n, 117] for `ages` [n].

    A distribution's expected distance from the age, less half its own spread: 0 is the best
    (Gneiting and Raftery, Strictly Proper Scoring Rules, JASA 2007).
    """
    years = torch.arange(MAX_AGE + 1, device=shares.device)
    reached = (years >= ages.round()[:, None]).float()
    return ((shares.cumsum(dim=1) - reached) ** 2).sum(dim=1).mean()


def weighted(shares: Tensor, logarithms: Tensor) -> Tensor:
    """Shares [n, 117] times the factors of each year, summing to 1 again."""
    changed = shares * logarithms.exp()
    return changed / changed.sum(dim=1, keepdim=True)


def fitted(shares: Tensor, ages: Tensor) -> Tensor:
    """The logarithms of the factors, [117], by which shares [n, 117] score best for `ages` [n]."""
    base = _tents()
    knots = torch.zeros(base.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([knots], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = score(weighted(shares, base @ knots), ages) + RIDGE * knots.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return (base @ knots).detach()


def _tents() -> Tensor:
    """What each knot has of each year, [117, knots]: 1 at its own, less and less up to the next."""
    years, at = torch.arange(MAX_AGE + 1.0), torch.arange(0, BELOW, STEP)
    return (1 - (years[:, None] - at).abs() / STEP).clamp(min=0)


@torch.inference_mode()
def shares_of(network: AgeNetwork, crops: Tensor) -> Tensor:
    """Served crops, uint8 [n, 3, C, C] -> the distribution over the years of each, [n, 117]."""
    return torch.cat([network.distribution(part) for part in crops.split(256)])


def prior(config: DictConfig) -> Path:
    """Write `prior.ckpt` into the run's folder: `export.checkpoints`' weights, with a prior.

    Raises FileNotFoundError and ValueError as `chosen_network` and `model_crops` do.
    """
    config = run_config(config)
    network, architecture = chosen_network(config)
    geometry, _ = contract_parts(config)
    faces = model_crops(config, "val", widened(geometry, architecture.crop_size))
    before = shares_of(network, faces.crops).clone()  # no inference tensor: it is fitted to
    logarithms = fitted(before, faces.age)
    for name, shares in (("before", before), ("after", weighted(before, logarithms))):
        error = (median(shares) - faces.age).abs().mean()
        print(f"{name:<7} score {score(shares, faces.age):.3f}, MAE {error:.3f} years")
    print(f"factors {_told(logarithms.exp().tolist())}")
    with torch.no_grad():
        network.head.bias.copy_(network.head.bias + logarithms)
    path, start = Path(config.run, FILE), exported_provenance(config)
    words = f"the shares of ages below {BELOW} fitted to validation faces"
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


def _told(factors: Sequence[float]) -> str:
    return ", ".join(f"{age}: {factors[age]:.2f}" for age in range(0, BELOW, STEP))


@command
def main(config: DictConfig) -> None:
    """Fit it, and say where the weights are."""
    print(f"with the fitted prior: export.checkpoints=[{prior(config)}]")


if __name__ == "__main__":
    main()
