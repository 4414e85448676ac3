"""What an age distribution is trained with."""

from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor
from torch.nn import functional

from train.model import target_distribution

Kind = Literal["dldl_v2", "cross_entropy", "l1"]


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
        self, logits: Tensor, mean: Tensor, ages: Tensor, taught: Tensor | None = None
    ) -> Tensor:
        """Logits [N, 117], their distributions' means [N] and the ages [N] -> the mean loss.

        `taught`: the teachers' distributions, [N, 117]; only dldl_v2 knows them.
        """
        if self.kind == "cross_entropy":
            return functional.cross_entropy(logits, ages.round().long())
        error = functional.l1_loss(mean, ages)
        if self.kind == "l1":
            return error
        target = target_distribution(ages, self.sigma)
        if taught is not None:
            target = target.lerp(taught, self.teacher_weight)
        return functional.cross_entropy(logits, target) + self.expectation_weight * error
