"""Padding, slicing and the choice of a graph, with a stand-in for the graphs themselves."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from handler.cuda_graphs import COUNTS, with_graphs

calls: list[int] = []


def model(inputs: Tensor) -> Tensor:
    """The sum of each input, twice."""
    calls.append(len(inputs))
    return inputs.float().sum(dim=(1, 2, 3))[:, None].repeat(1, 2)


class Stand:
    """A call that computes anew where a graph would be replayed, into the same memory."""

    def __init__(self, model: Callable[[Tensor], Tensor], inputs: Tensor) -> None:
        self.model, self.inputs = model, inputs
        self.output = model(inputs)

    def replay(self) -> None:
        self.output.copy_(self.model(self.inputs))


def inputs_of(count: int, value: int = 1) -> Tensor:
    return torch.arange(value, value + count, dtype=torch.uint8)[:, None, None, None].repeat(
        1, 3, 4, 4
    )


@pytest.fixture
def graphed() -> Callable[[Tensor], Tensor]:
    found: Callable[[Tensor], Tensor] = with_graphs(model, inputs_of(1)[0], Stand)
    calls.clear()
    return found


@pytest.mark.parametrize("count", range(1, 12))
def test_as_the_model(graphed: Callable[[Tensor], Tensor], count: int) -> None:
    found = graphed(inputs_of(count))
    (used,) = calls
    assert used == next((each for each in COUNTS if each >= count), count)
    assert torch.equal(found, model(inputs_of(count)))


def test_a_later_call_leaves_an_earlier_output(graphed: Callable[[Tensor], Tensor]) -> None:
    first = graphed(inputs_of(3))
    kept = first.clone()
    graphed(inputs_of(4, 50))
    assert torch.equal(first, kept)
    assert torch.equal(graphed(inputs_of(3)), kept)  # whatever the padding holds


def test_a_model_that_cannot_be_captured_is_called(caplog: pytest.LogCaptureFixture) -> None:
    def fail(model: Callable[[Tensor], Tensor], inputs: Tensor) -> Stand:
        if len(inputs) == 4:
            raise RuntimeError("operation not permitted\nwhen stream is capturing")
        return Stand(model, inputs)

    assert with_graphs(model, inputs_of(1)[0], fail) is model
    assert caplog.messages == [
        "the model runs without CUDA graphs: operation not permitted when stream is capturing"
    ]
