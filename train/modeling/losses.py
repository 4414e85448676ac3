"""The losses of a distribution over the classes of a task."""

from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor
from torch.nn import functional

from handler.task import Categories, Ordinal
from train.configuration.tasks import Kind
from train.data.sampling import class_indices
from train.modeling.network import expectation, target_distribution


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
      with the teachers' distribution, which has weight `teacher_weight`; plus `expectation_weight`
      times the L1 error of the mean (Gao et al., Age Estimation Using Expectation of Label
      Distribution Learning, IJCAI 2018)
    - cross_entropy: to the nearest whole number (Rothe et al., DEX, ICCVW 2015)
    - l1: of the mean alone, which leaves the distribution's width free
    """

    output: Ordinal
    kind: Kind
    sigma: float
    expectation_weight: float
    teacher_weight: float = 0.5

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"fit.loss={self.kind}: choose one of {', '.join(get_args(Kind))}")

    def __call__(
        self, logits: Tensor, targets: Tensor, teachers: TeacherTarget | None = None
    ) -> Tensor:
        """Logits [N, K] and numbers [N] -> the mean loss. Only dldl_v2 uses `teachers`."""
        if self.kind == "cross_entropy":
            return functional.cross_entropy(logits, class_indices(targets, self.output))
        error = (expectation(logits.softmax(dim=1), self.output) - targets).abs()
        if self.kind == "l1":
            return error.mean()
        target = target_distribution(targets, self.sigma, self.output)
        if teachers is not None:
            target = teachers.mixed_with(target, self.teacher_weight)
            error = error * ~teachers.unlabelled
        return functional.cross_entropy(logits, target) + self.expectation_weight * error.mean()


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
        self, logits: Tensor, targets: Tensor, teachers: TeacherTarget | None = None
    ) -> Tensor:
        """Logits [N, K] and indices of categories [N] -> the mean loss."""
        indices = class_indices(targets, self.output)
        target = functional.one_hot(indices, self.output.classes).float()
        target = target * (1 - self.smoothing) + self.smoothing / self.output.classes
        if teachers is not None:
            target = teachers.mixed_with(target, self.teacher_weight)
        weight = torch.tensor(self.weights, device=logits.device)
        return functional.cross_entropy(logits, target, weight=weight)
