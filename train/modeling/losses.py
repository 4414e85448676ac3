"""The loss of an age distribution."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from train.modeling.network import target_distribution

Kind = Literal["dldl_v2", "cross_entropy", "l1"]


@dataclass(frozen=True)
class TeacherTarget:
    """The teachers' part of a batch's target."""

    probabilities: Tensor  # of each year, [N, 117]
    unlabelled: Tensor  # bool [N]: faces without an age of their own, made by mixup


@dataclass(frozen=True)
class AgeLoss:
    """One of three losses of a distribution over the years and its mean.

    - dldl_v2: cross-entropy to a Gaussian around the age with standard deviation `sigma`, mixed
      with the teachers' distribution, which has weight `teacher_weight`; plus `expectation_weight`
      times the L1 error of the mean (Gao et al., Age Estimation Using Expectation of Label
      Distribution Learning, IJCAI 2018)
    - cross_entropy: to the age's own year (Rothe et al., DEX, ICCVW 2015)
    - l1: of the mean alone, which leaves the distribution's width free
    """

    kind: Kind
    sigma: float
    expectation_weight: float
    teacher_weight: float = 0.5

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"fit.loss={self.kind}: choose one of {', '.join(get_args(Kind))}")

    def __call__(
        self, logits: Tensor, mean: Tensor, ages: Tensor, teachers: TeacherTarget | None = None
    ) -> Tensor:
        """Logits [N, 117], their distributions' means [N] and ages [N] -> the mean loss.

        Only dldl_v2 uses `teachers`.
        """
        if self.kind == "cross_entropy":
            return functional.cross_entropy(logits, ages.round().long())
        error = (mean - ages).abs()
        if self.kind == "l1":
            return error.mean()
        target = target_distribution(ages, self.sigma)
        if teachers is not None:
            weight = torch.where(teachers.unlabelled, 1.0, self.teacher_weight)
            target = target.lerp(teachers.probabilities, weight[:, None])
            error = error * ~teachers.unlabelled
        return functional.cross_entropy(logits, target) + self.expectation_weight * error.mean()
