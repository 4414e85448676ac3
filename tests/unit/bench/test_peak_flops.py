"""What a request's arithmetic costs, beside the machine's peak."""

import pytest
import torch
from torch import nn
from torch.profiler import record_function

from bench import peak_flops
from bench.peak_flops import Arithmetic
from bench.stages import Cost


def test_operations_are_reported_by_stage() -> None:
    matrix = torch.ones(20, 30)
    layer = nn.Conv2d(3, 8, 3, padding=1, bias=False)
    scripted = torch.jit.freeze(torch.jit.script(layer.eval()))
    faces = torch.ones(2, 3, 10, 10)

    @torch.inference_mode()
    def ask() -> None:
        with record_function("detect"), record_function("propose"):
            matrix @ matrix.T
        with record_function("crop"):
            faces + 1
        for _ in range(2):
            with record_function("estimate"):
                scripted(faces)

    product, convolution = 2 * 20 * 30 * 20, 2 * (2 * 8 * 10 * 10) * 3 * 3 * 3
    assert peak_flops.operations(ask) == {
        ("detect",): product,
        ("detect", "propose"): product,
        ("estimate",): 2 * convolution,
    }


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_the_peak_is_a_rate(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the library for 8 bits is what it was."""
    monkeypatch.setattr(peak_flops, "SIDE", 64)
    engine = torch.backends.quantized.engine
    assert peak_flops.peak(precision) > 1e6
    assert torch.backends.quantized.engine == engine


def test_only_innermost_stages_are_compared() -> None:
    costs = {
        ("detect",): Cost(0.006, 0),
        ("detect", "propose"): Cost(0.004, 0),
        ("estimate",): Cost(0.01, 0),
    }
    counts = {("detect",): 3e9, ("detect", "propose"): 3e9, ("estimate",): 5e9}
    found = peak_flops.beside(costs, counts, dict.fromkeys(counts, 1e12))
    assert found == [
        Arithmetic(("detect", "propose"), 0.004, 3e9, 0.003),
        Arithmetic(("estimate",), 0.01, 5e9, 0.005),
    ]
    assert peak_flops.table(found).splitlines() == [
        "stage                wall ms    GFLOP   at peak, ms   share",
        "detect/propose          4.00    3.000          3.00     75%",
        "estimate               10.00    5.000          5.00     50%",
    ]
