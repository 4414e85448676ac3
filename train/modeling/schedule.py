"""A one-cycle learning-rate schedule of any length, which a resumed run can extend."""

from typing import Any

import torch
from torch.optim.lr_scheduler import OneCycleLR

_LENGTH = ("total_steps", "_schedule_phases")  # keys of a scheduler's state
_NONE = 1e-6  # steps


class OneCycle(OneCycleLR):
    """The rate rises along a cosine in the part `warmup` (0 to 1) of `steps`, then falls.

    beta1 falls and rises (Smith and Topin, Super-Convergence, 2018). Loading a state restores the
    step reached, not the length: with more steps than before, the run continues from that step on
    the longer cycle.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, rate: float, steps: int, warmup: float
    ) -> None:
        if steps < 2:  # a single step has the highest rate
            steps, warmup = 2, 0.5
        rising = warmup * steps - 1
        # the base class divides by the lengths of rise and fall
        if abs(rising) < _NONE:  # a rise of one step starts at the top
            warmup = (1 - _NONE) / steps
        elif rising > steps - 2:  # no fall, which would be shorter than a step
            steps, warmup = steps + 1, steps / (steps + 1)
        super().__init__(optimizer, rate, total_steps=steps, pct_start=float(warmup))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the step, not the length, and set the optimizer's rate to that step's."""
        kept = {key: value for key, value in state_dict.items() if key not in _LENGTH}
        super().load_state_dict(kept | {"last_epoch": state_dict["last_epoch"] - 1})
        self.step()
        self._step_count = state_dict["_step_count"]
