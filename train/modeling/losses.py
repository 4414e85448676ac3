"""The losses of a distribution over the classes of a task."""

from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor
from torch.nn import functional

from handler.task import Categories, Ordinal
from train.configuration.tasks import Kind
from train.data.dataset import Batch
from train.data.sampling import class_indices
from train.modeling.network import expectation, target_distribution

_NARROWEST = 1.0  # standard deviation of votes, of the number's unit; few people may all agree


@dataclass(frozen=True)
class TeacherTarget:
    """The teachers' part of a batch's target."""

    probabilities: Tensor  # of each class, [N, K]
    unlabelled: Tensor  # bool [N]: inputs without a label of their own, made by mixup

    def mixed_with(self, target: Tensor, teacher_weight: float) -> Tensor:
        """The labels' `target` [N, K], mixed with the teachers'; theirs alone where unlabelled."""
        weight = torch.where(self.unlabelled, 1.0, teacher_weight)
        return target.lerp(self.probabilities, weight[:, None])


@dataclass(frozen=True)
class OrdinalLoss:
    """One of three losses of a distribution over numbers and its mean.

    - dldl_v2: cross-entropy to a Gaussian around the number with standard deviation `sigma`, mixed
      with one of people's guesses, where the data has them, which has weight `votes_weight`, and
      with the teachers' distribution, which has weight `teacher_weight`; plus `expectation_weight`
      times the L1 error of the mean (Gao et al., Age Estimation Using Expectation of Label
      Distribution Learning, IJCAI 2018). A network that also learns how old people look errs less
      in how old they are (Clapes et al., From Apparent to Real Age, CVPRW 2018)
    - cross_entropy: to the nearest whole number (Rothe et al., DEX, ICCVW 2015)
    - l1: of the mean alone, which leaves the distribution's width free
    """

    output: Ordinal
    kind: Kind
    sigma: float
    expectation_weight: float
    teacher_weight: float = 0.5
    votes_weight: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"fit.loss={self.kind}: choose one of {', '.join(get_args(Kind))}")

    def __call__(
        self, logits: Tensor, batch: Batch, teachers: TeacherTarget | None = None
    ) -> Tensor:
        """Logits [N, K] and numbers [N] -> the mean loss.

        Only dldl_v2 uses `teachers`, and the votes of the batch.
        """
        targets = batch["target"]
        if self.kind == "cross_entropy":
            return functional.cross_entropy(logits, class_indices(targets, self.output))
        mean = expectation(logits.softmax(dim=1), self.output)
        if self.kind == "l1":
            return (mean - targets).abs().mean()
        target = target_distribution(targets, self.sigma, self.output)
        if self.votes_weight and "votes" in batch:
            target, targets = self._with_votes(target, targets, batch["votes"])
        error = (mean - targets).abs()
        if teachers is not None:
            target = teachers.mixed_with(target, self.teacher_weight)
            error = error * ~teachers.unlabelled
        return functional.cross_entropy(logits, target) + self.expectation_weight * error.mean()

    def _with_votes(self, target: Tensor, numbers: Tensor, votes: Tensor) -> tuple[Tensor, Tensor]:
        """The target and its mean, with votes mixed in; see `train.data.dataset` for these."""
        mean, deviation = votes.unbind(dim=1)
        weight = torch.where(mean.isnan(), 0.0, self.votes_weight)
        mean = torch.where(mean.isnan(), numbers, mean)
        width = deviation.nan_to_num(_NARROWEST).clamp(min=_NARROWEST)
        seen = target_distribution(mean, width[:, None], self.output)
        return target.lerp(seen, weight[:, None]), numbers.lerp(mean, weight)


@dataclass(frozen=True)
class CategoryLoss:
    """Cross-entropy to the category, smoothed, and mixed with the teachers' distribution.

    `smoothing`: probability that is spread over all categories (Szegedy et al., Rethinking the
    Inception Architecture, CVPR 2016). `weights`: of each category, [K], with mean 1.
    """

    output: Categories
    smoothing: float
    weights: tuple[float, ...]
    teacher_weight: float = 0.5

    def __call__(
        self, logits: Tensor, batch: Batch, teachers: TeacherTarget | None = None
    ) -> Tensor:
        """Logits [N, K] and indices of categories [N] -> the mean loss."""
        indices = class_indices(batch["target"], self.output)
        target = functional.one_hot(indices, self.output.classes).float()
        target = target * (1 - self.smoothing) + self.smoothing / self.output.classes
        if teachers is not None:
            target = teachers.mixed_with(target, self.teacher_weight)
        weight = torch.tensor(self.weights, device=logits.device)
        return functional.cross_entropy(logits, target, weight=weight)
