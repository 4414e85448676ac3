"""One cycle of the learning rate, of any length, that can be made longer."""

from typing import Any

import torch
from torch.optim.lr_scheduler import OneCycleLR

_MADE_OF = ("total_steps", "_schedule_phases")  # of a scheduler's state: its length
_NONE = 1e-6  # steps


class OneCycle(OneCycleLR):
    """The rate rises in the first `warmup` (0 to 1) of `steps` and falls in the rest.

    Along cosines, while beta1 falls and rises (Smith and Topin, Super-Convergence, 2018). A state
    that is loaded tells how far it has come and not how long it is: with more steps than it was
    made for, it goes on from the step that it had reached, on the longer cycle.
    """

    def __init__(
        self, optimizer: torch.optim.Optimizer, rate: float, steps: int, warmup: float
    ) -> None:
        if steps < 2:  # the last step of several has no rate to speak of, the only one the highest
            steps, warmup = 2, 0.5
        rising = warmup * steps - 1
        # the base class divides by the length of the rise, and by that of the fall
        if abs(rising) < _NONE:  # a rise of one step begins where it ends, at the top
            warmup = (1 - _NONE) / steps
        elif rising > steps - 2:  # all of them rise; the fall would be shorter than a step
            steps, warmup = steps + 1, steps / (steps + 1)
        super().__init__(optimizer, rate, total_steps=steps, pct_start=float(warmup))

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As the base class's, but for the length; the optimizer takes the rate of that step."""
        kept = {key: value for key, value in state_dict.items() if key not in _MADE_OF}
        super().load_state_dict(kept | {"last_epoch": state_dict["last_epoch"] - 1})
        self.step()
        self._step_count = state_dict["_step_count"]
