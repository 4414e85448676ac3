"""Which values the numbers of a training may have."""

import math
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf


@dataclass(frozen=True)
class Range:
    """From `low` to `high`, both included unless `above`: then `low` itself is not."""

    low: float
    high: float = math.inf
    whole: bool = False
    above: bool = False

    def holds(self, value: Any) -> bool:
        """Whether `value` is such a number."""
        if isinstance(value, bool) or not isinstance(value, int if self.whole else int | float):
            return False
        fits = self.low < value if self.above else self.low <= value
        return fits and value <= self.high and math.isfinite(value)

    def __str__(self) -> str:
        kind = "a whole number" if self.whole else "a number"
        if self.above:
            return f"{kind} above {self.low:g}"
        if math.isinf(self.high):
            return f"{kind} of at least {self.low:g}"
        return f"{kind} from {self.low:g} to {self.high:.10g}"


_COUNT, _PART, _WEIGHT, _SIZE = Range(1, whole=True), Range(0, 1), Range(0), Range(0, above=True)
_RANGES = {
    "seed": Range(0, 2**31 - 1, whole=True),  # each step's own seed is a multiple of it
    "model.drop_path": _PART,
    "fit.epochs": _COUNT,
    "fit.batch_size": _COUNT,
    "fit.accumulate": _COUNT,
    "fit.side": _COUNT,
    "fit.balance.age": _PART,
    "fit.balance.source": _PART,
    "fit.learning_rate": _WEIGHT,
    "fit.warmup": _PART,
    "fit.weight_decay": _WEIGHT,
    "fit.sigma": _SIZE,
    "fit.expectation_weight": _WEIGHT,
    "fit.helper_weight": _WEIGHT,
    "fit.teacher_weight": _PART,
    "fit.hint_weight": _WEIGHT,
    "fit.blend": _PART,
}
_OPTIONAL = {"fit.clip": _SIZE, "fit.patience": _COUNT}


def refuse_impossible(config: DictConfig) -> None:
    """Raise ValueError, naming the key, where a number of `config` is one that no run can have."""
    for key, allowed in (_RANGES | _OPTIONAL).items():
        value = OmegaConf.select(config, key)
        if value is None and key in _OPTIONAL:
            continue
        if not allowed.holds(value):
            also = ", or null" if key in _OPTIONAL else ""
            raise ValueError(f"{key}={value}: it must be {allowed}{also}")


def limited(batches: int, limit: float | None) -> int:
    """How many of an epoch's `batches` are trained on, as `fit.limit_train_batches` says.

    Raises ValueError where it is none.
    """
    if limit is None:
        return batches
    whole = Range(1, whole=True).holds(limit)
    if not whole and not Range(0, 1, above=True).holds(limit):
        raise ValueError(
            f"fit.limit_train_batches={limit}: it must be a number of batches, or a part of them "
            "above 0.0 and up to 1.0, or null"
        )
    left = min(batches, int(limit)) if isinstance(limit, int) else int(batches * limit)
    if not left:
        raise ValueError(f"fit.limit_train_batches={limit} of {batches} batches is none: raise it")
    return left
