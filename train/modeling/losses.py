"""What an age distribution is trained with."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from train.modeling.network import target_distribution

Kind = Literal["dldl_v2", "cross_entropy", "l1"]


@dataclass(frozen=True)
class Taught:
    """What teachers say of a batch of faces."""

    shares: Tensor  # their distributions over the years, [N, 117]
    alone: Tensor  # of which faces nothing else is known: bool [N]


@dataclass(frozen=True)
class AgeLoss:
    """One of three losses of a distribution over the years and of its mean.

    - dldl_v2: cross-entropy to a Gaussian around the age, `sigma` years wide, or to a mixture of
      it and of what teachers say, `teacher_weight` of that; plus
      `expectation_weight` times the mean's L1 error (Gao et al., Age Estimation Using Expectation
      of Label Distribution Learning, IJCAI 2018)
    - cross_entropy: to the age's own year; the mean is looked at only when ages are estimated
      (Rothe et al., DEX, ICCVW 2015)
    - l1: the mean's error alone, which leaves the distribution's width free
    """

    kind: Kind
    sigma: float
    expectation_weight: float
    teacher_weight: float = 0.5

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"fit.loss={self.kind}: choose one of {', '.join(get_args(Kind))}")

    def __call__(
        self, logits: Tensor, mean: Tensor, ages: Tensor, taught: Taught | None = None
    ) -> Tensor:
        """Logits [N, 117], their distributions' means [N] and the ages [N] -> the mean loss.

        Only dldl_v2 learns what is `taught`.
        """
        if self.kind == "cross_entropy":
            return functional.cross_entropy(logits, ages.round().long())
        error = (mean - ages).abs()
        if self.kind == "l1":
            return error.mean()
        target = target_distribution(ages, self.sigma)
        if taught is not None:
            weight = torch.where(taught.alone, 1.0, self.teacher_weight)
            target = target.lerp(taught.shares, weight[:, None])
            error = error * ~taught.alone
        return functional.cross_entropy(logits, target) + self.expectation_weight * error.mean()
