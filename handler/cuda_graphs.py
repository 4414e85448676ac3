"""CUDA graphs of a model: a call with few inputs is one launch, not one for each operation."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import torch
from torch import Tensor

logger = logging.getLogger(__name__)

COUNTS: Final = (1, 2, 4, 8)  # of inputs; a call is padded to the next
_WARM_UP: Final = 3  # calls, after which TorchScript compiles nothing more


class Captured(Protocol):
    """A model's call with a fixed number of inputs, which lie in the same memory each time."""

    inputs: Tensor  # [count, ...]
    output: Tensor  # [count, ...]

    def replay(self) -> object:
        """Compute `output` from `inputs`."""


class Graph:
    """A `Captured` on a GPU."""

    def __init__(self, model: Callable[[Tensor], Tensor], inputs: Tensor) -> None:
        """Raises RuntimeError if the model does what cannot be captured, such as wait."""
        self.inputs = inputs
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(inputs.device):
            # outside the default stream first, as torch's notes on CUDA graphs ask for
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(_WARM_UP):
                    model(inputs)
            torch.cuda.current_stream().wait_stream(stream)
            with torch.cuda.graph(graph):
                self.output = model(inputs)
        self.replay = graph.replay


class GraphedModel:
    """A model that replays what was captured for the numbers of inputs that this suffices for."""

    def __init__(self, model: Any, captured: Sequence[Captured]) -> None:
        """`captured`: in ascending order of their numbers of inputs."""
        self._model = model
        self._captured = captured

    @torch.inference_mode()  # as is what was captured
    def __call__(self, inputs: Tensor) -> Tensor:
        """The model's output for inputs [n, ...]."""
        count = len(inputs)
        for captured in self._captured:
            if count <= len(captured.inputs):
                captured.inputs[:count].copy_(inputs)  # what else is there does not matter
                captured.replay()
                return captured.output[:count].clone()  # the next replay overwrites it
        output: Tensor = self._model(inputs)
        return output


@torch.inference_mode()
def with_graphs(
    model: Any,
    example: Tensor,
    capture: Callable[[Any, Tensor], Captured] = Graph,
) -> Any:
    """The model with graphs for `COUNTS` inputs like the example, [...], which is on its GPU.

    It stays as it is, with a warning, if it cannot be captured.
    """
    try:
        return GraphedModel(
            model, [capture(model, example.repeat(count, *[1] * example.ndim)) for count in COUNTS]
        )
    except RuntimeError as error:
        logger.warning("the model runs without CUDA graphs: %s", " ".join(str(error).split()))
        return model
