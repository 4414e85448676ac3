"""The arithmetic of the moving average; whole runs with it are in test_fit.py."""

import pytest
import torch

from train.fitting.callbacks import rising_average


def averaged(decay: float, values: list[float]) -> float:
    """The average of one weight that starts at the first value."""
    update = rising_average(decay)
    average = torch.tensor([values[0]])
    for count, each in enumerate(values[1:], start=1):
        update([average], [torch.tensor([each])], torch.tensor(count))
    return float(average)


def test_a_short_run_forgets_its_start() -> None:
    assert averaged(0.999, [1.0] + [0.0] * 100) < 1e-4  # 0.999 alone would leave 0.90
    assert averaged(0.999, [0.0, 1.0]) == pytest.approx(9 / 11)


def test_a_long_run_decays_as_it_was_told() -> None:
    long = [1.0] * 100 + [0.0] * 10
    assert averaged(0.5, long) == pytest.approx(0.5**10)


def test_constants_and_counters_stay_what_they_are() -> None:
    constant, counter = torch.tensor([0.485 * 255, 1 / 3]), torch.tensor(3)
    before = constant.clone()
    update = rising_average(0.9)
    for count in range(1, 200):
        update([constant], [before], torch.tensor(count))
    assert torch.equal(constant, before)
    update([counter], [torch.tensor(7)], torch.tensor(1))
    assert int(counter) == 7


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_decay_that_is_none_is_refused(decay: float) -> None:
    with pytest.raises(ValueError, match=r"fit\.ema="):
        rising_average(decay)
