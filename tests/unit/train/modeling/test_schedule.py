"""One cycle of the learning rate: short ones, and ones that become longer."""

import copy

import pytest
import torch

from train.modeling.schedule import OneCycle

TOP = 0.1


def optimizer() -> torch.optim.AdamW:
    return torch.optim.AdamW([torch.nn.Parameter(torch.zeros(2))], lr=TOP)


def rates(schedule: OneCycle, steps: int) -> list[float]:
    """The rates of the next steps."""
    found = []
    for _ in range(steps):
        found.append(float(schedule.optimizer.param_groups[0]["lr"]))
        schedule.optimizer.step()
        schedule.step()
    return found


@pytest.mark.parametrize("warmup", [0, 0.1, 0.3, 0.95, 1, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 3, 10])
def test_a_cycle_of_any_length_and_rise(steps: int, warmup: float) -> None:
    found = rates(OneCycle(optimizer(), TOP, steps, warmup), steps)
    assert len(found) == steps
    assert max(found) > {1: 0.99, 2: 0.49, 3: 0.74, 10: 0.9}[steps] * TOP
    assert max(found) <= TOP * 1.0001


def test_a_rise_of_one_step_begins_at_the_top() -> None:
    assert rates(OneCycle(optimizer(), TOP, 10, 0.1), 10)[0] == pytest.approx(TOP)


def test_a_rise_of_all_steps_ends_at_the_top() -> None:
    found = rates(OneCycle(optimizer(), TOP, 10, 1.0), 10)
    assert found == sorted(found)
    assert found[-1] == pytest.approx(TOP)


def test_it_is_torch_s_where_that_one_works() -> None:
    ours, theirs = optimizer(), optimizer()
    schedule = OneCycle(ours, TOP, 20, 0.3)
    reference = torch.optim.lr_scheduler.OneCycleLR(theirs, TOP, total_steps=20, pct_start=0.3)
    for _ in range(20):
        assert ours.param_groups[0]["lr"] == theirs.param_groups[0]["lr"]
        assert ours.param_groups[0]["betas"] == theirs.param_groups[0]["betas"]
        for each in (ours, theirs):
            each.step()
        schedule.step()
        reference.step()


@pytest.mark.parametrize("steps", [10, 30])
def test_a_state_goes_on_at_its_step_of_a_cycle_as_long_or_longer(steps: int) -> None:
    first = OneCycle(optimizer(), TOP, 10, 0.3)
    rates(first, 4)
    state = copy.deepcopy((first.optimizer.state_dict(), first.state_dict()))
    next_optimizer = optimizer()
    later = OneCycle(next_optimizer, TOP, steps, 0.3)
    next_optimizer.load_state_dict(state[0])
    later.load_state_dict(state[1])
    whole = rates(OneCycle(optimizer(), TOP, steps, 0.3), steps)
    assert rates(later, steps - 4) == whole[4:]
    assert later.state_dict()["_step_count"] == steps + 1
